"""Our ReLU6 is nn.ReLU6, bit for bit, without the copy that the latter keeps."""

import pytest
import torch
from torch import nn

from models.relu6 import ReLU6

EDGES = [-torch.inf, -1.0, -0.0, 0.0, 1e-45, 3.0, 5.9999995, 6.0, 6.0000005, torch.inf, torch.nan]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_torch(dtype):
    leaf = torch.cat([torch.tensor(EDGES), torch.randn(1000) * 6]).to(dtype).requires_grad_()
    grad = torch.randn(len(leaf)).to(dtype)
    made = ReLU6()(leaf * 1)
    (ours,) = torch.autograd.grad(made, leaf, grad)
    expected = nn.ReLU6()(leaf * 1)
    (theirs,) = torch.autograd.grad(expected, leaf, grad)
    torch.testing.assert_close(made, expected, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_keeps_nothing_but_its_result(dtype):
    x = torch.randn(100, dtype=dtype).requires_grad_() * 1
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.data_ptr()), lambda _: None):
        made = ReLU6()(x)
    assert (made.data_ptr() == x.data_ptr()) == (dtype == torch.float32)
    assert kept == [made.data_ptr()]


def test_a_result_that_is_changed_before_the_backward_pass_is_noticed():
    made = ReLU6()(torch.randn(10).requires_grad_() * 1)
    loss = made.sum()
    made.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_without_gradients():
    with torch.inference_mode():
        assert ReLU6()(torch.tensor([-1.0, 2.0, 7.0])).tolist() == [0.0, 2.0, 6.0]


def test_the_second_derivative():
    x = torch.linspace(-2, 8, 21, dtype=torch.float64).requires_grad_()  # no point on an edge
    x = x + 0.1
    assert torch.autograd.gradcheck(lambda x: ReLU6()(x * 1), x)
    assert torch.autograd.gradgradcheck(lambda x: ReLU6()(x * 1).square(), x)


def test_the_second_derivative_in_place():
    x = torch.linspace(-2, 8, 21).requires_grad_()
    seconds = []
    for layer in (ReLU6(), nn.ReLU6()):
        (first,) = torch.autograd.grad(layer(x * 1).pow(3).sum(), x, create_graph=True)
        seconds += torch.autograd.grad(first.sum(), x)
    assert torch.equal(*seconds)
    assert seconds[0].any()


def test_under_torch_compile():
    torch._dynamo.reset()
    leaf = torch.randn(50).requires_grad_()
    made = torch.compile(lambda x: ReLU6()(x * 8), backend="aot_eager", fullgraph=True)(leaf)
    (grad,) = torch.autograd.grad(made.sum(), leaf)
    assert torch.equal(made, (leaf * 8).clamp(0, 6))
    assert torch.equal(grad, torch.where((made > 0) & (made < 6), 8.0, 0.0))
