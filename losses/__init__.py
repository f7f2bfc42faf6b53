"""Loss terms and the only place that sums them."""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from losses.cross_entropy import cross_entropy
from losses.focal_bce import focal_bce
from losses.lovasz import lovasz_hinge

Criterion = Callable[[Tensor, Tensor], Tensor]  # (logits (B, C), targets (B, C)) -> scalar
LOSSES: dict[str, Criterion] = {"bce": focal_bce, "lovasz": lovasz_hinge, "ce": cross_entropy}


def get_loss(names: str, gamma: float = 0.0) -> Criterion:
    """The sum of the terms in `names`, such as "bce+lovasz": (logits (B, C), targets (B, C) in [0, 1]) -> scalar.

    gamma: focal modulation of the BCE.  Raises ValueError on a name that is not in LOSSES.
    """
    unknown = [name for name in names.split("+") if name not in LOSSES]
    if unknown:
        raise ValueError(f"unknown loss {unknown[0]!r}; terms to join with '+': {', '.join(LOSSES)}")
    terms = [partial(focal_bce, gamma=gamma) if name == "bce" else LOSSES[name] for name in names.split("+")]

    def loss(logits: Tensor, targets: Tensor) -> Tensor:
        logits = logits.float()  # bf16 is too coarse to rank margins or to add up 10,000 cross-entropies
        return sum(term(logits, targets) for term in terms)

    return loss


def get_activation(names: str) -> nn.Module:
    """The layer from logits (B, C) to probabilities (B, C) of a network that was trained with these terms.

    Softmax after "ce" alone, where a single logit means nothing; else sigmoid.
    """
    return nn.Softmax(dim=1) if set(names.split("+")) == {"ce"} else nn.Sigmoid()
