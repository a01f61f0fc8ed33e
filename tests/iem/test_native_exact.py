"""The compiled engine gives the masks of the reference in float64, on every instruction set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from iem_batch.iem import native_backend, reference
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from tests.iem.noise import noise, random_masks
from tests.iem.trajectory import is_decided

pytestmark = pytest.mark.skipif(
    native_backend.unavailable() is not None, reason=str(native_backend.unavailable())
)


def checkerboard(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    values = np.random.default_rng(seed).integers(0, 256, (2, 3))
    return values[np.indices((height, width)).sum(axis=0) % 2].astype(np.uint8)


def constant(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), seed % 256, dtype=np.uint8)


def single_pixel(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[seed % height, seed % width] = 255
    return image


def saturated(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.where(noise(seed, height, width) < 80, 0, 255).astype(np.uint8)


def two_values(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    image = np.full((height, width, 3), 200, dtype=np.uint8)
    image[height // 4 : height // 2 + 1, width // 4 : width // 2 + 1] = seed % 200
    return image


def smooth(seed: int, height: int, width: int) -> NDArray[np.uint8]:
    angle_3 = np.random.default_rng(seed).random(3)
    y, x = np.indices((height, width))[..., None] / 5
    return (127.5 + 120 * np.sin(x * angle_3 + y * angle_3[::-1] + 1)).astype(np.uint8)


Draw = Callable[[int, int, int], NDArray[np.uint8]]
DEGENERATE: list[Draw] = [checkerboard, constant, single_pixel, saturated, two_values]


def assert_equal(result: IEMResult, expected: IEMResult, tolerance: float) -> None:
    np.testing.assert_array_equal(result.mask_BSHW, expected.mask_BSHW)
    np.testing.assert_array_equal(result.iterations_BS, expected.iterations_BS)
    np.testing.assert_array_equal(result.status_BS, expected.status_BS)
    for name in ("error_foreground_BS", "error_background_BS"):
        np.testing.assert_allclose(
            getattr(result, name), getattr(expected, name), rtol=0, atol=tolerance
        )


@st.composite
def all_settings(draw: st.DrawFn) -> IEMSettings:
    return IEMSettings(
        sigma_px=draw(st.sampled_from([0.5, 2.0, 5.0, 9.0])),
        kernel_px=draw(st.sampled_from([1, 3, 11, 25])),
        diversity_weight=draw(st.sampled_from([0.0, 0.001, 0.1])),
        iterations=draw(st.integers(0, 12)),
        smoothing=draw(st.booleans()),
        boundary_only=draw(st.booleans()),
    )


@hypothesis_settings(max_examples=150, deadline=None, derandomize=True)
@given(
    settings=all_settings(),
    height=st.integers(1, 24),
    width=st.integers(1, 70),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.02, 0.1, 0.5, 0.9]),
    draw_image=st.sampled_from([noise, noise, smooth, saturated]),
)
def test_equals_the_reference(
    settings: IEMSettings, height: int, width: int, seed: int, share: float, draw_image: Draw
) -> None:
    """Sizes from one pixel up, over the borders of blocks and words, and every switch.

    Where a prediction equals its pixel, rounding decides in float64 too; such runs are left out.
    """
    image = draw_image(seed, height, width)[None]
    first_mask = random_masks(seed, 1, 2, height, width, share=share)
    assume(all(is_decided(image[0], first_mask[0, s], settings) for s in range(2)))
    expected = reference.segment(image, first_mask, settings)
    for instruction_set in native_backend.instruction_sets():
        result = native_backend.segment_with(instruction_set, image, first_mask, settings)
        assert_equal(result, expected, tolerance=1e-5)


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(
    settings=all_settings(),
    height=st.integers(1, 40),
    width=st.integers(1, 70),
    seed=st.integers(0, 10**6),
    draw_image=st.sampled_from(DEGENERATE),
)
def test_degenerate_images_have_defined_results(
    settings: IEMSettings, height: int, width: int, seed: int, draw_image: Draw
) -> None:
    """No NaN, no crash, the status tells the truth, and every instruction set agrees."""
    image = draw_image(seed, height, width)[None]
    first_mask = random_masks(seed, 1, 3, height, width, share=0.5)
    first_mask[0, 1] = False
    first_mask[0, 2, : height // 2 + 1] = True
    results = [
        native_backend.segment_with(name, image, first_mask, settings)
        for name in native_backend.instruction_sets()
    ]
    result = results[0]
    assert np.isfinite(result.error_BS).all()
    assert (result.error_foreground_BS <= 2).all()
    assert (result.error_background_BS <= 2).all()
    area_S = result.mask_BSHW.sum(axis=(2, 3))[0]
    wanted = np.where(area_S == 0, Status.EMPTY, np.where(area_S == height * width, Status.FULL, 0))
    np.testing.assert_array_equal(result.status_BS[0], wanted)
    for other in results[1:]:
        assert_equal(other, result, tolerance=1e-9)


def test_large_and_uneven_images_equal_the_reference() -> None:
    """Wider than 64-bit words and the tiles of the blur, taller than a band."""
    image = noise(3, 1, 61, 333)
    first_mask = centred_squares(61, 333, [40])[None]
    settings = IEMSettings(iterations=3)
    expected = reference.segment(image, first_mask, settings)
    for instruction_set in native_backend.instruction_sets():
        result = native_backend.segment_with(instruction_set, image, first_mask, settings)
        assert_equal(result, expected, tolerance=1e-9)


def test_a_recurrence_is_read_off_the_cycle() -> None:
    """Noise that ends in fixed points, cycles of 2 and 3, an empty mask and a full one."""
    seeds = (0, 1, 3, 14, 38)
    image = np.stack([noise(seed, 10, 12) for seed in seeds])
    first_mask = np.broadcast_to(centred_squares(10, 12, [5]), (len(seeds), 1, 10, 12))
    for iterations in (28, 29, 30):
        settings = IEMSettings(iterations=iterations)
        result = native_backend.segment(image, first_mask, settings)
        assert_equal(result, reference.segment(image, first_mask, settings), tolerance=1e-9)


@pytest.mark.parametrize("name", ["flowers17", "people", "cars"])
def test_photographs_give_the_references_masks(photos: Path, name: str) -> None:
    """The paper's size and first masks; 20 iterations, when most pixels still move."""
    files = sorted((photos / name / "images").iterdir())[:2]
    image = np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((128, 128))) for file in files]
    )
    first_mask = np.broadcast_to(centred_squares(128, 128, [44, 78, 92]), (2, 3, 128, 128))
    settings = IEMSettings(iterations=20)
    expected = reference.segment(image, first_mask, settings)
    for instruction_set in native_backend.instruction_sets():
        result = native_backend.segment_with(instruction_set, image, first_mask, settings)
        assert_equal(result, expected, tolerance=1e-9)
