"""The plain pipeline is slow but does the same: same loss, masks, mixtures and probabilities on the same inputs."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from benchmarks import plain
from loaders.clips import Clips
from losses.lovasz import lovasz_hinge
from models import get_model
from predicting.tta import predict
from training.augment import mixup, spec_augment

CPU = torch.device("cpu")


@pytest.fixture
def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 1, 64, 90, generator=generator), torch.rand(6, 12, generator=generator)


def test_loss_and_gradients(batch):
    _, targets = batch
    ours = torch.randn(6, 12, generator=torch.Generator().manual_seed(1), requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    loss, plain_loss = lovasz_hinge(ours, targets), plain.lovasz_hinge(theirs, targets)
    assert_close(plain_loss, loss)
    loss.backward()
    plain_loss.backward()
    assert_close(theirs.grad, ours.grad)


def test_mixup(batch):
    assert_close(plain.mixup(*batch, np.random.default_rng(0)), mixup(*batch, np.random.default_rng(0)))


def test_masks(batch):
    for number, sample in enumerate(batch[0]):  # one at a time: only then do both draw in the same order
        theirs = plain.spec_augment(sample[None], np.random.default_rng(number))
        assert_close(theirs, spec_augment(sample[None], np.random.default_rng(number), 0.2))
        assert (theirs != sample).any()


def test_predictions():
    model = get_model("mobilenet_v3_small", 12)
    lengths, rows = np.array([90, 197, 300, 1000, 205]), torch.rand(1792, 128).half()
    clips = Clips(list("abcde"), (rows,), np.zeros(5, int), lengths.cumsum() - lengths, lengths, np.full(5, ""))
    ours = predict(model, clips.select(np.arange(1, 5)), 197, 4, CPU, tta=3)
    assert_close(plain.predict(model, plain.arrays(clips.select(np.arange(1, 5))), 197, 3, CPU), ours)
