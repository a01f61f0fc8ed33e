"""The blur of Eq. 7 as one band matrix per axis: G(u) = A u A.

B = images, H = rows, C = channels, W = columns, L = pixels of one axis. The channels lie between
the rows and the columns, so that both products are plain matrix products without a copy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from iem_batch.iem.objective import gaussian_taps
from iem_batch.iem.settings import IEMSettings

BLOCK_PX = 32
"""Rows of A per product: with 10 pixels of reach on either side, 37 % of the whole of A."""


@dataclass(frozen=True, kw_only=True)
class Band:
    """Some rows of A, without the columns that are zero in all of them."""

    target: slice
    """Pixels these rows blur."""

    source: slice
    """Pixels they blur from."""

    weights: Tensor
    """The entries of A, [target, source]."""


def blur_matrix(length: int, settings: IEMSettings) -> Tensor:
    """Return A for an axis: two zero-padded passes of the Gaussian in one matrix.

    It is symmetric, so A u A is its own adjoint.

    Args:
        length: pixels of the axis.
        settings: the kernel.

    Returns:
        matrix_LL: float64.
    """
    taps_K = gaussian_taps(settings)
    response_L1L = torch.eye(length, dtype=torch.float64)[:, None]
    for _ in range(2):
        response_L1L = F.conv1d(response_L1L, taps_K[None, None], padding=len(taps_K) // 2)
    return response_L1L[:, 0]


def band_blocks(matrix_LL: Tensor) -> list[Band]:
    """Cut a band matrix into blocks of `BLOCK_PX` rows."""
    blocks = []
    for start in range(0, len(matrix_LL), BLOCK_PX):
        rows = matrix_LL[start : start + BLOCK_PX]
        used = rows.any(dim=0).nonzero()[:, 0]
        source = slice(int(used[0]), int(used[-1]) + 1)
        target = slice(start, start + len(rows))
        blocks.append(Band(target=target, source=source, weights=rows[:, source].contiguous()))
    return blocks


@dataclass(frozen=True, kw_only=True)
class Blur:
    """G for images of one size."""

    vertical: list[Band]
    horizontal: list[Band]


def make_blur(
    height: int, width: int, settings: IEMSettings, dtype: torch.dtype, device: torch.device
) -> Blur:
    """Prepare G; the matrices are computed in float64 and then rounded to `dtype`."""
    vertical, horizontal = (
        band_blocks(blur_matrix(length, settings).to(device=device, dtype=dtype))
        for length in (height, width)
    )
    return Blur(vertical=vertical, horizontal=horizontal)


def apply_blur(field_BHCW: Tensor, blur: Blur) -> Tensor:
    """Blur every channel of every image; a window of zeros gives exactly 0.

    Args:
        field_BHCW: contiguous, of the dtype and device of `blur`.
        blur: made for this H and W.

    Returns:
        blurred_BHCW: contiguous.
    """
    num_images, height, channels, width = field_BHCW.shape
    field_BHN = field_BHCW.view(num_images, height, channels * width)
    half_BHN = torch.empty_like(field_BHN)
    for band in blur.vertical:
        weights = band.weights.expand(num_images, -1, -1)
        torch.bmm(weights, field_BHN[:, band.source], out=half_BHN[:, band.target])
    half_NW = half_BHN.view(-1, width)
    blurred_NW = torch.empty_like(half_NW)
    for band in blur.horizontal:
        torch.mm(half_NW[:, band.source], band.weights.T, out=blurred_NW[:, band.target])
    return blurred_NW.view(field_BHCW.shape)
