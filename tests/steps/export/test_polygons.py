"""Polygons give the masks back that they were drawn around, as their readers fill them."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from iem_batch.steps.export.formats.polygons import fine_outlines, outlines

# pycocotools has not followed numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Mask = NDArray[np.bool_]

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))
SMOOTH = st.builds(
    lambda seed, side, sigma: smooth(seed, side, sigma),
    *(st.integers(0, 2**32 - 1), st.integers(3, 60), st.sampled_from([1.0, 2.0, 4.0])),
)
"""Blobs with holes and islands in them."""


def smooth(seed: int, side: int, sigma: float) -> Mask:
    noise = np.random.default_rng(seed).normal(size=(side, side + 7)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), sigma) > 0


def filled(mask: Mask) -> Mask:
    """Fill outlines as readers with OpenCV do."""
    again = np.zeros(mask.shape, dtype=np.uint8)
    for outline in outlines(mask):
        cv2.fillPoly(again, [outline], 1)
    return again.astype(bool)


def rasterized(mask: Mask) -> Mask:
    """Fill fine outlines as readers with pycocotools do."""
    polygons = [outline.ravel().tolist() for outline in fine_outlines(mask)]
    if not polygons:
        return np.zeros_like(mask)
    run_lengths = coco_mask.merge(coco_mask.frPyObjects(polygons, *mask.shape))
    return np.asarray(coco_mask.decode(run_lengths), dtype=bool)


@given(st.one_of(MASKS, SMOOTH))
def test_every_mask_comes_back(mask: Mask) -> None:
    """To the pixel, and so at any IoU that may be asked for; holes, islands and specks too."""
    np.testing.assert_array_equal(filled(mask), mask)
    np.testing.assert_array_equal(rasterized(mask), mask)


def test_a_ring_by_hand() -> None:
    """The slit leads from the hole's leftmost pixel left to the outer edge, and back."""
    mask = np.ones((5, 5), dtype=bool)
    mask[2, 2] = False
    (outline,) = outlines(mask)
    corners = {(0, 0), (0, 4), (4, 4), (4, 0)}
    around_hole = {(1, 2), (2, 1), (3, 2), (2, 3)}
    points = [(x, y) for x, y in outline.tolist()]
    assert set(points) == corners | around_hole | {(0, 2)}
    assert points.count((0, 2)) == points.count((1, 2)) == 2


def test_parts_are_polygons_of_their_own() -> None:
    mask = np.zeros((3, 7), dtype=bool)
    mask[1, 1] = mask[1, 4:6] = True
    assert sorted(outline.tolist() for outline in outlines(mask)) == [[[1, 1]], [[4, 1], [5, 1]]]
    first = next(outline for outline in fine_outlines(mask) if outline[0, 0] < 2)
    assert sorted(first.tolist()) == [[1.25, 1.25], [1.25, 1.75], [1.75, 1.25], [1.75, 1.75]]
