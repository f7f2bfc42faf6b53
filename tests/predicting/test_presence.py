"""Thresholds and calibration: what they are chosen on, and what they mean."""

import numpy as np
import pytest
import torch

from loaders.clips import Clips
from loaders.pcen import AudioSettings, pcen_mel
from predicting.metrics import calibrated
from predicting.presence import COLOURS, calibration_set, choose_thresholds, fit_calibration, fit_presence, noise_crops

SETTINGS, WIDTH = AudioSettings(16000, 32), 40


def tones() -> tuple[Clips, np.ndarray]:
    """Six clips of two classes: low tones and high ones."""
    time = np.arange(16000) / 16000
    packs = [
        pcen_mel(np.sin(2 * np.pi * f * time).astype(np.float32), SETTINGS) for f in (200, 220, 240, 4e3, 5e3, 6e3)
    ]
    lengths = np.array([len(pack) for pack in packs])
    pack = torch.from_numpy(np.concatenate(packs)).half()
    starts, zeros = np.cumsum(lengths) - lengths, np.zeros(6, int)
    return Clips([""] * 6, (pack,), zeros, starts, lengths, zeros.astype(str)), np.repeat(np.eye(2, dtype=bool), 3, 0)


def scores(rng: np.random.Generator, n: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, 3) of which a share of `scale` logits too much is overconfidence, and labels drawn from them."""
    logits = rng.normal(-2, 2, (n, 3))
    truth = rng.random((n, 3)) < 1 / (1 + np.exp(-logits))
    return (1 / (1 + np.exp(-scale * logits - [0, 0.1, -0.1]))).astype(np.float32), truth


def test_calibration_undoes_overconfidence():
    p, truth = scores(np.random.default_rng(0), 20_000, scale=3)
    slope, offsets = fit_calibration(p, truth)
    assert float(slope) == pytest.approx(1 / 3, abs=0.03)
    after = calibrated(p, float(slope), offsets.tolist())
    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (after >= low) & (after < low + 0.2)
        assert truth[inside].mean() == pytest.approx(after[inside].mean(), abs=0.03)


def test_a_threshold_is_where_f1_is_highest_and_that_of_a_rare_class_near_that_of_all():
    p, truth = scores(np.random.default_rng(1), 5_000)
    truth[:, 2] = False
    truth[p[:, 2].argmax(), 2] = True  # a single clip, which alone would put its threshold at the top
    thresholds = choose_thresholds(p, truth)

    def f1(column: int, threshold: float) -> float:
        above = p[:, column] >= threshold
        return 2 * (above & truth[:, column]).sum() / (above.sum() + truth[:, column].sum())

    for column in (0, 1):
        assert f1(column, thresholds[column]) > max(f1(column, t) for t in np.arange(1, 100) / 100) - 0.01
    assert thresholds[2] < 0.7


def test_calibration_crops_hold_one_sound_two_parts_and_noise():
    clips, truth = tones()
    crops, labels = calibration_set(clips, truth, WIDTH, SETTINGS, np.random.default_rng(0))
    assert (len(crops), labels.shape, set(crops.lengths)) == (200, (200, 2), {WIDTH})
    assert set(labels.sum(axis=1).tolist()) == {0, 1, 2}
    features = crops.packs[0].view(200, WIDTH, 32).float()
    assert features.isfinite().all()
    low, high = features[..., :8].amax((1, 2)), features[..., 20:].amax((1, 2))
    assert low[labels[:, 0]].mean() > low[~labels[:, 0]].mean() + 0.1
    assert high[labels[:, 1]].mean() > high[~labels[:, 1]].mean() + 0.1


def test_noise_is_as_loud_as_real_noise_of_that_level():
    crops = noise_crops(WIDTH, SETTINGS, 300, np.random.default_rng(0))
    assert crops.shape == (300, 1, 32, WIDTH)
    for level in (-130, -30):
        noise = 10 ** (level / 20) * np.random.default_rng(1).standard_normal(16000)
        real = float(np.median(pcen_mel(noise.astype(np.float32), SETTINGS)))
        assert min(crops.mean((1, 2, 3))) < real * 1.3 if level == -130 else max(crops.mean((1, 2, 3))) > real * 0.7
    assert len(COLOURS) == 3


def test_a_network_that_hears_tones_gets_thresholds_between_its_scores():
    clips, truth = tones()

    def predict(crops: Clips) -> np.ndarray:
        features = crops.packs[0].view(len(crops), WIDTH, 32).float()
        return (
            torch.stack([features[..., :8].amax((1, 2)), features[..., 20:].amax((1, 2))], 1).sub(0.5).sigmoid().numpy()
        )

    presence = fit_presence(clips, truth, WIDTH, SETTINGS, np.random.default_rng(0), predict)
    assert presence.thresholds.shape == presence.offsets.shape == (2,)
    assert presence.slope > 1
    assert ((presence.thresholds > 0.38) & (presence.thresholds < 0.7)).all()
