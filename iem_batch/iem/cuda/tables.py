"""The blur's weights as the kernel wants them, in the very numbers of the native engine.

H, W = pixels of an axis, L = either, K = taps of one pass, D = 2 radius + 1 taps of two passes.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.settings import IEMSettings

TILE_ROWS = 4
TILE_COLUMNS = 16
STRIP_ROWS = 8


@dataclass(frozen=True, kw_only=True)
class Axis:
    """The inpainting Gaussian along one axis, as a banded matrix; see `native/blur_matrix.cpp`."""

    radius: int
    """The matrix is 0 where two pixels are farther apart."""

    weights_LD: NDArray[np.float64]
    """weights[i, d] is that of pixel i - radius + d in the blurred pixel i; 0 outside the image."""

    def matrix_LL(self) -> NDArray[np.float64]:
        """Return the whole matrix."""
        length = len(self.weights_LD)
        matrix_LL = np.zeros((length, length))
        for d in range(-self.radius, self.radius + 1):
            rows = np.arange(max(0, -d), min(length, length - d))
            matrix_LL[rows, rows + d] = self.weights_LD[rows, d + self.radius]
        return matrix_LL


def _gaussian_taps(settings: IEMSettings) -> list[float]:
    # math.exp is the C library's, which the native engine calls; numpy's differs in the last bit.
    size = settings.kernel_px
    distance_K = [(k - size // 2) / settings.sigma_px for k in range(size)]
    taps_K = [math.exp(-0.5 * (distance * distance)) for distance in distance_K]
    total = 0.0
    for tap in taps_K:
        total += tap
    return [tap / total for tap in taps_K]


def _two_passes(length: int, taps_K: list[float]) -> Axis:
    """Multiply the matrix of one zero-padded pass by itself, summing in ascending order."""
    reach = len(taps_K) // 2
    radius = min(2 * reach, length - 1)
    to_L1 = np.arange(length)[:, None]
    from_LD = to_L1 + np.arange(-radius, radius + 1)
    padded_K = np.array([*taps_K, 0.0])  # the last one stands for every tap that does not exist

    def tap(offset: NDArray[np.intp]) -> NDArray[np.float64]:
        return padded_K[np.where(np.abs(offset) <= reach, offset + reach, len(taps_K))]

    weights_LD = np.zeros(from_LD.shape)
    for step in range(-reach, reach + 1):
        via_L1 = to_L1 + step
        inside_L1 = (via_L1 >= 0) & (via_L1 < length)
        weights_LD += np.where(inside_L1, tap(to_L1 - via_L1) * tap(via_L1 - from_LD), 0.0)
    weights_LD[(from_LD < 0) | (from_LD >= length)] = 0
    return Axis(radius=radius, weights_LD=weights_LD)


def blur_axis(length: int, settings: IEMSettings) -> Axis:
    """Return two zero-padded passes of the Gaussian along an axis, bit for bit as `native` has it.

    Args:
        length: pixels of the axis.
        settings: the kernel.
    """
    return _two_passes(length, _gaussian_taps(settings))


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The arrays of `Job` in state.cuh that depend on the size and the blur; all contiguous."""

    weight_y: NDArray[np.float64]
    weight_x: NDArray[np.float64]
    tap_y: NDArray[np.float32]
    tap_x: NDArray[np.float32]
    widest_y: NDArray[np.float32]
    widest_x: NDArray[np.float32]
    edge_tap: float


def _edge_tap(axis: Axis) -> float:
    return float(axis.weights_LD[axis.radius :, 0].max())


def make_tables(vertical: Axis, horizontal: Axis) -> Tables:
    """Lay the weights out; `native/workspace.cpp` has the same."""
    height, width = len(vertical.weights_LD), len(horizontal.weights_LD)
    strips = -(-height // STRIP_ROWS)
    margin = STRIP_ROWS - 1
    tap_y = np.zeros((strips * STRIP_ROWS, 2 * vertical.radius + 1 + 2 * margin), np.float32)
    tap_y[:height, margin : tap_y.shape[1] - margin] = vertical.weights_LD
    starts_y, starts_x = range(0, height, TILE_ROWS), range(0, width, TILE_COLUMNS)
    matrix_HH, matrix_WW = vertical.matrix_LL(), horizontal.matrix_LL()
    widest_y = [
        [matrix_HH[i : i + TILE_ROWS, k : k + TILE_ROWS].max() for k in starts_y] for i in starts_y
    ]
    widest_x = [
        [matrix_WW[j : j + TILE_COLUMNS, k : k + TILE_COLUMNS].sum(axis=1).max() for k in starts_x]
        for j in starts_x
    ]
    return Tables(
        weight_y=vertical.weights_LD,
        weight_x=horizontal.weights_LD,
        tap_y=tap_y,
        tap_x=horizontal.weights_LD.astype(np.float32),
        widest_y=np.array(widest_y, np.float32),
        widest_x=np.array(widest_x, np.float32),
        edge_tap=max(_edge_tap(vertical), _edge_tap(horizontal)),
    )
