"""What a network may be given beside its layers: another pooling, a channel that tells the band."""

import pytest
import torch

from models import get_model
from models.coordinate import FrequencyCoordinate
from models.folding import fold_norms
from models.pooling import MeanThenMax


def test_mean_over_bands_then_maximum_plus_mean_over_time_by_hand():
    x = torch.tensor([[[[1.0, 2.0, 6.0], [3.0, 4.0, 8.0]]]])  # bands' means: 2, 3, 7
    assert MeanThenMax()(x).tolist() == [[[[7.0 + 4.0]]]]


def test_the_last_channel_tells_the_band():
    x = torch.randn(2, 1, 5, 3)
    out = FrequencyCoordinate()(x)
    assert torch.equal(out[:, :1], x)
    assert out[1, 1].tolist() == [[v] * 3 for v in (-1.0, -0.5, 0.0, 0.5, 1.0)]


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small"])
def test_networks_with_both_can_be_trained_and_folded(arch):
    model = get_model(arch, 4, pooling="meanmax", use_coordinate=True).to(memory_format=torch.channels_last)
    x = torch.randn(3, 1, 32, 48)
    model(x).sum().backward()
    torch.testing.assert_close(fold_norms(model)(x), model.eval()(x), rtol=1e-4, atol=1e-5)


def test_an_unknown_pooling_lists_the_choices():
    with pytest.raises(ValueError, match="mean, meanmax"):
        get_model("resnet18", 4, pooling="median")
