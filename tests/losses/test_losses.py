"""The loss terms against plain references, written from the papers sample by sample, values and gradients."""

import math
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from losses import get_activation, get_loss
from losses.cross_entropy import cross_entropy
from losses.focal_bce import focal_bce
from losses.lovasz import lovasz_hinge


def bce_reference(logits: np.ndarray, targets: np.ndarray, gamma: float = 0.0) -> float:
    """Element by element: cross-entropy between target and probability, times |target - probability| ** gamma."""
    total = 0.0
    for sample, wanted in zip(logits, targets, strict=True):
        weight = sum(wanted)
        for z, t in zip(sample, wanted, strict=True):
            p = 1 / (1 + math.exp(-z))
            total += weight * -(t * math.log(p) + (1 - t) * math.log(1 - p)) * abs(t - p) ** gamma
    return total / targets.sum()


def jaccard_loss(wrong: list[bool], targets: np.ndarray) -> float:
    """1 - intersection / union of the true set and the predicted one, when the classes `wrong` are mispredicted.

    The prediction misses what is true there and adds what is not, so the truth that is left is the intersection, and
    the whole truth with all that is wrong is the union.  A soft target is that much of a member.
    """
    intersection = sum(t for t, w in zip(targets, wrong, strict=True) if not w)
    union = sum(1.0 if w else t for t, w in zip(targets, wrong, strict=True))
    return 1 - intersection / union if union else 0.0


def lovasz_reference(logits: np.ndarray, targets: np.ndarray) -> float:
    """Lovász extension of the Jaccard loss at the hinge errors, by its integral (Bach 2013, prop. 3.1).

    The extension of a set function at m >= 0 is the integral over thresholds of its value at {m >= threshold}.
    """
    total = 0.0
    for sample, wanted in zip(logits, targets, strict=True):
        errors = [max(0.0, 1 - z * (2 * t - 1)) for z, t in zip(sample, wanted, strict=True)]
        levels = sorted({0.0, *errors})
        for low, high in pairwise(levels):
            total += (high - low) * jaccard_loss([error >= high for error in errors], wanted)
    return total / len(logits)


def cross_entropy_reference(logits: np.ndarray, targets: np.ndarray) -> float:
    """Sample by sample: -sum of share * log(softmax), the shares being the targets over their sum."""
    total = 0.0
    for sample, wanted in zip(logits, targets, strict=True):
        whole = sum(math.exp(z) for z in sample)
        total -= sum(t / sum(wanted) * math.log(math.exp(z) / whole) for z, t in zip(sample, wanted, strict=True))
    return total / len(logits)


def gradient(function, logits: np.ndarray) -> np.ndarray:
    """Central differences."""
    result, step = np.zeros_like(logits), 1e-6
    for at in np.ndindex(*logits.shape):
        up, down = logits.copy(), logits.copy()
        up[at] += step
        down[at] -= step
        result[at] = (function(up) - function(down)) / (2 * step)
    return result


def check(loss, reference, logits: np.ndarray, targets: np.ndarray) -> None:
    """Same value and same gradient, in double precision."""
    variable = torch.tensor(logits, requires_grad=True)
    value = loss(variable, torch.tensor(targets))
    value.backward()
    assert value.item() == pytest.approx(reference(logits, targets), abs=1e-9)
    expected = gradient(lambda z: reference(z, targets), logits)
    np.testing.assert_allclose(variable.grad.numpy(), expected, atol=1e-6)


def batch(seed: int, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits (3, 5) and targets (3, 5): hard, soft as noisy clips have them, or mixed as by mixup."""
    rng = np.random.default_rng(seed)
    hard = np.eye(5)[rng.integers(0, 5, 3)]
    hard[0, rng.integers(0, 5)] = 1
    soft = np.where(hard > 0, 0.8, 0.2 / (5 - hard.sum(axis=1, keepdims=True)))
    targets = {"hard": hard, "soft": soft, "mixed": 0.7 * hard + 0.3 * soft[::-1]}[kind]
    return rng.normal(0, 2, (3, 5)), targets


KINDS = st.sampled_from(["hard", "soft", "mixed"])
SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("loss", "reference"),
    [(lovasz_hinge, lovasz_reference), (cross_entropy, cross_entropy_reference)]
    + [(partial(focal_bce, gamma=gamma), partial(bce_reference, gamma=gamma)) for gamma in (0.0, 0.5, 1.0, 2.0, 3.5)],
)
@settings(max_examples=20)
@given(SEEDS, KINDS)
def test_the_terms_equal_their_references(loss, reference, seed, kind):
    check(loss, reference, *batch(seed, kind))


@pytest.mark.parametrize(
    ("loss", "logits", "targets", "value"),
    [
        # two samples at p = 1/2: every element is log 2; weights 1 and 2; divided by 3 targets
        (focal_bce, [[0, 0, 0], [0, 0, 0]], [[1, 0, 0], [1, 1, 0]], (1 * 3 + 2 * 3) * math.log(2) / 3),
        # errors 3 (a missed label), 2 (a false one), 0: Jaccard losses 1, 1, so 3 * 1 + 2 * 0
        (lovasz_hinge, [[-2, 1, -1]], [[1, 0, 0]], 3),
        # the false one first: Jaccard loss of one false label is 1/2, then 1: 3 * 1/2 + 2 * 1/2
        (lovasz_hinge, [[-1, 2, -1]], [[1, 0, 0]], 2.5),
        # both labels at one half: log 2; a sample without targets costs nothing, but counts
        (cross_entropy, [[50, 50, 0], [1, 2, 3]], [[1, 1, 0], [0, 0, 0]], math.log(2) / 2),
    ],
)
def test_values_by_hand(loss, logits, targets, value):
    assert loss(torch.tensor(logits).float(), torch.tensor(targets).float()).item() == pytest.approx(value)


@pytest.mark.parametrize(
    ("names", "first"), [("ce", 0.25), ("ce+ce", 0.25), ("bce", 0.5), ("bce+lovasz", 0.5), ("bce+ce", 0.5)]
)
def test_probabilities_are_a_softmax_after_ce_alone_and_else_sigmoids(names, first):
    made = get_activation(names)(torch.tensor([[0.0, math.log(3.0)]]))
    torch.testing.assert_close(made, torch.tensor([[first, 0.75]]))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("logits", [[0.0, 0, 0], [1.0, -1, 1], [50.0, -50, -50], [-200.0, 200, 0]])
def test_value_and_gradient_are_finite_at_the_extremes(gamma, logits):
    for targets in ([0.0, 0, 0], [1.0, 1, 1], [1.0, 0, 0], [0.8, 0.1, 0.1]):
        variable = torch.tensor([logits], requires_grad=True)
        value = get_loss("bce+lovasz", gamma)(variable, torch.tensor([targets]))
        value.backward()
        assert value.isfinite()
        assert value.item() >= 0
        assert variable.grad.isfinite().all(), f"targets {targets}: gradient {variable.grad}"


def test_the_whole_is_the_sum_of_its_terms_in_single_precision():
    logits, targets = (torch.tensor(array, dtype=torch.float32) for array in batch(1, "soft"))
    coarse = logits.bfloat16().requires_grad_()
    value = get_loss("bce+lovasz", 2.0)(coarse, targets)
    value.backward()
    assert (value.dtype, coarse.grad.dtype) == (torch.float32, torch.bfloat16)
    expected = focal_bce(coarse.float(), targets, 2.0) + lovasz_hinge(coarse.float(), targets)
    assert value.item() == pytest.approx(expected.item())
    assert get_loss("lovasz", 2.0)(logits, targets).item() == lovasz_hinge(logits, targets).item()
