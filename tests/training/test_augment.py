"""mixup and SpecAugment: what they may do to a batch, and what not."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from loaders.levels import change_level
from loaders.pcen import AudioSettings, pcen_mel
from training.augment import draw_masks, mixup, random_level, shift_bands, spec_augment

SEEDS, SHARE = st.integers(0, 2**32 - 1), 0.2


def batch(size: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(size, 1, 20, 30), torch.eye(size)  # the targets tell which sample is which


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(SEEDS)
def test_a_mixed_sample_keeps_at_least_half_of_itself(seed):
    inputs, targets = batch()
    mixed, mixed_targets = mixup(inputs, targets, rng(seed))
    for i in range(6):
        share = mixed_targets[i, i].item()
        others = mixed_targets[i].clone()
        others[i] = 0
        assert share >= 0.5 - 1e-6
        assert share + others.sum().item() == pytest.approx(1, abs=1e-5)
        assert (others > 1e-6).sum() <= 1
        expected = share * inputs[i] + (1 - share) * inputs[int(others.argmax())]
        assert torch.allclose(mixed[i], expected if others.any() else inputs[i], atol=1e-5)


def test_shares_come_from_the_beta_distribution():
    inputs, targets = torch.zeros(4000, 1, 1, 1), torch.arange(4000.0)[:, None] % 2
    _, mixed = mixup(inputs, targets, rng(0))
    shares = mixed[(mixed > 0) & (mixed < 1)]  # of pairs with different targets
    folded = torch.maximum(shares, 1 - shares)
    drawn = np.random.default_rng(1).beta(0.4, 0.4, 100_000)
    expected = np.maximum(drawn, 1 - drawn)
    for quantile in (0.25, 0.5, 0.75):
        assert folded.quantile(quantile).item() == pytest.approx(np.quantile(expected, quantile), abs=0.03)


def test_partners_are_a_permutation_of_the_batch():
    _, targets = mixup(torch.zeros(8, 1, 1, 1), torch.eye(8), rng(3))
    others = targets - targets.diag().diag()
    partners = [int(row.argmax()) if row.any() else i for i, row in enumerate(others)]
    assert sorted(partners) == list(range(8))
    assert partners != list(range(8))


@pytest.mark.parametrize(
    "augment",
    [mixup, lambda x, y, r: (spec_augment(x, r, SHARE), y), lambda x, y, r: (shift_bands(x, r, 0.2), y)],
    ids=["mixup", "masks", "shifts"],
)
def test_a_seed_gives_one_result_and_the_batch_itself_is_left_alone(augment):
    inputs, targets = batch()
    made = augment(inputs, targets, rng(1))[0]
    assert torch.equal(made, augment(inputs, targets, rng(1))[0])
    assert not torch.equal(made, augment(inputs, targets, rng(2))[0])
    assert torch.equal(inputs, batch()[0])
    assert torch.equal(targets, batch()[1])


@given(SEEDS)
def test_each_mask_is_filled_with_the_mean_by_then_and_all_other_places_stay(seed):
    inputs, _ = batch()
    bands, spans = (draw_masks(r, 6, size, SHARE) for r in [rng(seed)] for size in (20, 30))
    for number, (before, after) in enumerate(
        zip(inputs[:, 0], spec_augment(inputs, rng(seed), SHARE)[:, 0], strict=True)
    ):
        expected = before.clone()
        for band in bands[:, number]:
            expected[torch.from_numpy(band)] = expected.mean()
        for span in spans[:, number]:
            expected[:, torch.from_numpy(span)] = expected.mean()
        torch.testing.assert_close(after, expected)


@given(SEEDS)
def test_a_shift_moves_all_of_a_sample_and_repeats_the_band_at_the_edge(seed):
    inputs, _ = batch()
    for before, after in zip(inputs[:, 0], shift_bands(inputs, rng(seed), 0.15)[:, 0], strict=True):  # 20 bands
        padded = torch.cat([before[:1].expand(3, -1), before, before[-1:].expand(3, -1)])
        assert sum(torch.equal(after, padded[first : first + 20]) for first in range(7)) == 1


def test_shifts_are_uniform_up_to_the_limit():
    ramp = torch.arange(20.0).view(1, 1, 20, 1).expand(7000, 1, 20, 2)
    shifts, counts = (shift_bands(ramp, rng(0), 0.15)[:, 0, 10, 0] - 10).unique(return_counts=True)
    assert shifts.tolist() == [-3, -2, -1, 0, 1, 2, 3]
    assert (counts - 1000).abs().max() < 150


def published_masks(size: int, rng: np.random.Generator, share: float = 0.2) -> list[tuple[int, int]]:
    """(start, width) of the masks of one axis, drawn one after the other as the original's description says."""
    masks = []
    for _ in range(2):
        limit = int(rng.integers(int(share * size)))
        if limit == 0:
            break
        start = int(rng.integers(size - limit))
        masks.append((start, int(rng.integers(limit))))
    return masks


@pytest.mark.parametrize(("size", "share"), [(128, 0.2), (30, 0.2), (100, 0.4)])
def test_masks_are_distributed_as_published(size, share):
    n = 20_000
    ours = draw_masks(rng(0), n, size, share)  # (2, n, size)
    theirs = np.zeros((2, n, size), bool)
    generator = np.random.default_rng(1)
    for i in range(n):
        for number, (start, width) in enumerate(published_masks(size, generator, share)):
            theirs[number, i, start : start + width] = True
    for first, second in zip(ours, theirs, strict=True):
        for quantile in (0.25, 0.5, 0.75, 0.95):
            lengths = [np.quantile(masks.sum(axis=1), quantile) for masks in (first, second)]
            assert lengths[0] == pytest.approx(lengths[1], abs=max(0.02 * size * share, 1))
        assert first.sum(axis=1).mean() == pytest.approx(second.sum(axis=1).mean(), rel=0.05)
        assert first.sum(axis=1).max() == second.sum(axis=1).max() == int(share * size) - 2
        np.testing.assert_allclose(first.mean(axis=0), second.mean(axis=0), atol=0.01)  # where along the axis


def test_a_limit_of_zero_ends_the_masks_of_its_sample():
    first, second = draw_masks(rng(0), 4000, 15, SHARE).any(axis=2)  # limits 0, 1 and 2, so widths 0 and 1
    assert first.mean() == pytest.approx(1 / 6, abs=0.02)
    assert second.mean() == pytest.approx(1 / 9, abs=0.02)


@pytest.mark.parametrize("size", [1, 4, 9])
def test_an_axis_too_short_for_a_mask_is_left_alone(size):
    assert not draw_masks(rng(0), 50, size, SHARE).any()


@pytest.mark.parametrize("db", [6, -20, -40])
def test_a_level_changed_on_the_features_is_that_of_the_samples(db):
    noise = np.random.default_rng(0).standard_normal((2, 32000)) * np.exp(-np.arange(32000) / 9000) * [[0.3], [0.02]]
    gain, settings = 10 ** (db / 20), AudioSettings(16000, 32)
    before, after = (
        torch.from_numpy(np.stack([pcen_mel((row * by).astype(np.float32), settings).T for row in noise]))[:, None]
        for by in (1, gain)
    )
    changed = change_level(before, torch.full((2,), gain))
    assert (changed - after).abs().max() < 1e-4
    assert (changed - before).abs().max() > 0.05


def test_random_levels_lie_in_their_range_and_differ_within_a_batch():
    inputs = torch.full((400, 1, 4, 5), 0.6)
    changed = random_level(inputs, rng(0), 40.0)[:, 0, 0, 0]
    quietest, loudest = (change_level(inputs[:1], torch.tensor([10 ** (db / 20)]))[0, 0, 0, 0] for db in (-40, 6))
    assert quietest <= changed.min() < quietest + 0.02
    assert loudest - 0.02 < changed.max() <= loudest
    assert len(changed.unique()) > 390
    torch.testing.assert_close(random_level(inputs, rng(0), 40.0)[:, 0, 0, 0], changed)
