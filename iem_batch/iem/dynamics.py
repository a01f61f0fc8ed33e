"""The part of an iteration that is pure logic on masks. ... = any leading axes, H, W = pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from iem_batch.iem.settings import IEMSettings

MAJORITY = 4
"""Foreground pixels of a 3x3 window, outside counting as background, that make it foreground."""


def boundary(mask: Tensor) -> Tensor:
    """Find the pixels with a 4-neighbour on the other side (zero-padded Laplacian, both sides).

    Outside the picture is the other side of both, so every border pixel is on the boundary.

    Args:
        mask: bool [..., H, W].

    Returns:
        boundary: bool [..., H, W].
    """
    edge = torch.ones_like(mask)
    inner = mask[..., 1:-1, 1:-1]
    edge[..., 1:-1, 1:-1] = (
        (inner != mask[..., :-2, 1:-1])
        | (inner != mask[..., 2:, 1:-1])
        | (inner != mask[..., 1:-1, :-2])
        | (inner != mask[..., 1:-1, 2:])
    )
    return edge


def smooth(mask: Tensor) -> Tensor:
    """Let each 3x3 window vote on its centre; `MAJORITY` foreground pixels win.

    Args:
        mask: bool [..., H, W].

    Returns:
        smoothed: bool [..., H, W].
    """
    count = F.pad(mask.to(torch.uint8), (1, 1, 1, 1))
    count = count[..., :-2, :] + count[..., 1:-1, :] + count[..., 2:, :]
    count = count[..., :-2] + count[..., 1:-1] + count[..., 2:]
    return count >= MAJORITY


def movable_pixels(mask: Tensor, settings: IEMSettings) -> Tensor:
    """Find the pixels that may change in an iteration: movable, bool [..., H, W]."""
    return boundary(mask) if settings.boundary_only else torch.ones_like(mask)


def advance(mask: Tensor, gradient: Tensor, movable: Tensor, settings: IEMSettings) -> Tensor:
    """Project one gradient step back onto binary masks (Eq. 10), then smooth.

    Args:
        mask: bool [..., H, W].
        gradient: of the objective with respect to the mask, [..., H, W]; where it is exactly 0
            the pixel stays as it is.
        movable: bool [..., H, W]; the other pixels stay as well.
        settings: whether to smooth.

    Returns:
        mask: bool [..., H, W], the next iterate.
    """
    moved = mask ^ (movable & (gradient != 0) & ((gradient > 0) != mask))
    return smooth(moved) if settings.smoothing else moved
