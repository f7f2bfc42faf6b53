"""ResNet (He et al., CVPR 2016) for spectrograms: torchvision's, with another stem, ReLU6 and, if asked, CBAM."""

from functools import partial

from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from models.cbam import CBAM


def _resnet(
    block: type[nn.Module], layers: list[int], n_classes: int, in_channels: int, use_cbam: bool, dropout_rate: float
) -> nn.Module:
    net = ResNet(block, layers)
    net.conv1 = _stem(in_channels)
    net.relu = nn.Identity()
    net.maxpool = nn.Sequential(net.maxpool, nn.ReLU6(inplace=True))  # the same, on a quarter of the values
    net.fc = nn.Sequential(nn.Dropout(dropout_rate), nn.Linear(net.fc.in_features, n_classes))
    for stage in (net.layer1, net.layer2, net.layer3, net.layer4):
        for residual in stage:
            _adapt_block(residual, use_cbam)
    return net


# 18 with CBAM and 80 classes: 11.3 M parameters, 1.08 GMAC per 128 x 197 crop
resnet18 = partial(_resnet, BasicBlock, [2, 2, 2, 2])
resnet34 = partial(_resnet, BasicBlock, [3, 4, 6, 3])
resnet50 = partial(_resnet, Bottleneck, [3, 4, 6, 3])


def _stem(in_channels: int) -> nn.Sequential:
    """Three 3x3 convolutions in place of one 7x7 (He et al. 2019, ResNet-C); ResNet's own bn1 follows the last."""
    layers: list[nn.Module] = []
    for before, after, stride in [(in_channels, 32, 2), (32, 32, 1), (32, 64, 1)]:
        conv = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU6(inplace=True)]
    return nn.Sequential(*layers[:-2])


def _adapt_block(block: nn.Module, use_cbam: bool) -> None:
    """Give a torchvision block ReLU6 and CBAM at the end of its residual branch.

    The branch's last norm starts at zero, so that every block starts as (nearly) the identity (Goyal et al. 2017,
    section 5.1).  With CBAM that is the spatial gate's norm: the gate starts at one half everywhere.
    """
    block.relu = nn.ReLU6(inplace=True)
    last = "bn3" if isinstance(block, Bottleneck) else "bn2"
    norm = getattr(block, last)
    if use_cbam:
        cbam = CBAM(norm.num_features)
        setattr(block, last, nn.Sequential(norm, cbam))
        norm = cbam[-1].norm
    nn.init.zeros_(norm.weight)
