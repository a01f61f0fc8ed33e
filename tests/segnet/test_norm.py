import pytest
import torch
from torch.nn import functional as F

from iem_batch.segnet.norm import InstanceNormReLU, _NormReLU


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_equals_instance_norm_then_relu(layout: torch.memory_format) -> None:
    """Catches statistics over the batch, and a gradient that is right in one layout alone."""
    torch.manual_seed(0)
    x = torch.randn(3, 8, 5, 7, dtype=torch.float64).contiguous(memory_format=layout)
    x.requires_grad_()
    norm = InstanceNormReLU(8).double()
    torch.nn.init.uniform_(norm.weight, -1, 2)
    torch.nn.init.uniform_(norm.bias, -1, 1)
    expected = F.relu(F.instance_norm(x, weight=norm.weight, bias=norm.bias, eps=1e-5))
    direction = torch.randn_like(expected)
    inputs = (x, norm.weight, norm.bias)
    torch.testing.assert_close(norm(x), expected)
    for ours, theirs in zip(
        torch.autograd.grad(norm(x), inputs, direction),
        torch.autograd.grad(expected, inputs, direction),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs)


def test_gradient_is_that_of_finite_differences() -> None:
    torch.manual_seed(1)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(4, dtype=torch.float64, requires_grad=True)
    bias = torch.rand(4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(_NormReLU.apply, (x, weight, bias))


def test_two_pixels_by_hand() -> None:
    """Values 1 and 3: mean 2, deviation 1, so -1 and 1; weight 2 and bias 1 make -1 and 3."""
    norm = InstanceNormReLU(1)
    with torch.no_grad():
        norm.weight.fill_(2)
        norm.bias.fill_(1)
    result = norm(torch.tensor([[[[1.0, 3.0]]]]))
    torch.testing.assert_close(result, torch.tensor([[[[0.0, 3.0]]]]), rtol=0, atol=1e-4)


def test_flat_channel_gives_the_bias() -> None:
    """Catches a division by zero where a channel has one value."""
    norm = InstanceNormReLU(2)
    with torch.no_grad():
        norm.bias.copy_(torch.tensor([0.5, -0.5]))
    result = norm(torch.full((1, 2, 3, 3), 7.0))
    expected = torch.tensor([0.5, 0.0])
    torch.testing.assert_close(result[0, :, 0, 0], expected, rtol=0, atol=1e-3)
