import numpy as np
import pytest
import torch

from iem_batch.iem.masks import centred_squares
from iem_batch.iem.objective import objective
from iem_batch.iem.reference import segment
from iem_batch.iem.result import IEMResult, Status, mask_status
from iem_batch.iem.settings import IEMSettings
from tests.iem.noise import noise, random_masks
from tests.iem.trajectory import trajectory
from tests.pictures import Picture


def test_statuses_name_the_missing_side() -> None:
    masks = np.array([[[0, 0]], [[1, 1]], [[0, 1]]], dtype=bool)
    assert mask_status(masks).tolist() == [Status.EMPTY, Status.FULL, Status.OK]


def test_finds_a_textured_disc(pictures: list[Picture]) -> None:
    for picture in pictures[:2]:
        first_mask = centred_squares(*picture.mask.shape, [40])
        mask = segment(picture.image[None], first_mask[None], IEMSettings(iterations=40)).mask_BSHW
        both, either = (mask & picture.mask).sum(), (mask | picture.mask).sum()
        assert both / either > 0.9


def test_black_beside_white_has_the_largest_error() -> None:
    """0 and 255 are -1 and 1: either side predicts the other wrong by 2 on every pixel.

    The error of the result is E alone: D, of weight 0.001, would show in the third digit.
    """
    image = np.zeros((1, 4, 8, 3), dtype=np.uint8)
    image[:, :, 4:] = 255
    mask = np.zeros((1, 1, 4, 8), dtype=bool)
    mask[..., 4:] = True
    result = segment(image, mask, IEMSettings(iterations=0))
    assert result.error_foreground_BS.tolist() == [[pytest.approx(2)]]
    assert result.error_background_BS.tolist() == [[pytest.approx(2)]]
    assert result.error_BS.tolist() == [[pytest.approx(4)]]
    assert np.array_equal(result.mask_BSHW, mask)
    assert result.iterations_BS.tolist() == [[0]]


def test_the_error_is_that_of_the_final_mask() -> None:
    """Not that of the mask the last gradient was taken at, and not the best of the run."""
    image, mask = noise(0, 1, 12, 15), random_masks(0, 1, 1, 12, 15)
    for iterations in (1, 3):
        result = segment(image, mask, IEMSettings(iterations=iterations))
        again = segment(image, result.mask_BSHW, IEMSettings(iterations=0))
        assert np.array_equal(result.error_BS, again.error_BS)


def test_a_step_ascends() -> None:
    """On the disc, the objective of the mask after two iterations is above that before."""
    y, x = np.mgrid[:32, :32]
    disc = (y - 16) ** 2 + (x - 16) ** 2 < 81
    image = np.where(disc[..., None], noise(0, 32, 32) // 2 + 128, noise(1, 32, 32) // 2)
    masks = trajectory(
        image.astype(np.uint8), centred_squares(32, 32, [24])[0], IEMSettings(iterations=2)
    )
    image_CHW = torch.from_numpy(image).double().movedim(2, 0) / 127.5
    before, after = (
        objective(image_CHW, torch.from_numpy(masks[t]).double(), IEMSettings()) for t in (0, 2)
    )
    assert after > before


# Of 10 x 12 noise from a square of 5, by seed: fixed points, cycles of 2 and 3, a mask that fills
# the picture and one that vanishes.
SEEDS = {0: 1, 1: 2, 2: 1, 3: 3, 14: Status.FULL.name, 38: Status.EMPTY.name}


@pytest.mark.parametrize(("seed", "end"), SEEDS.items())
def test_iterations_counts_to_the_first_mask_seen_before(seed: int, end: int | str) -> None:
    """And the mask of the last iteration is the one read off the cycle."""
    settings = IEMSettings(iterations=30, diversity_weight=0.001)
    image, square = noise(seed, 10, 12), centred_squares(10, 12, [5])
    result = segment(image[None], square[None], settings)
    masks = trajectory(image, square[0], settings)
    assert np.array_equal(result.mask_BSHW[0, 0], masks[-1])
    if isinstance(end, str):
        assert result.status_BS[0, 0] == Status[end]
        assert result.iterations_BS[0, 0] == len(masks) - 1
        assert result.error_BS[0, 0] == 0
        return
    t, s = next((t, s) for t in range(31) for s in range(t) if np.array_equal(masks[t], masks[s]))
    assert t - s == end
    assert result.iterations_BS[0, 0] == t
    assert np.array_equal(masks[-1], masks[s + (30 - s) % (t - s)])


def test_iterations_counts_all_where_no_mask_recurs() -> None:
    result = segment(
        noise(3, 1, 10, 12), centred_squares(10, 12, [5])[None], IEMSettings(iterations=8)
    )
    assert result.iterations_BS.tolist() == [[8]]


def test_empty_and_full_first_masks_stay() -> None:
    mask = np.zeros((1, 2, 6, 6), dtype=bool)
    mask[:, 1] = True
    result = segment(noise(0, 1, 6, 6), mask, IEMSettings())
    assert np.array_equal(result.mask_BSHW, mask)
    assert result.status_BS.tolist() == [[Status.EMPTY, Status.FULL]]
    assert result.iterations_BS.tolist() == [[0, 0]]
    assert result.error_BS.tolist() == [[0, 0]]


@pytest.mark.parametrize("value", [0, 77, 255])
def test_a_flat_picture_keeps_its_first_mask(value: int) -> None:
    """Without centring, float64 rounding noise would move its boundary."""
    image, mask = np.full((1, 9, 9, 3), value, dtype=np.uint8), centred_squares(9, 9, [5])[None]
    result = segment(image, mask, IEMSettings())
    assert np.array_equal(result.mask_BSHW, mask)
    assert result.error_BS.tolist() == [[0]]
    assert result.iterations_BS.tolist() == [[1]]


def test_sides_swap_with_the_mask() -> None:
    """The objective has no preferred side; the vote has, so it is off."""
    image, mask = noise(5, 3, 14, 11), random_masks(6, 3, 2, 14, 11)
    settings = IEMSettings(smoothing=False, iterations=8)
    result, swapped = (segment(image, m, settings) for m in (mask, ~mask))
    assert np.array_equal(swapped.mask_BSHW, ~result.mask_BSHW)
    np.testing.assert_allclose(swapped.error_foreground_BS, result.error_background_BS, rtol=1e-12)
    assert np.array_equal(swapped.iterations_BS, result.iterations_BS)


def assert_finite(result: IEMResult) -> None:
    assert np.isfinite(result.error_foreground_BS).all()
    assert np.isfinite(result.error_background_BS).all()
    assert (result.error_BS >= 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 1), (3, 3), (5, 30)])
def test_every_number_is_finite(size: tuple[int, int], dtype: torch.dtype) -> None:
    """On noise, two-valued and flat pictures, from masks of one pixel of either side."""
    image = noise(7, 3, *size)
    image[1] = np.where(image[1, ..., :1] > 127, 255, 0)
    image[2] = 9
    first_mask = np.zeros((3, 2, *size), dtype=bool)
    first_mask[:, 0, 0, 0] = True
    first_mask[:, 1] = ~first_mask[:, 0]
    assert_finite(segment(image, first_mask, IEMSettings(iterations=5), dtype=dtype))
