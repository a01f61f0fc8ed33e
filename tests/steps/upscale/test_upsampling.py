import cv2
import numpy as np
import pytest

from iem_batch.images.geometry import mask_to_image
from iem_batch.metrics import as_labelled, confusion
from iem_batch.steps.upscale import upsampling
from iem_batch.steps.upscale.upsampling import BAND_PX, upsample

METHODS = ("nearest", "cut")


def iou(mask, truth):
    return as_labelled(confusion(mask[None], truth[None]))[0, 1]


def bright_disc(height, width, radius):
    """A bright disc on a dark ground: an edge nobody can miss; and its true mask."""
    y, x = np.mgrid[:height, :width]
    truth = (y - height / 2) ** 2 + (x - width / 2) ** 2 < radius**2
    photo = np.where(truth[..., None], 220, 30).astype(np.uint8)
    return np.repeat(photo, 3, axis=2), truth


def noise(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(120, 181), (181, 120), (16, 16), (9, 14)])
def test_what_was_not_seen_is_background_and_lies_beyond_the_box(method, shape):
    """A mask shifted by a pixel, or smeared over the edge of the crop, is wrong everywhere."""
    photo = noise(*shape)
    for value in (True, False):
        small = np.full((16, 16), value)
        mask, box = upsample(small, photo, method, "crop")
        seen = mask_to_image(small, *shape[::-1], "crop")[1]
        assert seen[box].all()
        assert seen.sum() == seen[box].size
        np.testing.assert_array_equal(mask, seen & value)


@pytest.mark.parametrize("fit", ["squash", "crop", "letterbox"])
@pytest.mark.parametrize("shape", [(300, 300), (240, 400), (401, 253)])
@pytest.mark.parametrize("wrong_px", [-3, 3])
def test_cut_makes_a_mask_off_by_three_pixels_exact(wrong_px, shape, fit):
    """A trimap that lies beside the photo, by an axis or a crop, leaves some of it wrong."""
    photo, truth = bright_disc(*shape, 80)
    size = 64
    small = np.array(cv2.resize(truth.astype(np.uint8), (size, size)), np.bool_)
    if fit != "squash":
        small = bright_disc(size, size, 80 * size / (min if fit == "crop" else max)(shape))[1]
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    change = cv2.dilate if wrong_px > 0 else cv2.erode
    coarse = change(small.astype(np.uint8), disc).astype(np.bool_)
    assert iou(upsample(coarse, photo, "nearest", fit)[0], truth) < 0.9
    np.testing.assert_array_equal(upsample(coarse, photo, "cut", fit)[0], truth)


def test_photo_too_large_for_a_cut_is_cut_smaller(monkeypatch):
    """A quarter of the pixels: the outline is right to a pixel or two, where nearest is off by 9"""
    photo, truth = bright_disc(300, 300, 80)
    coarse = bright_disc(100, 100, 80 / 3 + 3)[1]
    monkeypatch.setattr(upsampling, "MAX_PIXELS", 150 * 150)
    mask, _ = upsample(coarse, photo, "cut", "squash")
    disc = np.ones((5, 5), np.uint8)
    assert not (mask & ~cv2.dilate(truth.astype(np.uint8), disc).astype(np.bool_)).any()
    assert mask[cv2.erode(truth.astype(np.uint8), disc) == 1].all()


@pytest.mark.parametrize("max_pixels", [100 * 100, 400 * 400])
def test_far_from_the_outline_nothing_changes(max_pixels, monkeypatch):
    """Noise gives a cut no reason to stop, so it goes as far as it may."""
    monkeypatch.setattr(upsampling, "MAX_PIXELS", max_pixels)
    small = bright_disc(64, 64, 20)[1]
    photo = noise(320, 256)
    nearest, _ = upsample(small, photo, "nearest", "squash")
    mask, _ = upsample(small, photo, "cut", "squash")
    changed_y, changed_x = np.nonzero(mask != nearest)
    assert len(changed_y) > 0
    y, x = np.nonzero(cv2.morphologyEx(small.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3))))
    far = np.hypot(changed_y[:, None] // 5 - y, changed_x[:, None] // 4 - x).min(axis=1)
    assert far.max() <= BAND_PX


@pytest.mark.parametrize("grey", [0, 99, 255])
def test_photo_of_one_colour_leaves_the_mask(grey):
    small = bright_disc(32, 32, 10)[1]
    photo = np.full((160, 160, 3), grey, np.uint8)
    found = [upsample(small, photo, method, "squash")[0] for method in METHODS]
    np.testing.assert_array_equal(*found)


def test_threads_of_opencv_change_nothing():
    photo, truth = bright_disc(400, 400, 90)
    photo = np.clip(photo + np.random.default_rng(1).normal(0, 60, photo.shape), 0, 255)
    found = []
    before = cv2.getNumThreads()
    for threads in (1, 4):
        cv2.setNumThreads(threads)
        found.append(upsample(truth[::4, ::4], photo.astype(np.uint8), "cut", "squash")[0])
    cv2.setNumThreads(before)
    np.testing.assert_array_equal(*found)
