"""Networks that keep a map of twice the size before their last pooling."""

from torch import nn
from torchvision.models.mobilenetv3 import InvertedResidual
from torchvision.models.resnet import BasicBlock, Bottleneck

Block = BasicBlock | Bottleneck | InvertedResidual


def keep_last_map(model: nn.Module) -> None:
    """Take the stride out of the last block that halves the map: from there on, twice the rows and columns.

    The weights stay the same (Luo et al., CVPR Workshops 2019, section 3.5).  Raises ValueError where there is no such
    block.
    """
    blocks = [module for module in model.modules() if isinstance(module, Block)]
    strided = [convs for block in blocks if (convs := [conv for conv in block.modules() if _halves(conv)])]
    if not strided:
        raise ValueError("this network has no block that halves the map; leave out --last_stride")
    for conv in strided[-1]:
        conv.stride = (1, 1)


def _halves(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.stride == (2, 2)
