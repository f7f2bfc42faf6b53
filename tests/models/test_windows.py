"""Networks to predict with: with folded norms, and passing once over a recording, they say what the networks say."""

import pytest
import torch
from torch import nn

from models import get_model
from models.fused_norms import fold_norms
from models.windows import local_max, local_mean, windowed

NETWORKS = [("resnet18", True), ("resnet18", False), ("mobilenet_v3_small", False)]


def trained_a_little(arch: str, use_cbam: bool) -> nn.Module:
    torch.manual_seed(0)
    model = get_model(arch, 5, use_cbam=use_cbam).train()
    last = [layer for layer in model.modules() if isinstance(layer, nn.Linear)][-1]
    nn.init.normal_(last.weight, std=0.05)  # at its usual start, 0.01, all logits are alike
    optimizer = torch.optim.SGD(model.parameters(), 0.03)
    for _ in range(3):
        model(torch.randn(4, 1, 32, 40)).square().mean().backward()
        optimizer.step()
    return model.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("arch", "use_cbam"), [("resnet18", True), ("resnet50", False), ("mobilenet_v3_small", False)])
def test_the_same_logits_without_any_batch_norm(arch, use_cbam):
    model = trained_a_little(arch, use_cbam)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_norms(model)
    inputs = torch.randn(2, 1, 32, 50)
    with torch.inference_mode():
        expected, made = model.eval()(inputs), folded(inputs)
    assert expected.std() > 1e-3
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)
    assert not [module for module in folded.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_norm_that_follows_no_convolution_or_shares_it_stays():
    class Forked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.conv, self.second = nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.conv(self.first(x))
            return x + self.second(x)

    model, inputs = Forked(), torch.randn(4, 1, 8, 8)
    model(inputs)
    folded = fold_norms(model)
    torch.testing.assert_close(folded(inputs), model.eval()(inputs))
    assert sum(isinstance(module, nn.BatchNorm2d) for module in folded.modules()) == 2


class Plain(nn.Module):
    """A network without padding or attention, to which a window is a crop."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.avgpool, self.fc = nn.Conv2d(1, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.avgpool(self.conv(x).relu()).flatten(1))


@pytest.mark.parametrize(("arch", "use_cbam"), NETWORKS)
def test_what_is_as_long_as_a_crop_gets_the_logits_of_a_crop(arch, use_cbam):
    model, inputs = trained_a_little(arch, use_cbam), torch.randn(3, 1, 32, 72)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.inference_mode():
        made = windowed(model, 32, 72)(inputs)
        assert model.training  # the network itself stays as it is
        assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
        expected = model.eval()(inputs)
    assert expected.std() > 1e-3
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-5)


def test_a_window_judges_its_own_place_and_not_the_whole():
    """The same sound alone, and 20 s of another one later: its windows say the same, but for the nearest ones."""
    model = trained_a_little("resnet18", True)
    torch.manual_seed(1)
    sound, other = torch.randn(1, 1, 32, 800), 5 + torch.randn(1, 1, 32, 2000)
    network = windowed(model, 32, 64)
    with torch.inference_mode():
        alone, followed = network(sound), network(torch.cat([sound, other], dim=3))
        whole = model.eval()(torch.cat([sound, other], dim=3))
    assert len(alone) == 800 // 32 - 1  # a window is two columns wide
    torch.testing.assert_close(followed[:5], alone[:5], rtol=1e-3, atol=1e-4)
    assert (whole - alone[:5]).abs().max() > 1e-2


@pytest.mark.parametrize("window", [1, 2, 3, 7, 10])
def test_local_statistics_are_those_of_a_window_around_each_column_that_stays_inside(window):
    x = torch.randn(2, 3, 4, 10)
    for column in range(10):
        start = min(max(column - (window - 1) // 2, 0), 10 - window)
        around = x[..., start : start + window].flatten(2)
        torch.testing.assert_close(local_mean(x, window)[:, :, column], around.mean(2))
        torch.testing.assert_close(local_max(x, window)[:, :, column], around.amax(2))


def test_without_padding_or_attention_windows_are_crops():
    model, inputs = Plain().eval(), torch.randn(2, 1, 8, 30)
    with torch.inference_mode():
        made = windowed(model, 8, 12)(inputs).view(2, 19, 2)
        for start in range(19):
            torch.testing.assert_close(made[:, start], model(inputs[..., start : start + 12]))
