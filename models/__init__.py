"""Networks that map (B, in_channels, n_mels, T) to logits (B, n_classes), trained from scratch."""

from torch import nn

from models.initialization import initialize
from models.mobilenetv3 import mobilenet_v3_large, mobilenet_v3_small
from models.resnet import resnet18, resnet34, resnet50

ARCHS = {
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "mobilenet_v3_large": mobilenet_v3_large,
    "mobilenet_v3_small": mobilenet_v3_small,
}


def get_model(
    arch: str, n_classes: int, in_channels: int = 1, use_cbam: bool = False, dropout_rate: float = 0.5
) -> nn.Module:
    """A fresh network with random weights, which gives each class a probability near 1 / n_classes.

    dropout_rate: in [0, 1], before the last linear layer.  Raises ValueError on an unknown arch, on fewer than two
    classes, and on use_cbam for a MobileNet.
    """
    if arch not in ARCHS:
        raise ValueError(f"unknown arch {arch!r}; choose from {', '.join(ARCHS)}")
    if n_classes < 2:
        raise ValueError(f"a tagger needs at least 2 classes, not {n_classes}")
    model = ARCHS[arch](n_classes, in_channels, use_cbam, dropout_rate)
    initialize(model)
    return model
