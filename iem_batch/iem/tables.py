"""The blur's weights as the compiled engines want them, in the same numbers for both.

L = pixels of an axis, H and W = those of an image, K = taps of one pass, D = 2 radius + 1 taps of
two passes.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.settings import IEMSettings

TILE_ROWS = 4
TILE_COLUMNS = 16
STRIP_ROWS = 8
GRID = 2.0**45
"""`kGrid` of native/numerics.h: fields are integers of so many units per 1."""


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The inpainting Gaussian along one axis, as a banded symmetric matrix."""

    radius: int
    """The matrix is 0 where two pixels are farther apart."""

    weights_LD: NDArray[np.float64]
    """weights[i, d] is that of pixel i - radius + d in the blurred pixel i; 0 outside the image."""

    def entries(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
        """Return rows, columns and values of the matrix's band, as far as it is in the image."""
        length = len(self.weights_LD)
        to = np.broadcast_to(np.arange(length)[:, None], self.weights_LD.shape)
        source = to + np.arange(-self.radius, self.radius + 1)
        inside = (source >= 0) & (source < length)
        return to[inside], source[inside], self.weights_LD[inside]


def _gaussian_taps(settings: IEMSettings) -> list[float]:
    # math.exp is the C library's and the same everywhere; numpy's depends on the processor.
    size = settings.kernel_px
    distance_K = [(k - size // 2) / settings.sigma_px for k in range(size)]
    taps_K = [math.exp(-0.5 * (distance * distance)) for distance in distance_K]
    total = 0.0
    for tap in taps_K:
        total += tap
    return [tap / total for tap in taps_K]


def blur_axis(length: int, settings: IEMSettings) -> Axis:
    """Return two zero-padded passes of the Gaussian along an axis.

    One pass is a banded matrix, so two are its square: near the border that is not one wider pass.
    Sums run in ascending order, multiply and add apart.

    Args:
        length: pixels of the axis.
        settings: the kernel.
    """
    taps_K = _gaussian_taps(settings)
    reach = len(taps_K) // 2
    radius = min(2 * reach, length - 1)
    to_L1 = np.arange(length)[:, None]
    from_LD = to_L1 + np.arange(-radius, radius + 1)
    padded_K = np.array([*taps_K, 0.0])  # the last one stands for every tap that does not exist

    def tap(offset: NDArray[np.intp]) -> NDArray[np.float64]:
        return padded_K[np.where(np.abs(offset) <= reach, offset + reach, len(taps_K))]

    weights_LD = np.zeros(from_LD.shape)
    farthest = min(reach, length - 1)
    for step in range(-farthest, farthest + 1):
        via_L1 = to_L1 + step
        inside_L1 = (via_L1 >= 0) & (via_L1 < length)
        weights_LD += np.where(inside_L1, tap(to_L1 - via_L1) * tap(via_L1 - from_LD), 0.0)
    weights_LD[(from_LD < 0) | (from_LD >= length)] = 0
    return Axis(radius=radius, weights_LD=weights_LD)


@dataclass(frozen=True, kw_only=True)
class Tables:
    """What depends on the size and the blur; all arrays are contiguous.

    A tile of the error bound is 4 rows by 16 columns, a strip has 8 rows.
    """

    radius_y: int
    radius_x: int
    weight_y: NDArray[np.float64]
    """[H, D]: as `Axis` has it."""

    weight_x: NDArray[np.float64]
    """[W, D]."""

    tap_y: NDArray[np.float32]
    """[H rounded up to strips, 7 + D + 7]: with zeros on either side."""

    tap_x: NDArray[np.float32]
    """[W, D rounded up to 16]: with zeros after it."""

    grid_x: NDArray[np.float64]
    """[W, D + 7 rounded up to 8]: times 2^45, from the column before it that 8 divides."""

    across: NDArray[np.float64]
    """[D, W rounded up to 16]: `weight_x` by offset."""

    widest_y: NDArray[np.float32]
    """[tiles, tiles]: the largest tap between the rows of two tiles."""

    widest_x: NDArray[np.float32]
    """[tiles, tiles]: the largest sum of taps from a column of one tile to all of another."""

    edge_tap: float
    """The largest tap at the end of a window."""


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def _edge_tap(axis: Axis) -> float:
    return float(axis.weights_LD[axis.radius :, 0].max())


def _widest_tap(axis: Axis) -> NDArray[np.float32]:
    tiles = -(-len(axis.weights_LD) // TILE_ROWS)
    widest = np.zeros((tiles, tiles), np.float32)
    to, source, weight = axis.entries()
    np.maximum.at(widest, (to // TILE_ROWS, source // TILE_ROWS), weight.astype(np.float32))
    return widest


def _widest_sum(axis: Axis) -> NDArray[np.float32]:
    length = len(axis.weights_LD)
    sums = np.zeros((length, -(-length // TILE_COLUMNS)))
    to, source, weight = axis.entries()
    np.add.at(sums, (to, source // TILE_COLUMNS), weight)
    widest: NDArray[np.float32] = np.maximum.reduceat(sums, range(0, length, TILE_COLUMNS))
    return widest.astype(np.float32)


def _on_grid(axis: Axis) -> NDArray[np.float64]:
    grid = np.zeros((len(axis.weights_LD), _round_up(2 * axis.radius + 8, 8)))
    to, source, weight = axis.entries()
    grid[to, source - np.maximum(0, to - axis.radius) // 8 * 8] = weight * GRID
    return grid


@functools.lru_cache(maxsize=8)
def make_tables(height: int, width: int, settings: IEMSettings) -> Tables:
    """Lay out the weights for images of one size."""
    vertical, horizontal = blur_axis(height, settings), blur_axis(width, settings)
    margin, down = STRIP_ROWS - 1, _round_up(height, STRIP_ROWS) - height
    taps = 2 * horizontal.radius + 1
    weight_y, weight_x = vertical.weights_LD, horizontal.weights_LD
    right = _round_up(width, TILE_COLUMNS) - width
    return Tables(
        radius_y=vertical.radius,
        radius_x=horizontal.radius,
        weight_y=weight_y,
        weight_x=weight_x,
        tap_y=np.pad(weight_y, ((0, down), (margin, margin))).astype(np.float32),
        tap_x=np.pad(weight_x, ((0, 0), (0, _round_up(taps, 16) - taps))).astype(np.float32),
        grid_x=_on_grid(horizontal),
        across=np.ascontiguousarray(np.pad(weight_x, ((0, right), (0, 0))).T),
        widest_y=_widest_tap(vertical),
        widest_x=_widest_sum(horizontal),
        edge_tap=max(_edge_tap(vertical), _edge_tap(horizontal)),
    )
