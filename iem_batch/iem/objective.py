"""The objective of IEM as the paper prints it (arXiv 2012.07287, Eqs. 7 to 11), for autograd.

Where the paper is silent or misprinted, this follows the program of its authors; the tests name
each such place. C = 3 colours, H, W = pixels, K = taps. The image is any constant plus v / 127.5,
where v is the 8-bit value: nothing here depends on the constant. A mask holds 0 and 1, and both
values; sums over an empty side are 0 / 0.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from iem_batch.iem.settings import IEMSettings

MEAN_WEIGHT = 1e-8
"""Weight of a side's sum in every blurred pixel of it; far from the side it predicts the mean."""


def centred(image_HW3: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Subtract the most common value of each channel, the smallest of several.

    Returns:
        image_HW3: differences of 8-bit values, in [-255, 255].
    """
    mode_3 = [np.bincount(image_HW3[..., c].ravel()).argmax() for c in range(3)]
    return image_HW3.astype(np.int16) - np.array(mode_3, dtype=np.int16)


def gaussian_taps(settings: IEMSettings) -> Tensor:
    """Return the taps of one blur pass.

    Returns:
        taps_K: float64, symmetric, sum 1; `settings.kernel_px` of them.
    """
    offset_K = torch.arange(settings.kernel_px, dtype=torch.float64)
    offset_K -= settings.kernel_px // 2
    taps_K = torch.exp(-0.5 * (offset_K / settings.sigma_px) ** 2)
    return taps_K / taps_K.sum()


def blur(field_CHW: Tensor, settings: IEMSettings) -> Tensor:
    """Blur each channel by itself: G of Eq. 7.

    Two passes of a separable Gaussian with zeros outside the picture at each pass, so near the
    border they are not one wider pass.

    Args:
        field_CHW: any number of channels.
        settings: the kernel.

    Returns:
        blurred_CHW: same shape and dtype.
    """
    taps_K = gaussian_taps(settings).to(field_CHW)
    radius = len(taps_K) // 2
    field_C1HW = field_CHW[:, None]
    for _ in range(2):
        field_C1HW = F.conv2d(field_C1HW, taps_K[None, None, :, None], padding=(radius, 0))
        field_C1HW = F.conv2d(field_C1HW, taps_K[None, None, None, :], padding=(0, radius))
    return field_C1HW[:, 0]


def inpaint(image_CHW: Tensor, mask_HW: Tensor, settings: IEMSettings) -> Tensor:
    """Predict every pixel from the pixels of the mask: psi(x m, m) of Eq. 7.

    Returns:
        predicted_CHW: a weighted mean of the masked pixels; everywhere finite.
    """
    masked_CHW = torch.cat([image_CHW * mask_HW, mask_HW[None]])
    total_C11 = masked_CHW.sum(dim=(1, 2), keepdim=True)
    blurred_CHW = blur(masked_CHW, settings) + MEAN_WEIGHT * total_C11
    return blurred_CHW[:-1] / blurred_CHW[-1:]


def inpainting_errors(
    image_CHW: Tensor, mask_HW: Tensor, settings: IEMSettings
) -> tuple[Tensor, Tensor]:
    """Score how badly each side of the mask predicts the other (Eq. 8); larger is better.

    Returns:
        The two terms of E, each a scalar in [0, 2]: mean absolute error of the foreground
        inpainted from the background, and of the background inpainted from the foreground.
    """

    def error(scored_HW: Tensor, source_HW: Tensor) -> Tensor:
        residual_CHW = (image_CHW - inpaint(image_CHW, source_HW, settings)).abs()
        return (scored_HW * residual_CHW.mean(dim=0)).sum() / scored_HW.sum()

    return error(mask_HW, 1 - mask_HW), error(1 - mask_HW, mask_HW)


def diversity(image_CHW: Tensor, mask_HW: Tensor) -> Tensor:
    """Sum the squared distances of all pixels to the mean colour of their side: D of Eq. 11."""

    def scatter(side_HW: Tensor) -> Tensor:
        total_C11 = (image_CHW * side_HW).sum(dim=(1, 2), keepdim=True)
        return (side_HW * (image_CHW - total_C11 / side_HW.sum()) ** 2).sum()

    return scatter(mask_HW) + scatter(1 - mask_HW)


def objective(image_CHW: Tensor, mask_HW: Tensor, settings: IEMSettings) -> Tensor:
    """Return what IEM ascends, L = E - lambda D, as a scalar."""
    foreground, background = inpainting_errors(image_CHW, mask_HW, settings)
    return foreground + background - settings.diversity_weight * diversity(image_CHW, mask_HW)
