"""The compiled engine: what it is given, what it gives back, and that nothing else matters."""

import dataclasses
import threading
import time

import numpy as np
import pytest
from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError, SettingsError
from iem_batch.iem import backends, native_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from tests.iem.noise import noise, random_masks

pytestmark = pytest.mark.skipif(
    native_backend.unavailable() is not None, reason=str(native_backend.unavailable())
)


def squares(num_images: int, size: int) -> NDArray[np.bool_]:
    mask_SHW = centred_squares(size, size, [size // 3, size // 2, 3 * size // 4])
    return np.broadcast_to(mask_SHW, (num_images, *mask_SHW.shape))


def assert_identical(result: IEMResult, expected: IEMResult) -> None:
    for field in dataclasses.fields(IEMResult):
        np.testing.assert_array_equal(getattr(result, field.name), getattr(expected, field.name))


@pytest.fixture(scope="module")
def image_BHW3() -> NDArray[np.uint8]:
    return noise(0, 7, 48, 48)


@pytest.fixture(scope="module")
def expected(image_BHW3: NDArray[np.uint8]) -> IEMResult:
    return native_backend.segment(image_BHW3, squares(7, 48), IEMSettings())


def test_it_is_the_backend_of_its_name() -> None:
    assert backends.BACKENDS["native"].load() is native_backend.segment
    assert backends.BACKENDS["native"].unavailable() is None


@pytest.mark.parametrize("num_threads", [2, 3, 16])
def test_threads_make_no_difference(
    image_BHW3: NDArray[np.uint8], expected: IEMResult, num_threads: int
) -> None:
    """More threads than images, and than this machine has."""
    result = native_backend.segment(
        image_BHW3, squares(7, 48), IEMSettings(), num_threads=num_threads
    )
    assert_identical(result, expected)


def test_batch_and_order_make_no_difference(
    image_BHW3: NDArray[np.uint8], expected: IEMResult
) -> None:
    """A thread's memory is used again: nothing of one image may be left for the next."""
    for b in (6, 2, 0):
        one = native_backend.segment(image_BHW3[b : b + 1], squares(1, 48), IEMSettings())
        np.testing.assert_array_equal(one.mask_BSHW[0], expected.mask_BSHW[b])
        np.testing.assert_array_equal(one.error_BS[0], expected.error_BS[b])
    backwards = native_backend.segment(image_BHW3[::-1], squares(7, 48), IEMSettings())
    np.testing.assert_array_equal(backwards.mask_BSHW[::-1], expected.mask_BSHW)
    np.testing.assert_array_equal(backwards.error_BS[::-1], expected.error_BS)


def test_first_masks_do_not_know_of_one_another(
    image_BHW3: NDArray[np.uint8], expected: IEMResult
) -> None:
    for s in range(3):
        one = native_backend.segment(image_BHW3, squares(7, 48)[:, s : s + 1], IEMSettings())
        np.testing.assert_array_equal(one.mask_BSHW[:, 0], expected.mask_BSHW[:, s])
        np.testing.assert_array_equal(one.iterations_BS[:, 0], expected.iterations_BS[:, s])
        np.testing.assert_array_equal(one.error_BS[:, 0], expected.error_BS[:, s])


def test_any_memory_layout_is_read(image_BHW3: NDArray[np.uint8], expected: IEMResult) -> None:
    """Read-only, transposed, strided and broadcast arrays; none of them is written to."""
    transposed = np.ascontiguousarray(image_BHW3.transpose(3, 2, 1, 0)).transpose(3, 2, 1, 0)
    transposed.setflags(write=False)
    wide = np.zeros((7, 3, 48, 96), dtype=np.bool_)
    wide[..., ::2] = squares(7, 48)
    for first_mask in (wide[..., ::2], np.asfortranarray(squares(7, 48)), squares(7, 48).copy()):
        assert_identical(native_backend.segment(transposed, first_mask, IEMSettings()), expected)


@pytest.mark.parametrize(("images", "masks"), [(0, 2), (2, 0)])
def test_nothing_to_do_is_done(images: int, masks: int) -> None:
    result = native_backend.segment(
        noise(0, images, 8, 8), np.ones((images, masks, 8, 8), np.bool_), IEMSettings()
    )
    assert result.mask_BSHW.shape == (images, masks, 8, 8)
    assert result.error_BS.shape == (images, masks)


def test_empty_and_full_masks_stay() -> None:
    first_mask = np.zeros((1, 2, 9, 7), np.bool_)
    first_mask[:, 1] = True
    result = native_backend.segment(noise(1, 1, 9, 7), first_mask, IEMSettings())
    assert result.status_BS.tolist() == [[Status.EMPTY, Status.FULL]]
    assert result.iterations_BS.tolist() == [[0, 0]]
    assert result.error_BS.tolist() == [[0, 0]]
    np.testing.assert_array_equal(result.mask_BSHW, first_mask)


def test_a_lone_pixel_is_voted_away() -> None:
    """The iteration at which a mask empties is the one that is reported."""
    first_mask = np.zeros((1, 1, 20, 20), np.bool_)
    first_mask[0, 0, 10, 10] = True
    image = np.full((1, 20, 20, 3), 90, np.uint8)
    result = native_backend.segment(image, first_mask, IEMSettings())
    assert result.status_BS[0, 0] == Status.EMPTY
    assert result.iterations_BS[0, 0] == 1
    assert result.error_BS[0, 0] == 0


def test_without_iterations_the_first_mask_is_scored() -> None:
    """Two rows of 60 over two of 30, split in the middle: each side is off by 30 everywhere."""
    image = np.full((1, 4, 5, 3), 30, np.uint8)
    image[0, :2] = 60
    first_mask = np.zeros((1, 1, 4, 5), np.bool_)
    first_mask[0, 0, :2] = True
    result = native_backend.segment(image, first_mask, IEMSettings(iterations=0))
    np.testing.assert_array_equal(result.mask_BSHW, first_mask)
    assert result.iterations_BS[0, 0] == 0
    assert result.error_foreground_BS[0, 0] == pytest.approx(30 / 127.5, abs=1e-12)
    assert result.error_background_BS[0, 0] == pytest.approx(30 / 127.5, abs=1e-12)


@pytest.mark.parametrize(
    ("image", "first_mask", "num_threads", "message"),
    [
        (np.zeros((2, 4, 6, 3)), np.zeros((2, 1, 4, 6), bool), 1, "images are float64"),
        (noise(0, 2, 4, 6), np.zeros((2, 1, 4, 6), np.uint8), 1, "first masks are uint8"),
        (noise(0, 2, 4, 6), np.zeros((1, 1, 4, 6), bool), 1, "must be bool"),
        (noise(0, 2, 4, 6), np.zeros((2, 4, 6), bool), 1, "must be bool"),
        (noise(0, 2, 4, 6), np.zeros((2, 1, 4, 6), bool), 0, "num_threads is 0"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    image: NDArray[np.uint8], first_mask: NDArray[np.bool_], num_threads: int, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        native_backend.segment(image, first_mask, IEMSettings(), num_threads=num_threads)


@pytest.mark.parametrize(("height", "width"), [(8192, 8192), (1, 8193)])
def test_an_image_too_large_is_refused_before_memory_is_taken(height: int, width: int) -> None:
    image = np.broadcast_to(np.uint8(0), (1, height, width, 3))
    first_mask = np.broadcast_to(np.False_, (1, 1, height, width))
    with pytest.raises(BackendUnavailableError, match="up to 16777216 pixels, 8192 on a side"):
        native_backend.segment(image, first_mask, IEMSettings())


def test_more_iterations_than_it_can_count_are_refused() -> None:
    with pytest.raises(BackendUnavailableError, match="cannot do 2147483648 iterations"):
        native_backend.segment(
            noise(0, 1, 8, 8), random_masks(0, 1, 1, 8, 8), IEMSettings(iterations=1 << 31)
        )


def test_an_unknown_instruction_set_is_refused() -> None:
    with pytest.raises(ValueError, match="no instruction set mmx"):
        native_backend.segment_with(
            "mmx", noise(0, 1, 8, 8), random_masks(0, 1, 1, 8, 8), IEMSettings()
        )


def test_without_the_extension_the_reason_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native_backend, "_REASON", "no compiler")
    with pytest.raises(BackendUnavailableError, match="native cannot run here: no compiler"):
        native_backend.segment(noise(0, 1, 8, 8), random_masks(0, 1, 1, 8, 8), IEMSettings())


def test_other_threads_of_the_interpreter_run_meanwhile() -> None:
    """With the lock held, this thread would not get a turn before the call is over."""
    image = noise(0, 24, 128, 128)
    finished = threading.Event()

    def work() -> None:
        native_backend.segment(image, squares(24, 128), IEMSettings())
        finished.set()

    worker = threading.Thread(target=work)
    worker.start()
    turns = 0
    while not finished.is_set():
        time.sleep(0.001)
        turns += 1
    worker.join()
    assert turns > 10
