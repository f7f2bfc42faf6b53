"""Folded networks say what the networks say."""

import pytest
import torch
from torch import nn

from models import get_model
from models.fused_norms import fold_norms


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


@pytest.mark.parametrize(
    ("arch", "use_cbam"), [("resnet18", False), ("resnet18", True), ("resnet50", True), ("mobilenet_v3_small", False)]
)
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
