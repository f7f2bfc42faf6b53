"""The Lovász hinge: a convex surrogate of the Jaccard index between the true and the predicted label set."""

import torch
from torch import Tensor


def lovasz_hinge(logits: Tensor, targets: Tensor) -> Tensor:
    """Lovász hinge of each sample over its classes, averaged over the batch; a scalar >= 0.

    logits, targets: (B, C), targets in [0, 1].  Berman et al., "The Lovász-Softmax loss", CVPR 2018, Alg. 1 and
    eq. 7-8: the margins' errors sorted in falling order, weighted by the growth of the Jaccard loss as each joins
    the set of mispredictions.  A soft target counts as that much of a label.
    """
    errors = 1 - logits * (2 * targets - 1)
    errors, order = errors.sort(dim=1, descending=True)
    return (errors.relu() * _jaccard_growth(targets.gather(1, order))).sum(dim=1).mean()


def _jaccard_growth(sorted_targets: Tensor) -> Tensor:
    """Discrete derivative of the Jaccard loss along sorted targets (B, C)."""
    total = sorted_targets.sum(dim=1, keepdim=True)
    intersection = total - _running_sum(sorted_targets)
    union = total + _running_sum(1 - sorted_targets)
    jaccard = 1 - intersection / union
    return torch.cat([jaccard[:, :1], jaccard.diff(dim=1)], dim=1)


def _running_sum(x: Tensor) -> Tensor:
    """cumsum along the rows of (B, C); a product where a GPU must be deterministic, since its cumsum is not."""
    if x.is_cuda and torch.are_deterministic_algorithms_enabled():
        return x @ x.new_ones(x.shape[1], x.shape[1]).triu()
    return x.cumsum(dim=1)
