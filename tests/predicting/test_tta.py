"""Crops of a clip, and the mean of what a network says about them."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from loaders.clips import Clips
from predicting.tta import crop_starts, predict, prepare
from tests.models.test_windows import Plain

CPU = torch.device("cpu")
LENGTHS, WIDTHS = st.integers(1, 5000), st.integers(1, 300)


@given(LENGTHS, WIDTHS, st.integers(1, 20) | st.none())
def test_crops_go_from_the_first_to_the_last_frame_evenly(length, width, tta):
    starts = crop_starts(length, width, tta)
    spare = length - width
    if spare <= 0:
        assert starts.tolist() == [0]
    elif tta == 1:
        assert starts.tolist() == [spare // 2]
    else:
        assert starts[0] == 0
        assert starts[-1] + width == length
        gaps = np.diff(starts)
        assert gaps.min() >= 0
        assert gaps.max() - gaps.min() <= 1
        assert len(starts) == tta if tta else gaps.max() <= max(width / 2 + 1, 1)  # which covers every frame


@pytest.mark.parametrize(
    ("length", "tta", "starts"),
    [
        (197, 8, [0]),  # as long as a crop
        (150, 8, [0]),  # shorter
        (198, 8, [0, 0, 0, 0, 1, 1, 1, 1]),
        (201, 8, [0, 1, 1, 2, 2, 3, 3, 4]),  # two seconds, with the frames that a centred STFT has at its edges
        (201, 2, [0, 4]),
        (1000, 3, [0, 402, 803]),
        (1000, 1, [401]),
        (394, None, [0, 98, 197]),
        (296, None, [0, 50, 99]),
    ],
)
def test_crop_starts_by_hand(length, tta, starts):
    assert crop_starts(length, 197, tta).tolist() == starts


class Network(nn.Module):
    """Its logits depend on every frame and band, and on training mode."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.drop = nn.Conv2d(1, 3, 3, padding=1), nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.drop(self.conv(x)).amax(dim=(2, 3))


def clips(lengths: list[int]) -> tuple[Clips, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=(n, 6)).astype(np.float16) for n in lengths]
    places = np.zeros(len(lengths), int), np.cumsum([0, *lengths])[:-1], np.array(lengths)
    names = [f"{i}.wav" for i in range(len(lengths))]
    return Clips(names, (torch.from_numpy(np.concatenate(parts)),), *places, np.array(names)), parts


@pytest.mark.parametrize("tta", [None, 0, 1, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("shift", [0, 0.3])
def test_equals_a_plain_loop_over_clips_and_crops(tta, batch_size, shift):
    """0.3 of six bands is 2, rounded."""
    held, parts = clips([20, 53, 7, 22, 100, 53])
    model = Network().eval()
    expected = []
    moved = ([0, 1, 2, 3, 4, 5], [0, 0, 0, 1, 2, 3], [2, 3, 4, 5, 5, 5])  # as it is, up, down
    for part in parts:
        wrapped = np.resize(part, (max(len(part), 20), 6))
        starts = crop_starts(len(part), 20, tta)
        crops = [part] if tta == 0 else [wrapped[start : start + 20] for start in starts]
        crops = [crop[:, moved[number % 3 if shift else 0]] for number, crop in enumerate(crops)]
        with torch.inference_mode():
            said = [model(torch.from_numpy(crop.T[None, None].astype(np.float32))).sigmoid()[0] for crop in crops]
        expected.append(torch.stack(said).mean(dim=0).numpy())
    made = predict(model, held, 20, batch_size, CPU, tta=tta, shift=shift)
    assert (made.shape, made.dtype) == ((6, 3), np.float32)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_evaluation_mode_whatever_the_network_was_in_a_prepared_one_as_it_is_and_bf16_near_it():
    held, _ = clips([30, 40])
    expected = predict(Network().eval(), held, 20, 4, CPU)
    for model in (Network().train(), prepare(Network(), None, 6, 20)):
        np.testing.assert_array_equal(predict(model, held, 20, 4, CPU), expected)
    coarse = predict(Network(), held, 20, 4, CPU, precision=torch.bfloat16)
    np.testing.assert_allclose(coarse, expected, atol=0.02)


def test_shared_crops_take_short_clips_once_and_others_in_one_pass(monkeypatch):
    """Of a network without padding, the mean over the crops that start at every frame; also where a pass is limited."""

    torch.manual_seed(0)
    model = Plain().eval()
    held, _ = clips([40, 11, 12, 40, 25])

    def scores(clip: int, firsts) -> np.ndarray:
        with torch.inference_mode():
            parts = [held.crops(np.array([clip]), np.array([first]), 12, CPU) for first in firsts]
            return model(torch.cat(parts)).sigmoid().mean(0).numpy()

    made = predict(model, held, 12, 2, CPU, tta="shared")
    expected = [scores(0, range(29)), scores(1, [0]), scores(2, [0]), scores(3, range(29)), scores(4, range(14))]
    np.testing.assert_allclose(made, expected, atol=1e-6)
    monkeypatch.setattr("predicting.tta.LONGEST_PASS", 30)
    parts = np.stack([scores(0, range(19)), scores(0, range(10, 29))])
    np.testing.assert_allclose(predict(model, held, 12, 2, CPU, tta="shared")[0], parts.mean(0), atol=1e-6)
