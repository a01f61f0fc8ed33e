import pytest
import torch

from iem_batch.iem import objective
from iem_batch.iem.blur import apply_blur, band_blocks, blur_matrix, make_blur
from iem_batch.iem.settings import IEMSettings

CPU = torch.device("cpu")


@pytest.mark.parametrize("length", [2, 10, 64])
def test_the_matrix_is_symmetric(length: int) -> None:
    """The gradient uses the blur as its own adjoint."""
    matrix = blur_matrix(length, IEMSettings())
    torch.testing.assert_close(matrix, matrix.T)


def test_two_box_passes_by_hand() -> None:
    """Taps of 1/3: T = [[1,1,0],[1,1,1],[0,1,1]] / 3, and T T = [[2,2,1],[2,3,2],[1,2,2]] / 9."""
    matrix = blur_matrix(3, IEMSettings(kernel_px=3, sigma_px=1e9))
    expected = torch.tensor([[2.0, 2, 1], [2, 3, 2], [1, 2, 2]], dtype=torch.float64) / 9
    torch.testing.assert_close(matrix, expected)


@pytest.mark.parametrize("length", [1, 31, 33, 128])
def test_blocks_leave_out_only_zeros(length: int) -> None:
    matrix = blur_matrix(length, IEMSettings())
    rebuilt = torch.zeros_like(matrix)
    for band in band_blocks(matrix):
        rebuilt[band.target, band.source] = band.weights
    assert torch.equal(rebuilt, matrix)


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((1, 1), IEMSettings()),
        ((5, 9), IEMSettings()),
        ((70, 33), IEMSettings()),
        ((40, 40), IEMSettings(kernel_px=41, sigma_px=20)),
    ],
)
def test_band_matrices_are_the_passes(size: tuple[int, int], settings: IEMSettings) -> None:
    """Also where the axis is shorter than a block or the kernel longer than the axis."""
    generator = torch.Generator().manual_seed(0)
    field = torch.rand(2, size[0], 3, size[1], generator=generator, dtype=torch.float64)
    blurred = apply_blur(field, make_blur(*size, settings, torch.float64, CPU))
    for image, expected in zip(field, blurred, strict=True):
        passes = objective.blur(image.movedim(1, 0), settings).movedim(0, 1)
        torch.testing.assert_close(passes, expected, rtol=0, atol=1e-14)


def test_a_window_of_zeros_gives_zero() -> None:
    """Not 1e-8 as a difference of float32 blurs would, beside denominators of 1e-4."""
    field = torch.ones(1, 64, 1, 64)
    field[:, 20:, :, 20:] = 0
    blurred = apply_blur(field, make_blur(64, 64, IEMSettings(), torch.float32, CPU))
    assert (blurred[:, 30:, :, 30:] == 0).all()
    assert (blurred[:, 29, 0, 29] > 0).all(), "the corner tap reaches 10 pixels far"
