"""Binary cross-entropy for hard and soft labels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def focal_bce(logits: Tensor, targets: Tensor, gamma: float = 0.0) -> Tensor:
    """Element-wise BCE with logits, each sample weighted by the sum of its targets; a scalar >= 0.

    logits, targets: (B, C), targets in [0, 1].  The sum over samples and classes is divided by the sum of all
    targets in the batch.  With gamma > 0 every element is multiplied by |target - probability| ** gamma, which is
    the modulating factor of the focal loss (Lin et al. 2017, eq. 4) for hard targets and vanishes at the optimum for
    soft ones (Li et al. 2020, eq. 5).
    """
    elements = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if gamma > 0:
        tiny = torch.finfo(logits.dtype).eps  # at 0 a gamma below 1 has no slope
        elements = elements * (targets - logits.sigmoid()).abs().clamp_min(tiny) ** gamma
    weights = targets.sum(dim=1, keepdim=True)
    return (elements * weights).sum() / weights.sum().clamp_min(1e-8)
