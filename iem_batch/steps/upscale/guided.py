"""The guided filter of He, Sun and Tang (2010), made fast as He and Sun (2015, arXiv 1505.00996).

kornia 0.9 has the same with `subsample`, which moves its output by up to half of that (measured:
1.5 pixels at 2, 2.9 at 7); an outline cannot bear that.

H, W = pixels, h, w = those of the coarse grid, N = h w, 3 = colours.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F


def guided_filter(
    input_hw: NDArray[np.float32], guide_HW3: NDArray[np.uint8], radius: int, epsilon: float
) -> NDArray[np.float32]:
    """Enlarge a picture to the size of another, fitting it in every window by its colours.

    Args:
        input_hw: what is enlarged; it lies on the coarse grid already.
        guide_HW3: uint8 RGB; its edges become the output's.
        radius: pixels of the coarse grid that a window reaches to each side.
        epsilon: variance of colours in [0, 1] above which something counts as an edge.

    Returns:
        output_HW: a linear function of the guide's colours at every pixel; it can leave the
        input's range.
    """
    guide_3HW = torch.tensor(guide_HW3).movedim(2, 0).float() / 255
    guide_3hw = F.interpolate(guide_3HW[None], input_hw.shape, mode="area")[0]
    fitted_4hw = _fit(guide_3hw, torch.tensor(input_hw)[None], radius, epsilon)
    smooth_4hw = _means(fitted_4hw, radius)
    smooth_4HW = F.interpolate(smooth_4hw[None], guide_3HW.shape[1:], mode="bilinear")[0]
    output_HW = (smooth_4HW[:3] * guide_3HW).sum(dim=0) + smooth_4HW[3]
    return np.asarray(output_HW.numpy())


def _fit(guide_3hw: Tensor, input_1hw: Tensor, radius: int, epsilon: float) -> Tensor:
    """Solve Eqs. 14 and 15 of the paper of 2010 in every window: three slopes and an offset."""
    products_9hw = (guide_3hw[:, None] * guide_3hw).flatten(0, 1)
    means = _means(torch.cat([guide_3hw, input_1hw, products_9hw, guide_3hw * input_1hw]), radius)
    mean_3hw, mean_input_1hw = means[:3], means[3:4]
    mean_products_9hw, mean_cross_3hw = means[4:13], means[13:]
    covariance_9hw = mean_products_9hw - (mean_3hw[:, None] * mean_3hw).flatten(0, 1)
    covariance_N33 = covariance_9hw.flatten(1).T.reshape(-1, 3, 3) + epsilon * torch.eye(3)
    cross_N3 = (mean_cross_3hw - mean_3hw * mean_input_1hw).flatten(1).T
    slope_3hw = torch.linalg.solve(covariance_N33, cross_N3).T.reshape(mean_3hw.shape)
    offset_1hw = mean_input_1hw - (slope_3hw * mean_3hw).sum(dim=0, keepdim=True)
    return torch.cat([slope_3hw, offset_1hw])


def _means(field_Chw: Tensor, radius: int) -> Tensor:
    """Average over windows; at the border over what there is of them."""
    return F.avg_pool2d(field_Chw, 2 * radius + 1, 1, radius, count_include_pad=False)
