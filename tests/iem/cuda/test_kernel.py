"""The whole kernel on the CPU: `native`'s results bit for bit, in any order of its threads."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from iem_batch.iem import native_backend, reference
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from tests.iem.cuda.emulation import SHARED_BYTES, emulate
from tests.iem.noise import noise, random_masks
from tests.iem.test_native_exact import DEGENERATE, Draw, all_settings, saturated, smooth

needs_native = pytest.mark.skipif(
    native_backend.unavailable() is not None, reason=str(native_backend.unavailable())
)


def assert_identical(result: IEMResult, expected: IEMResult) -> None:
    for field in dataclasses.fields(IEMResult):
        np.testing.assert_array_equal(getattr(result, field.name), getattr(expected, field.name))


@needs_native
@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(
    settings=all_settings(),
    height=st.integers(1, 40),
    width=st.integers(1, 70),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.02, 0.1, 0.5, 0.9]),
    draw_image=st.sampled_from([noise, noise, smooth, saturated, *DEGENERATE]),
    shared_limit=st.sampled_from([SHARED_BYTES, 101_376, 20_000]),
    threads=st.sampled_from([32, 64, 512]),
)
def test_equals_native_bit_for_bit(
    settings: IEMSettings,
    height: int,
    width: int,
    seed: int,
    share: float,
    draw_image: Draw,
    shared_limit: int,
    threads: int,
) -> None:
    """Every switch; sizes over the borders of words, tiles, strips and bands; flat and noisy ones.

    Also where predictions equal their pixels: the float64 parts do the same operations in the same
    order. Arrays in shared or in global memory, and other numbers of threads, change nothing.
    """
    image = draw_image(seed, height, width)[None]
    first_mask = random_masks(seed, 1, 2, height, width, share=share)
    result = emulate(
        image,
        first_mask,
        settings,
        seed=seed,
        shared_limit=shared_limit,
        threads=threads,
    )
    assert_identical(result, native_backend.segment(image, first_mask, settings))


@needs_native
@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("flags", [(), ("-mfma", "-DIEM_FUSED")])
def test_neither_order_nor_fused_operations_change_a_bit(seed: int, flags: tuple[str, ...]) -> None:
    """Ascending and random orders of the threads catch a missing barrier; a GPU fuses float32."""
    image, first_mask = noise(3, 2, 61, 75), random_masks(4, 2, 1, 61, 75)
    settings = IEMSettings(iterations=12)
    result = emulate(image, first_mask, settings, seed=seed, flags=flags, threads=512)
    assert_identical(result, native_backend.segment(image, first_mask, settings))


@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_blocks_share_a_queue(blocks: int) -> None:
    """Whichever block takes an item, and whatever it did before, the result is the same."""
    image, first_mask = noise(5, 6, 20, 33), random_masks(6, 6, 3, 20, 33)
    first_mask[1, 0], first_mask[2, 2] = False, True
    settings = IEMSettings(iterations=15)
    together = emulate(image, first_mask, settings, blocks=blocks, seed=blocks)
    for b in range(6):
        for s in range(3):
            alone = emulate(image[b : b + 1], first_mask[b : b + 1, s : s + 1], settings)
            for field in dataclasses.fields(IEMResult):
                np.testing.assert_array_equal(
                    getattr(together, field.name)[b, s], getattr(alone, field.name)[0, 0]
                )


def test_a_recurrence_is_read_off_the_cycle() -> None:
    """Noise that ends in fixed points, cycles of 2 and 3, an empty mask and a full one."""
    seeds = (0, 1, 3, 14, 38)
    image = np.stack([noise(seed, 10, 12) for seed in seeds])
    first_mask = np.broadcast_to(centred_squares(10, 12, [5]), (len(seeds), 1, 10, 12))
    for iterations in (28, 29, 30):
        settings = IEMSettings(iterations=iterations, diversity_weight=0.001)
        result = emulate(image, first_mask, settings)
        expected = reference.segment(image, first_mask, settings)
        np.testing.assert_array_equal(result.mask_BSHW, expected.mask_BSHW)
        np.testing.assert_array_equal(result.iterations_BS, expected.iterations_BS)
        np.testing.assert_allclose(result.error_BS, expected.error_BS, rtol=0, atol=1e-9)
    assert set(Status) == {Status(status) for status in result.status_BS.ravel()}


def photographs(folder: Path, count: int) -> NDArray[np.uint8]:
    files = sorted((folder / "images").iterdir())[:count]
    return np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((128, 128))) for file in files]
    )


@needs_native
@pytest.mark.parametrize("name", ["flowers17", "people", "cars"])
def test_photographs_equal_native(photos: Path, name: str) -> None:
    """The paper's size, first masks and iterations, with the threads of a real block."""
    image = photographs(photos / name, 3)
    first_mask = np.broadcast_to(centred_squares(128, 128, [44, 78, 92]), (3, 3, 128, 128))
    result = emulate(image, first_mask, IEMSettings(), threads=512, blocks=2)
    assert_identical(result, native_backend.segment(image, first_mask, IEMSettings()))


def test_photographs_equal_the_reference(photos: Path) -> None:
    image = photographs(photos / "cars", 1)
    first_mask = np.broadcast_to(centred_squares(128, 128, [78]), (1, 1, 128, 128))
    settings = IEMSettings(iterations=15)
    result = emulate(image, first_mask, settings)
    expected = reference.segment(image, first_mask, settings)
    np.testing.assert_array_equal(result.mask_BSHW, expected.mask_BSHW)
    np.testing.assert_allclose(result.error_BS, expected.error_BS, rtol=0, atol=1e-9)
