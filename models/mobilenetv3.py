"""MobileNetV3 (Howard et al., ICCV 2019): torchvision's, for spectrograms, with the original solution's details."""

from functools import partial

from torch import nn
from torchvision.models import mobilenetv3
from torchvision.models.mobilenetv3 import MobileNetV3
from torchvision.ops.misc import SqueezeExcitation


def start_as_published(net: MobileNetV3) -> None:
    """Squeeze and excitation as N(0, 0.01), the classifier's hidden layer He-normal with fan-out."""
    for module in net.modules():
        if isinstance(module, SqueezeExcitation):
            nn.init.normal_(module.fc1.weight, std=0.01)
            nn.init.normal_(module.fc2.weight, std=0.01)
    nn.init.kaiming_normal_(net.classifier[0].weight, mode="fan_out", nonlinearity="relu")


def _mobilenet_v3(make, n_classes: int, in_channels: int, use_cbam: bool, dropout_rate: float) -> MobileNetV3:
    if use_cbam:
        raise ValueError("MobileNetV3 has attention of its own (squeeze and excitation); leave out --use_cbam")
    # torchvision's momentum of 0.01 is for long trainings: after 360 steps norms still depend on their start
    norm = partial(nn.BatchNorm2d, eps=1e-5, momentum=0.1)
    net = make(weights=None, num_classes=n_classes, dropout=dropout_rate, norm_layer=norm)
    stem = net.features[0][0]
    net.features[0][0] = nn.Conv2d(in_channels, stem.out_channels, 3, stride=2, padding=1, bias=False)
    for name, module in list(net.named_modules()):
        if isinstance(module, nn.ReLU):
            net.set_submodule(name, nn.ReLU6(inplace=True))
    return net


# with 80 classes 4.3 M parameters, 0.11 GMAC per 128 x 197 crop; and 1.6 M
mobilenet_v3_large = partial(_mobilenet_v3, mobilenetv3.mobilenet_v3_large)
mobilenet_v3_small = partial(_mobilenet_v3, mobilenetv3.mobilenet_v3_small)
