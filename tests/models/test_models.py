"""The networks: sizes, costs, shapes, and where they start."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.ops.misc import SqueezeExcitation

from models import ARCHS, get_model
from models.cbam import ChannelGate, SpatialGate

SMALL = (2, 1, 32, 40)
RESNETS = [arch for arch in ARCHS if arch.startswith("resnet")]
NETWORKS = [(arch, False) for arch in ARCHS] + [(arch, True) for arch in RESNETS]


@pytest.mark.parametrize(
    ("arch", "use_cbam", "parameters", "gmac"),
    [("resnet18", True, 11_326_088, 1.076), ("resnet18", False, 11_236_208, 1.076),
     ("mobilenet_v3_large", False, 4_304_224, 0.114)],
)  # fmt: skip
def test_parameters_with_80_classes_and_cost_of_a_crop(arch, use_cbam, parameters, gmac):
    model = get_model(arch, 80, use_cbam=use_cbam).eval()
    assert sum(weights.numel() for weights in model.parameters()) == parameters
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(torch.zeros(1, 1, 128, 197))
    assert counter.get_total_flops() / 2e9 == pytest.approx(gmac, abs=5e-4)


@pytest.mark.parametrize(("arch", "use_cbam"), NETWORKS)
def test_logits_have_a_column_per_class_and_start_near_one_in_n(arch, use_cbam):
    torch.manual_seed(0)
    model = get_model(arch, 80, use_cbam=use_cbam, dropout_rate=0.0)
    logits = model(torch.randn(SMALL))
    assert logits.shape == (2, 80)
    assert logits.sigmoid().mean().item() == pytest.approx(1 / 80, rel=0.5)
    assert logits.sigmoid().max() < 0.1


@pytest.mark.parametrize(("arch", "use_cbam"), [("resnet18", True), ("mobilenet_v3_small", False)])
def test_norms_know_what_they_see_after_a_hundred_steps(arch, use_cbam):
    """Else a short training is lost in evaluation: with a momentum of 0.01 a third of each start is still there."""
    model, batch = get_model(arch, 3, use_cbam=use_cbam), 5 + 3 * torch.randn(4, 1, 32, 32)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for _ in range(100):
            model(batch)
        known = [norm.running_var.clone() for norm in norms]
        for norm in norms:
            norm.momentum = 1
        model(batch)
    for norm, variance in zip(norms, known, strict=True):
        torch.testing.assert_close(variance, norm.running_var, rtol=1e-3, atol=1e-4)


CROPS = [(arch, (1, 128, width)) for arch in ("resnet18", "mobilenet_v3_small") for width in (197, 500)]


@pytest.mark.parametrize(("arch", "shape"), [*CROPS, ("resnet50", (2, 32, 32)), ("mobilenet_v3_large", (2, 32, 32))])
def test_inputs_of_any_width_and_of_several_channels(arch, shape):
    with torch.inference_mode():
        assert get_model(arch, 3, in_channels=shape[0]).eval()(torch.zeros(1, *shape)).shape == (1, 3)


@pytest.mark.parametrize(("arch", "use_cbam"), NETWORKS)
def test_every_weight_learns(arch, use_cbam):
    """One step away from the start, where zero norms hide what lies before them, every weight has a gradient."""
    torch.manual_seed(0)
    model = get_model(arch, 3, use_cbam=use_cbam, dropout_rate=0.0)
    for name, weights in model.named_parameters():
        if weights.ndim == 1 and "bias" not in name:
            nn.init.uniform_(weights, 0.5, 1.5)
    model(torch.randn(4, 1, 64, 64)).pow(2).sum().backward()
    idle = [name for name, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert idle == []


@pytest.mark.parametrize(("arch", "use_cbam", "blocks"), [("resnet18", True, 8), ("resnet50", False, 16)])
def test_the_last_norm_of_each_branch_starts_at_zero_and_no_other(arch, use_cbam, blocks):
    model = get_model(arch, 3, use_cbam=use_cbam)
    if use_cbam:
        last = [module.norm for module in model.modules() if isinstance(module, SpatialGate)]
    else:
        name = "bn3" if arch == "resnet50" else "bn2"
        last = [getattr(module, name) for module in model.modules() if hasattr(module, "downsample")]
    assert len(last) == blocks
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        assert norm.weight.eq(0 if any(norm is each for each in last) else 1).all()


def test_a_resnet_uses_relu6_and_a_stem_of_three_convolutions():
    model = get_model("resnet18", 3, use_cbam=True)
    stem = [m for m in model.conv1 if isinstance(m, nn.Conv2d)]
    assert [(conv.out_channels, conv.kernel_size, conv.stride) for conv in stem] == [
        (32, (3, 3), (2, 2)), (32, (3, 3), (1, 1)), (64, (3, 3), (1, 1)),
    ]  # fmt: skip
    relus = [m for m in model.modules() if isinstance(m, nn.ReLU | nn.ReLU6)]
    assert len(relus) == 2 + 1 + 8 + 8  # stem, after pooling, blocks, channel gates
    assert all(isinstance(relu, nn.ReLU6) for relu in relus)


@pytest.mark.parametrize("arch", ["resnet18", "mobilenet_v3_small"])
def test_dropout_is_as_asked_for(arch):
    rates = [m.p for m in get_model(arch, 3, dropout_rate=0.3).modules() if isinstance(m, nn.Dropout)]
    assert rates == [0.3]


@pytest.mark.parametrize(
    ("arch", "n_classes", "use_cbam", "message"),
    [
        ("vgg", 3, False, f"unknown arch 'vgg'; choose from {', '.join(ARCHS)}"),
        ("mobilenet_v3_small", 3, True, "leave out --use_cbam"),
        ("resnet18", 1, False, "at least 2 classes"),
    ],
)
def test_refusals(arch, n_classes, use_cbam, message):
    with pytest.raises(ValueError, match=message):
        get_model(arch, n_classes, use_cbam=use_cbam)


def test_the_channel_gate_by_the_papers_formula():
    """M_c = sigmoid(MLP(avg) + MLP(max)), Woo et al. 2018, eq. 2."""
    torch.manual_seed(0)
    gate, x = ChannelGate(32), torch.randn(2, 32, 3, 4)
    first, _, second = gate.mlp
    assert (first.out_features, first.bias is None, second.bias is None) == (2, False, False)
    for sample, out in zip(x, gate(x), strict=True):
        pixels = [sample[:, i, j] for i, j in np.ndindex(3, 4)]
        summed = torch.zeros(32)
        for pooled in (sum(pixels) / 12, torch.stack(pixels).max(dim=0).values):
            hidden = (first.weight @ pooled + first.bias).clamp(min=0)
            summed = summed + second.weight @ hidden + second.bias
        assert torch.allclose(out, sample / (1 + (-summed).exp())[:, None, None], atol=1e-6)


def test_the_spatial_gate_by_the_papers_formula():
    """M_s = sigmoid(f([avg; max])) with f a 7 x 7 convolution without bias and its norm, eq. 3, pixel by pixel."""
    torch.manual_seed(0)
    gate, x = SpatialGate().eval(), torch.randn(1, 5, 8, 9)
    gate.norm.weight.data.fill_(1.5)
    gate.norm.bias.data.fill_(0.2)
    gate.norm.running_mean.fill_(0.1)
    gate.norm.running_var.fill_(0.7)
    assert gate.conv.bias is None
    of_max, of_mean = gate.conv.weight[0]
    padded, out = nn.functional.pad(x[0], (3, 3, 3, 3)), gate(x)[0]
    for i, j in np.ndindex(8, 9):
        around = padded[:, i : i + 7, j : j + 7]
        total = (of_max * around.amax(0) + of_mean * around.mean(0)).sum()
        normed = 1.5 * (total - 0.1) / (0.7 + gate.norm.eps) ** 0.5 + 0.2
        assert torch.allclose(out[:, i, j], x[0, :, i, j] * normed.sigmoid(), atol=1e-5)


def test_mobilenet_is_as_published():
    """Squeeze and excitation N(0, 0.01), the hidden layer He-normal with fan-out, ReLU6, eps 1e-5."""
    torch.manual_seed(0)
    model = get_model("mobilenet_v3_large", 80)
    squeezes = [m for m in model.modules() if isinstance(m, SqueezeExcitation)]
    convolutions = [conv for squeeze in squeezes for conv in (squeeze.fc1, squeeze.fc2)]
    hidden = model.classifier[0]
    for layer in convolutions:
        assert layer.weight.std().item() == pytest.approx(0.01, rel=5 / layer.weight.numel() ** 0.5)
    assert hidden.weight.std().item() == pytest.approx((2 / hidden.out_features) ** 0.5, rel=0.01)
    assert model.classifier[-1].weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert not any(layer.bias.any() for layer in [*convolutions, hidden])
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())
    assert {m.eps for m in model.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-5}


def test_weights_start_as_published():
    torch.manual_seed(0)
    model = get_model("resnet18", 80, use_cbam=True)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] * module.kernel_size[1]
            n = module.weight.numel()
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=5 / n**0.5)
        if isinstance(module, nn.Linear):
            assert module.weight.std().item() == pytest.approx(0.01, rel=5 / module.weight.numel() ** 0.5)
            start = -math.log(79) if module is model.fc[-1] else 0.0
            assert module.bias.eq(torch.tensor(start)).all()
