"""The blur's tables: the numbers that both compiled engines count on, and bounds that bound."""

import math

import numpy as np
import pytest

from iem_batch.iem.blur import blur_matrix
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.tables import Axis, blur_axis, make_tables


def whole(axis: Axis) -> np.ndarray:
    length = len(axis.weights_LD)
    matrix_LL = np.zeros((length, length))
    to, source, weight = axis.entries()
    matrix_LL[to, source] = weight
    return matrix_LL


def summed_in_order(length: int, sigma: float, kernel: int) -> np.ndarray:
    """The square of one zero-padded pass, one product after another."""
    reach = kernel // 2
    taps = [math.exp(-0.5 * ((k - reach) / sigma) * ((k - reach) / sigma)) for k in range(kernel)]
    total = 0.0
    for tap in taps:
        total += tap
    one_LL = np.zeros((length, length))
    for i in range(length):
        for j in range(max(0, i - reach), min(length, i + reach + 1)):
            one_LL[i, j] = taps[i - j + reach] / total
    two_LL = np.zeros((length, length))
    for j in range(length):
        two_LL += one_LL[:, j, None] * one_LL[None, j]
    return two_LL


@pytest.mark.parametrize("length", [1, 2, 5, 6, 40])
def test_weights_are_sums_in_ascending_order(length: int) -> None:
    """Bit for bit, so that a table made elsewhere is the same table."""
    for sigma in (0.5, 2.0, 4.0):
        for kernel in (1, 3, 11, 25):
            axis = blur_axis(length, IEMSettings(sigma_px=sigma, kernel_px=kernel))
            np.testing.assert_array_equal(whole(axis), summed_in_order(length, sigma, kernel))


def test_the_axis_is_the_torch_engines_matrix() -> None:
    settings = IEMSettings()
    expected = blur_matrix(40, settings).numpy()
    np.testing.assert_allclose(whole(blur_axis(40, settings)), expected, atol=1e-15)


def test_bounds_hold_for_every_pair_of_pixels() -> None:
    """The widest taps are what keeps a wrong float32 sign from being believed."""
    matrix, tables = whole(blur_axis(37, IEMSettings())), make_tables(37, 37, IEMSettings())
    for i in range(37):
        for k in range(37):
            assert tables.widest_y[i // 4, k // 4] >= np.float32(matrix[i, k])
            block = np.float32(matrix[i, k // 16 * 16 : k // 16 * 16 + 16].sum())
            assert tables.widest_x[i // 16, k // 16] >= block * (1 - 1e-6)
    assert tables.edge_tap == matrix[20, 30]


def test_every_layout_holds_the_same_weights() -> None:
    """37 rows are 5 strips; 21 taps fill 32 places; the window of column 20 starts at 10, in 8."""
    matrix, tables = whole(blur_axis(37, IEMSettings())), make_tables(37, 37, IEMSettings())
    assert tables.tap_y.shape == (40, 35)
    assert tables.tap_y[5, 7 + 10] == tables.tap_x[5, 10] == np.float32(matrix[5, 5])
    assert not tables.tap_y[:, :7].any()
    assert not tables.tap_y[37:].any()
    assert tables.tap_x.shape == (37, 32)
    assert tables.grid_x[20, 12] == matrix[20, 20] * 2.0**45
    assert tables.grid_x[20, 1] == 0
    assert tables.across.shape == (21, 48)
    assert tables.across[10, 20] == matrix[20, 20]
    assert all(vars(tables)[name].flags.c_contiguous for name in ("tap_x", "tap_y", "across"))
