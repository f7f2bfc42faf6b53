"""mean_and_max is mean and amax; what it does itself is their backward pass."""

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from models.cbam import mean_and_max

FORMATS = [torch.contiguous_format, torch.channels_last]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def by_autograd(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
    return x.mean(dim, keepdim=True), x.amax(dim, keepdim=True)


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_values_and_gradients_are_those_of_autograd(memory_format, dim, dtype):
    numbers = torch.randperm(2 * 5 * 4 * 3).reshape(2, 5, 4, 3) - 50  # no two alike, all exact in bf16
    leaf = numbers.to(dtype).to(memory_format=memory_format).requires_grad_()
    x = leaf if dim == 1 else leaf.flatten(2)
    ours, theirs = mean_and_max(x, dim), by_autograd(x, dim)
    torch.testing.assert_close(ours, theirs)
    assert torch.equal(ours[1], theirs[1])
    weights = [torch.randn(part.shape).to(dtype) for part in ours]
    (ours,), (theirs,) = (torch.autograd.grad(parts, leaf, weights) for parts in (ours, theirs))
    torch.testing.assert_close(ours, theirs)
    assert ours.stride() == leaf.stride()


@pytest.mark.parametrize("which", [0, 1])
def test_one_of_the_two_alone(which):
    x = torch.randn(3, 7, 4).requires_grad_()
    (ours,), (theirs,) = (torch.autograd.grad(pool(x, 1)[which].sum(), x) for pool in (mean_and_max, by_autograd))
    torch.testing.assert_close(ours, theirs)


def test_of_equal_maxima_the_first_has_the_gradient():
    x = torch.tensor([[1.0, 5.0, 5.0, 2.0]]).requires_grad_()
    mean_and_max(x, 1)[1].backward(torch.tensor([[3.0]]))
    assert x.grad.tolist() == [[0, 3, 0, 0]]


def test_by_finite_differences():
    x = torch.randperm(24).double().reshape(2, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: mean_and_max(x, 1), x)
    assert torch.autograd.gradcheck(lambda x: mean_and_max(x.square(), 2), x)


def test_a_second_derivative_is_refused():
    x = torch.randn(2, 4).requires_grad_()
    (grad,) = torch.autograd.grad(mean_and_max(x, 1)[1].square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


@pytest.fixture
def cuda_autocast():
    torch.set_autocast_enabled("cuda", True)  # torch.autocast would disable it where there is no GPU
    yield
    torch.set_autocast_enabled("cuda", False)


def test_on_a_gpu_autocast_leaves_bfloat16_as_it_is(cuda_autocast):
    with FakeTensorMode():
        x = torch.empty(2, 4, 3, device="cuda", dtype=torch.bfloat16)
        assert x.sum(1).dtype == torch.float32
        assert [part.dtype for part in mean_and_max(x, 1)] == [torch.bfloat16] * 2


def test_without_gradients():
    x = torch.tensor([[1.0, 5.0, 3.0]])
    with torch.inference_mode():
        mean, top = mean_and_max(x, 1)
    assert (mean.item(), top.item()) == (3, 5)


def test_under_torch_compile():
    torch._dynamo.reset()
    x = torch.randn(3, 7, 4).requires_grad_()
    compiled = torch.compile(mean_and_max, backend="aot_eager", fullgraph=True)(x, 1)
    torch.testing.assert_close(compiled, by_autograd(x, 1))
    (ours,), (theirs,) = (torch.autograd.grad(sum(parts).sum(), x) for parts in (compiled, by_autograd(x, 1)))
    torch.testing.assert_close(ours, theirs)
