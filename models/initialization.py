"""The starting weights of all networks."""

import math

from torch import nn
from torchvision.models.mobilenetv3 import MobileNetV3

from models.mobilenetv3 import start_as_published


def initialize(model: nn.Module) -> None:
    """Draw all weights: convolutions He-normal with fan-out (He et al. 2015, eq. 14), linear layers N(0, 0.01).

    The bias of the last linear layer gives each of its n classes the probability 1 / n instead of the sigmoid's 0.5
    (Lin et al. 2017, section 3.3).  Other biases start at 0.  Norms stay as they are.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.01)
            last = module
        if isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    if isinstance(model, MobileNetV3):
        start_as_published(model)
    nn.init.constant_(last.bias, -math.log(last.out_features - 1))
