"""The ways in which masks become one, by hand."""

import cv2
import numpy as np
import pytest

from iem_batch.steps.fuse.fusion import cut, fuse_one, graph_cut, trimap, vote

SIDE = 32


def square(top, left, height, width, side=SIDE):
    mask = np.zeros((side, side), dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


MIDDLE = square(1, 1, 2, 2, side=4)
CORNER_OF_MIDDLE = square(1, 1, 1, 1, side=4)
OBJECT = square(10, 11, 12, 9)
NO_ERRORS = np.zeros(3)


@pytest.fixture
def photo():
    """A red rectangle on green, both with some noise."""
    rng = np.random.default_rng(0)
    pixels = np.where(OBJECT[..., None], (200, 40, 40), (40, 160, 40))
    return (pixels + rng.integers(-15, 16, (SIDE, SIDE, 3))).astype(np.uint8)


def test_vote_counts_all_sides_alike():
    """The second mask calls the same object background."""
    vote_HW = vote(np.stack([MIDDLE, ~MIDDLE, CORNER_OF_MIDDLE]))
    np.testing.assert_allclose(
        vote_HW, [[0, 0, 0, 0], [0, 1, 2 / 3, 0], [0, 2 / 3, 2 / 3, 0], [0, 0, 0, 0]]
    )


def test_majority_is_more_than_half():
    blank = np.zeros((4, 4, 3), np.uint8)
    most = fuse_one("vote", 0, blank, np.stack([MIDDLE, ~MIDDLE, CORNER_OF_MIDDLE]), NO_ERRORS)
    np.testing.assert_array_equal(most, MIDDLE)
    half = fuse_one("vote", 0, blank, np.stack([MIDDLE, CORNER_OF_MIDDLE]), NO_ERRORS)
    np.testing.assert_array_equal(half, CORNER_OF_MIDDLE)


def test_dataset_takes_the_chosen_mask_as_it_is():
    mask_SHW = np.stack([MIDDLE, ~MIDDLE, CORNER_OF_MIDDLE])
    blank = np.zeros((4, 4, 3), np.uint8)
    for chosen in range(3):
        found = fuse_one("dataset", chosen, blank, mask_SHW, np.array([0.9, 0.1, 0.5]))
        np.testing.assert_array_equal(found, mask_SHW[chosen])


@pytest.mark.parametrize(("errors", "best"), [([0.1, 0.3, 0.2], 1), ([0.1, 0.3, 0.3], 1)])
def test_image_takes_the_highest_error_and_of_equal_ones_the_first(errors, best):
    mask_SHW = np.stack([MIDDLE, ~MIDDLE, CORNER_OF_MIDDLE])
    found = fuse_one("image", 0, np.zeros((4, 4, 3), np.uint8), mask_SHW, np.array(errors))
    np.testing.assert_array_equal(found, mask_SHW[best])


LETTERS = {cv2.GC_BGD: "B", cv2.GC_PR_BGD: "b", cv2.GC_PR_FGD: "f", cv2.GC_FGD: "F"}


@pytest.mark.parametrize(
    ("share", "middle_row", "top_row"),
    [
        # The prior alone: 0.6 and more up to 0.505 half sides, which is column 8 of 32.
        (0, "B" + 7 * "b" + 16 * "f" + 7 * "b" + "B", 32 * "B"),
        # Most masks: all of it is likely, and only the frame is certain.
        (0.7, "B" + 30 * "f" + "B", 32 * "B"),
        # All masks: the frame too, and the core is certain up to 0.45 half sides.
        (1, 9 * "f" + 14 * "F" + 9 * "f", 32 * "f"),
    ],
)
def test_start_of_a_cut(share, middle_row, top_row):
    """Capitals are certain; B and b background, F and f foreground."""
    trimap_HW = trimap(np.full((SIDE, SIDE), float(share)))
    rows = ["".join(LETTERS[int(value)] for value in row) for row in trimap_HW]
    assert (rows[SIDE // 2], rows[0], rows[-1]) == (middle_row, top_row, top_row)
    np.testing.assert_array_equal(trimap_HW, trimap_HW.T)
    np.testing.assert_array_equal(trimap_HW, trimap_HW[::-1, ::-1])


def test_cut_finds_the_edges_that_masks_have_missed(photo):
    masks = np.stack([square(12, 13, 6, 5), ~square(9, 9, 13, 12), square(11, 12, 12, 9)])
    found = fuse_one("cut", 0, photo, masks, NO_ERRORS)
    np.testing.assert_array_equal(found, OBJECT)
    np.testing.assert_array_equal(found, cut(photo, vote(masks)))


def test_cut_is_not_moved_by_what_ran_before(photo):
    noise = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    vote_HW = vote(OBJECT[None])
    first = cut(noise, vote_HW)
    cut(photo, vote_HW)
    np.testing.assert_array_equal(cut(noise, vote_HW), first)


def test_what_is_certain_stays(photo):
    """Whatever its colours: a corner of background, and the middle of the object."""
    trimap_HW = np.where(OBJECT, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap_HW[:4, :4] = cv2.GC_FGD
    trimap_HW[14:18, 14:18] = cv2.GC_BGD
    before = trimap_HW.copy()
    found = graph_cut(photo, trimap_HW, iterations=1)
    assert found[:4, :4].all()
    assert not found[14:18, 14:18].any()
    np.testing.assert_array_equal(trimap_HW, before)


@pytest.mark.parametrize("value", list(LETTERS))
def test_start_with_one_side_alone_is_that_side(photo, value):
    """OpenCV cannot fit colours to nothing."""
    found = graph_cut(photo, np.full((SIDE, SIDE), value, np.uint8), iterations=1)
    assert (found == (value in (cv2.GC_FGD, cv2.GC_PR_FGD))).all()


@pytest.mark.parametrize("grey", [0, 127])
def test_photo_of_one_colour(grey):
    """There is no edge to cut along; it must not fail."""
    flat = np.full((SIDE, SIDE, 3), grey, np.uint8)
    assert cut(flat, vote(OBJECT[None])).shape == (SIDE, SIDE)
