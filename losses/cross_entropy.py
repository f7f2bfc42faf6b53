"""Cross-entropy of a distribution over the classes."""

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy between the softmax and each sample's targets as shares of their sum; a scalar >= 0.

    logits, targets: (B, C), targets in [0, 1].  The mean over samples; one without targets costs nothing.  So the k
    labels of a clip have a share of 1 / k each (Mahajan et al. 2018, section 2.2).
    """
    shares = targets / targets.sum(dim=1, keepdim=True).clamp_min(1e-8)
    return F.cross_entropy(logits, shares)
