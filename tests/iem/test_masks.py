import numpy as np
import pytest

from iem_batch.errors import SettingsError
from iem_batch.iem.masks import centred_squares


@pytest.mark.parametrize("height", [8, 32, 128, 224, 256])
def test_the_authors_first_square(height: int) -> None:
    """They start from rows and columns H // 5 .. H - H // 5; of 128 pixels that is side 78."""
    first, last = height // 5, height - height // 5
    expected = np.zeros((height, height), dtype=bool)
    expected[first:last, first:last] = True
    assert np.array_equal(centred_squares(height, height, [last - first])[0], expected)
    if height == 128:
        assert (first, last) == (25, 103)


def test_one_mask_for_each_side() -> None:
    masks = centred_squares(12, 20, [2, 5, 12])
    assert masks.shape == (3, 12, 20)
    assert masks.sum(axis=(1, 2)).tolist() == [4, 25, 144]
    assert masks[0, 5:7, 9:11].all()


def test_a_side_that_does_not_divide_evenly_leans_to_the_top_left() -> None:
    """(4 - 1) // 2 = 1 row above, 2 below; (5 - 1) // 2 = 2 columns on either side."""
    assert np.argwhere(centred_squares(4, 5, [1])[0]).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("height", "width", "side", "most"), [(8, 8, 0, 7), (8, 8, 8, 7), (8, 9, 9, 8), (1, 1, 1, 0)]
)
def test_a_side_that_leaves_no_background_is_refused(
    height: int, width: int, side: int, most: int
) -> None:
    with pytest.raises(SettingsError, match=f"side {side} does not fit .* from 1 to {most}$"):
        centred_squares(height, width, [side])


def test_a_square_may_touch_two_borders() -> None:
    assert centred_squares(8, 9, [8])[0].sum() == 64
