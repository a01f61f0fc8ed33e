import numpy as np
import pytest

from iem_batch.images.geometry import mask_to_image
from iem_batch.metrics import as_labelled, confusion
from iem_batch.steps.upscale.upsampling import upsample

METHODS = ("nearest", "bilinear", "guided")


def iou(mask, truth):
    return as_labelled(confusion(mask[None], truth[None]))[0, 1]


def bright_disc(height, width, radius):
    """A bright disc on a dark ground: an edge nobody can miss; and its true mask."""
    y, x = np.mgrid[:height, :width]
    truth = (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2
    photo = np.where(truth[..., None], 220, 30).astype(np.uint8)
    return np.repeat(photo, 3, axis=2), truth


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(120, 181), (181, 120), (16, 16), (9, 14)])
def test_margin_is_background_and_said_to_be_unknown(method, shape):
    """A mask shifted by a pixel, or smeared over the edge of the crop, is wrong everywhere."""
    photo = np.zeros((*shape, 3), np.uint8)
    mask, seen = upsample(np.ones((16, 16), np.bool_), photo, method, "crop")
    np.testing.assert_array_equal(
        seen, mask_to_image(np.ones((16, 16), np.bool_), *shape[::-1], "crop")[1]
    )
    np.testing.assert_array_equal(mask, seen)
    mask, _ = upsample(np.zeros((16, 16), np.bool_), photo, method, "crop")
    assert not mask.any()


def test_guided_finds_the_edge():
    """A filter whose grid lies half a pixel beside the photo's moves every outline."""
    photo, truth = bright_disc(160, 160, 51)
    small = truth[5::10, 5::10]
    found = {method: iou(upsample(small, photo, method, "crop")[0], truth) for method in METHODS}
    assert found["nearest"] < found["bilinear"] < found["guided"]
    assert found["guided"] > 0.98


def test_bilinear_rounds_corners():
    truth = bright_disc(160, 160, 51)[1]
    small = truth[5::10, 5::10]
    grey = np.zeros((160, 160, 3), np.uint8)
    found = {method: iou(upsample(small, grey, method, "crop")[0], truth) for method in METHODS}
    assert found["nearest"] < found["bilinear"]


def test_without_edges_guided_changes_little():
    small = bright_disc(32, 32, 10)[1]
    grey = np.full((160, 160, 3), 99, np.uint8)
    assert (
        iou(
            upsample(small, grey, "guided", "crop")[0], upsample(small, grey, "bilinear", "crop")[0]
        )
        > 0.95
    )
