import numpy as np
import pytest

from iem_batch.data.geometry import centre_crop, mask_to_image
from iem_batch.iem.backends import load_backend
from iem_batch.iem.settings import IEMSettings
from iem_batch.metrics import as_labelled, confusion
from iem_batch.stages.native_size.upsampling import segment_whole, sharpen, upsample, upsample_whole
from tests.pictures import textured_disc

METHODS = ("nearest", "bilinear", "guided")
IEM = IEMSettings(sigma_px=2, kernel_px=5, iterations=8)


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
    mask, seen = upsample(np.ones((16, 16), np.bool_), photo, method)
    np.testing.assert_array_equal(seen, mask_to_image(np.ones((16, 16), np.bool_), *shape[::-1])[1])
    np.testing.assert_array_equal(mask, seen)
    mask, _ = upsample(np.zeros((16, 16), np.bool_), photo, method)
    assert not mask.any()


def test_guided_finds_the_edge():
    """A filter whose grid lies half a pixel beside the photo's moves every outline."""
    photo, truth = bright_disc(160, 160, 51)
    small = truth[5::10, 5::10]
    found = {method: iou(upsample(small, photo, method)[0], truth) for method in METHODS}
    assert found["nearest"] < found["bilinear"] < found["guided"]
    assert found["guided"] > 0.98


def test_bilinear_rounds_corners():
    truth = bright_disc(160, 160, 51)[1]
    small = truth[5::10, 5::10]
    grey = np.zeros((160, 160, 3), np.uint8)
    found = {method: iou(upsample(small, grey, method)[0], truth) for method in METHODS}
    assert found["nearest"] < found["bilinear"]


def test_without_edges_guided_changes_little():
    small = bright_disc(32, 32, 10)[1]
    grey = np.full((160, 160, 3), 99, np.uint8)
    assert iou(upsample(small, grey, "guided")[0], upsample(small, grey, "bilinear")[0]) > 0.95


def test_whole_mask_keeps_its_place():
    photo, truth = bright_disc(100, 250, 40)
    crop = centre_crop(250, 100, 50)
    small = truth[::2, ::2]
    assert small.shape == (crop.height, crop.width)
    for method in METHODS:
        assert iou(upsample_whole(small, photo, method), truth) > 0.95


def test_engine_at_a_larger_size_sharpens_the_outline():
    picture = textured_disc(0, 128, 128)
    engine = load_backend("torch")
    small = picture.mask.reshape(16, 8, 16, 8).any(axis=(1, 3))
    before = iou(upsample(small, picture.image, "nearest")[0], picture.mask)
    larger = sharpen(small, picture.image, engine, IEM, 64, "nearest")
    assert larger.shape == (64, 64)
    assert iou(upsample(larger, picture.image, "nearest")[0], picture.mask) > before


def test_whole_photo_is_segmented_beyond_the_crop():
    """What the centre's mask cuts off at the edge of the crop must go on beyond it."""
    photo, truth = bright_disc(60, 200, 50)  # reaches 20 pixels beyond the crop on either side
    first = truth[:, 70:130]
    engine = load_backend("torch")
    iem = IEMSettings(sigma_px=2, kernel_px=5, iterations=60)
    mask = segment_whole(first, photo, engine, iem, 60, "nearest")
    assert mask.shape == truth.shape
    assert iou(mask, truth) > 0.95
