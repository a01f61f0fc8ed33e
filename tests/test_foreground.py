"""Which side of a mask is called foreground. S = 8 pixels: 28 of 64 lie at the frame."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from PIL import Image

from iem_batch.foreground import frame_share, has_swapped_sides, with_consistent_sides
from iem_batch.iem.backends import load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings


def rectangle(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    """Foreground from top..bottom-1 and left..right-1 of 8 x 8 pixels."""
    mask_SS = np.zeros((8, 8), dtype=np.bool_)
    mask_SS[top:bottom, left:right] = True
    return mask_SS


@pytest.mark.parametrize(
    ("mask_SS", "share"),
    [
        (rectangle(2, 6, 2, 6), 0),  # within the frame
        (rectangle(3, 8, 2, 6), 4 / 28),  # stands on the lower edge: 20 / 64 of the picture
        (rectangle(0, 8, 2, 6), 8 / 28),  # from edge to edge: 32 / 64
        (rectangle(0, 8, 0, 4), 14 / 28),  # one half: both shares are equal
        (rectangle(0, 8, 0, 8), 1),
        (rectangle(0, 0, 0, 0), 0),
    ],
    ids=["inside", "standing", "column", "half", "full", "empty"],
)
def test_objects_stay_foreground(mask_SS: NDArray[np.bool_], share: float) -> None:
    """Catches a rule that takes all that touches the frame for background, or turns on a tie."""
    assert frame_share(mask_SS[None]).tolist() == [share]
    assert has_swapped_sides(mask_SS[None]).tolist() == [False]


@pytest.mark.parametrize(
    "mask_SS",
    [~rectangle(2, 6, 2, 6), ~rectangle(3, 8, 2, 6), rectangle(0, 1, 0, 8)],
    ids=["around", "around a standing one", "edge"],
)
def test_what_lies_at_the_frame_is_background(mask_SS: NDArray[np.bool_]) -> None:
    turned_BSS, is_turned_B = with_consistent_sides(np.stack([mask_SS, rectangle(2, 6, 2, 6)]))
    assert is_turned_B.tolist() == [True, False]
    np.testing.assert_array_equal(turned_BSS, [~mask_SS, rectangle(2, 6, 2, 6)])


@given(arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, max_side=9)))
def test_polarity_does_not_matter(mask_BHW: NDArray[np.bool_]) -> None:
    """A mask and its complement give one mask, except where nothing can be told of either."""
    of_mask_BHW, is_turned_B = with_consistent_sides(mask_BHW)
    of_complement_BHW, is_turned_too_B = with_consistent_sides(~mask_BHW)
    assert not (is_turned_B & is_turned_too_B).any()
    is_same_B = (of_mask_BHW == of_complement_BHW).all(axis=(1, 2))
    np.testing.assert_array_equal(is_same_B, is_turned_B | is_turned_too_B)
    assert not has_swapped_sides(of_mask_BHW).any()


@given(
    st.lists(st.tuples(st.floats(8, 24), st.floats(8, 24), st.floats(2, 7)), min_size=1),
    st.integers(0, 2**32 - 1),
)
def test_random_polarity_of_blobs_is_undone(
    discs: list[tuple[float, float, float]], seed: int
) -> None:
    """Discs of any size within the frame, half of the masks inverted by chance."""
    y_HW, x_HW = np.mgrid[:32, :32]
    mask_BHW = np.stack([(y_HW - y) ** 2 + (x_HW - x) ** 2 < r**2 for y, x, r in discs])
    is_inverted_B = np.random.default_rng(seed).random(len(discs)) < 0.5
    turned_BHW, is_turned_B = with_consistent_sides(mask_BHW ^ is_inverted_B[:, None, None])
    np.testing.assert_array_equal(turned_BHW, mask_BHW)
    np.testing.assert_array_equal(is_turned_B, is_inverted_B)


def test_random_polarity_of_photographs_is_undone(photos: Path) -> None:
    """IEM's masks of flowers, which it finds from a square in the centre: more than 95 %."""
    files = sorted((photos / "flowers17" / "images").iterdir())[:100]
    image_BHW3 = np.stack(
        [np.asarray(Image.open(file).convert("RGB").resize((64, 64))) for file in files]
    )
    first_BSHW = np.broadcast_to(centred_squares(64, 64, [39]), (len(files), 1, 64, 64))
    settings = IEMSettings(iterations=60, sigma_px=2.5, kernel_px=7)
    result = load_backend("native")(image_BHW3, first_BSHW, settings, num_threads=1)
    mask_BHW = result.mask_BSHW[:, 0]
    is_inverted_B = np.random.default_rng(0).random(len(files)) < 0.5
    turned_BHW, _ = with_consistent_sides(mask_BHW ^ is_inverted_B[:, None, None])
    restored = (turned_BHW == mask_BHW).all(axis=(1, 2)).mean()
    assert restored > 0.95
