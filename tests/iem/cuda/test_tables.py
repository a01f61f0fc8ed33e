"""The blur's tables: the numbers of the native engine, and bounds that bound."""

import ctypes
import subprocess
from pathlib import Path

import numpy as np
import pytest

from iem_batch.iem.blur import blur_matrix
from iem_batch.iem.cuda.tables import blur_axis, make_tables
from iem_batch.iem.settings import IEMSettings
from tests.iem.cuda.emulation import PACKAGE, compiler

WRAPPER = """
#include <algorithm>
#include "blur_matrix.h"
extern "C" int blur(int size, double sigma, int kernel, double* weights) {
    const iem::BlurMatrix blur = iem::blur_matrix(size, sigma, kernel);
    std::copy(blur.weights.begin(), blur.weights.end(), weights);
    return blur.radius;
}
"""


@pytest.fixture(scope="module")
def native_blur(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("blur")
    (folder / "wrapper.cpp").write_text(WRAPPER)
    sources = [str(folder / "wrapper.cpp"), str(PACKAGE / "native" / "blur_matrix.cpp")]
    flags = ["-std=c++17", "-O3", "-ffp-contract=off", "-fPIC", "-shared"]
    library: Path = folder / "blur.so"
    subprocess.run(
        [compiler(), *flags, f"-I{PACKAGE / 'native'}", *sources, "-o", str(library)], check=True
    )
    return ctypes.CDLL(str(library))


@pytest.mark.parametrize("length", [1, 2, 5, 6, 40, 128])
def test_weights_are_the_native_ones_bit_for_bit(native_blur: ctypes.CDLL, length: int) -> None:
    """numpy's own exp differs from the C library's in the last bit."""
    for sigma in (0.5, 2.0, 5.0, 9.0):
        for kernel in (1, 3, 11, 25):
            settings = IEMSettings(sigma_px=sigma, kernel_px=kernel)
            axis = blur_axis(length, settings)
            weights = np.zeros(8 * length * (length + 30))
            radius = native_blur.blur(
                length,
                ctypes.c_double(settings.sigma_px),
                settings.kernel_px,
                ctypes.c_void_p(weights.ctypes.data),
            )
            assert radius == axis.radius
            expected = weights[: axis.weights_LD.size].reshape(axis.weights_LD.shape)
            np.testing.assert_array_equal(axis.weights_LD, expected)


def test_the_axis_is_the_torch_engines_matrix() -> None:
    settings = IEMSettings()
    expected = blur_matrix(40, settings).numpy()
    np.testing.assert_allclose(blur_axis(40, settings).matrix_LL(), expected, atol=1e-15)


def test_bounds_hold_for_every_pair_of_pixels() -> None:
    """The widest taps are what keeps a wrong float32 sign from being believed."""
    axis = blur_axis(37, IEMSettings())
    tables, matrix = make_tables(axis, axis), axis.matrix_LL()
    for i in range(37):
        for k in range(37):
            assert tables.widest_y[i // 4, k // 4] >= np.float32(matrix[i, k])
            block = np.float32(matrix[i, k // 16 * 16 : k // 16 * 16 + 16].sum())
            assert tables.widest_x[i // 16, k // 16] >= block * (1 - 1e-6)
    assert tables.tap_y[5, 7 + 10] == np.float32(matrix[5, 5])
    assert not tables.tap_y[:, :7].any()
    assert not tables.tap_y[37:].any()
