"""Instance normalisation and ReLU in one step, with a gradient that is fast in channels_last.

torch's own gradient of group normalisation takes more than half of a training step of SegNet in
channels_last on a CPU, and in the other layout the convolutions are slow.

B = images, C = channels, H, W = pixels.
"""

from typing import Any

import torch
from torch import Tensor, nn

EPSILON = 1e-5
"""Added to the variance, as torch's InstanceNorm2d does."""


class InstanceNormReLU(nn.Module):
    """ReLU(weight (x - mean) / sqrt(variance + EPSILON) + bias), over the pixels of each channel.

    Args:
        channels: number of channels; each has a weight, at first 1, and a bias, at first 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, features_BCHW: Tensor) -> Tensor:
        """Normalise each channel of each image by itself, and cut off below 0."""
        y_BCHW: Tensor = _NormReLU.apply(  # type: ignore[no-untyped-call]
            features_BCHW, self.weight, self.bias
        )
        return y_BCHW


class _NormReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_C: Tensor, bias_C: Tensor) -> Tensor:
        batch, channels, height, width = x_BCHW.shape
        dtype = x_BCHW.dtype
        # With as many groups as channels, group normalisation is instance normalisation.
        y_BCHW, mean_BC, scale_BC = torch.native_group_norm(
            x_BCHW,
            weight_C.to(dtype),
            bias_C.to(dtype),
            batch,
            channels,
            height * width,
            channels,
            EPSILON,
        )
        y_BCHW.relu_()
        ctx.save_for_backward(x_BCHW, y_BCHW, weight_C, mean_BC, scale_BC)
        return y_BCHW

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x_BCHW, y_BCHW, weight_C, mean_BC, scale_BC = ctx.saved_tensors
        dtype, pixels = x_BCHW.dtype, x_BCHW.shape[2] * x_BCHW.shape[3]
        mean_BC, scale_BC = mean_BC.to(weight_C.dtype), scale_BC.to(weight_C.dtype)
        g_BCHW = torch.ops.aten.threshold_backward(grad_outputs[0], y_BCHW, 0)
        # With z = (x - mean) scale: dx = weight scale (g - mean(g) - z mean(g z)), which is linear
        # in g and x for each channel, so only its coefficients are computed in full precision.
        sum_g_BC = g_BCHW.sum((2, 3)).to(weight_C.dtype)
        sum_gx_BC = (g_BCHW * x_BCHW).sum((2, 3)).to(weight_C.dtype)
        sum_gz_BC = scale_BC * (sum_gx_BC - mean_BC * sum_g_BC)
        of_g_BC = weight_C * scale_BC
        of_x_BC = -of_g_BC * scale_BC * sum_gz_BC / pixels
        constant_BC = -of_g_BC * sum_g_BC / pixels - of_x_BC * mean_BC
        of_g, of_x, constant = (
            t.to(dtype)[:, :, None, None] for t in (of_g_BC, of_x_BC, constant_BC)
        )
        dx_BCHW = torch.addcmul(torch.addcmul(constant, of_x, x_BCHW), of_g, g_BCHW)
        return dx_BCHW, sum_gz_BC.sum(0), sum_g_BC.sum(0)
