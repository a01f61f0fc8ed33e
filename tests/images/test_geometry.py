import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iem_batch.images.decode import decode
from iem_batch.images.geometry import (
    jpeg_divisor,
    mask_to_image,
    mask_to_square,
    placement,
    seen_in_image,
)
from iem_batch.images.settings import DecodeSettings, Fit

FITS = ("squash", "crop", "letterbox")
sides = st.integers(1, 60)


def random_mask(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).random(shape) < 0.5


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("resize", ["nearest", "antialias"])
@pytest.mark.parametrize(("width", "height"), [(53, 37), (37, 53), (8, 8), (5, 9), (200, 31)])
def test_same_pixels_as_decoding(width, height, resize, fit):
    """A mask that goes another way than its image is shifted by up to a pixel, and costs IoU."""
    mask = random_mask(height, width)
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    settings = DecodeSettings(size_px=8, resize=resize, fit=fit)
    decoded = decode(buffer.getvalue(), settings).pixels[..., 0]
    np.testing.assert_array_equal(mask_to_square(mask, settings), decoded >= 128)


@settings(max_examples=200, deadline=None)
@given(width=sides, height=sides, size=st.integers(1, 20), fit=st.sampled_from(FITS))
def test_there_and_back(width, height, size, fit):
    """Off by one in either direction shows on some size.

    Of a letterbox what is filled up comes back from the edge, not from the mask.
    """
    mask = random_mask(size, size)
    decode_settings = DecodeSettings(size_px=size, resize="nearest", fit=fit)
    whole, seen = mask_to_image(mask, width, height, fit)
    assert whole.shape == seen.shape == (height, width)
    assert not whole[~seen].any()
    place = placement(width, height, size, fit)
    if width >= place.width and height >= place.height:
        (above, below), (before, after) = place.margins
        inside = np.s_[above : size - below, before : size - after]
        back = mask_to_square(whole, decode_settings)
        np.testing.assert_array_equal(back[inside], mask[inside])
        assert mask_to_square(seen, decode_settings).all()


@pytest.mark.parametrize(
    ("size", "settings", "divisor"),
    [
        ((256, 256), {}, 1),  # half would be the square itself
        ((511, 511), {}, 2),  # 256 x 256 with its last column half beyond the photo
        ((510, 512), {}, 1),  # 255 wide
        ((4000, 3000), {}, 8),
        ((4000, 2000), {}, 4),  # an eighth is 250 high
        ((4000, 2000), {"fit": "letterbox"}, 8),  # of which 64 are wanted
        ((4001, 3000), {"exif_orientation": True}, 1),
        ((4004, 3000), {"exif_orientation": True}, 4),
        ((4000, 3000), {"scaled": False}, 1),
        ((4000, 3000), {"resize": "nearest"}, 1),
        ((16, 16), {"size_px": 1}, 2),
    ],
)
def test_divisors_by_hand(size, settings, divisor):
    assert jpeg_divisor(*size, DecodeSettings(**settings)) == divisor


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "MPO", "TIFF"])
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize(("width", "height"), [(1023, 771), (514, 1999), (1024, 1024)])
def test_a_photo_that_is_reduced_first_keeps_its_place(width, height, fit, image_format):
    """A ramp shows a shift by a part of a pixel; the original's size is what comes back."""
    column_W, row_H = np.linspace(0, 255, width), np.linspace(0, 255, height)
    ramp = np.stack(np.broadcast_arrays(column_W, row_H[:, None], 99.0), axis=2)
    buffer = io.BytesIO()
    options = {"quality": 100, "subsampling": 0} if image_format in ("JPEG", "MPO") else {}
    Image.fromarray(ramp.round().astype(np.uint8)).save(buffer, image_format, **options)
    data = buffer.getvalue()
    reduced = decode(data, DecodeSettings(size_px=64, fit=fit))
    whole = decode(data, DecodeSettings(size_px=64, fit=fit, scaled=False))
    assert (reduced.width, reduced.height) == (whole.width, whole.height) == (width, height)
    # Two levels are half a pixel of the square, or an eighth of one of a narrow letterbox.
    np.testing.assert_allclose(reduced.pixels.astype(int), whole.pixels.astype(int), atol=2)


def test_the_last_pixel_of_a_reduced_jpeg_may_be_a_part_of_one():
    """57 pixels divided by 8 are 7.125: taken for 8, the last pixel is 17 levels too bright."""
    column_W = np.linspace(0, 255, 57).round().astype(np.uint8)
    ramp = np.broadcast_to(column_W[:, None], (57, 57, 3))
    buffer = io.BytesIO()
    Image.fromarray(ramp.copy()).save(buffer, "JPEG", quality=100, subsampling=0)
    assert jpeg_divisor(57, 57, DecodeSettings(size_px=4)) == 8
    pixels = decode(buffer.getvalue(), DecodeSettings(size_px=4)).pixels
    np.testing.assert_allclose(pixels[2, :, 0].astype(int), [32, 96, 159, 223], atol=8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_that_is_reduced_and_turned(orientation):
    ramp = np.add.outer(np.arange(512), np.arange(640)) // 5
    pixels = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=100, subsampling=0, exif=exif)
    turned = DecodeSettings(size_px=64, exif_orientation=True)
    reduced = decode(buffer.getvalue(), turned)
    whole = decode(buffer.getvalue(), replace(turned, scaled=False))
    size = (512, 640) if orientation >= 5 else (640, 512)
    assert (reduced.width, reduced.height) == (whole.width, whole.height) == size
    np.testing.assert_allclose(reduced.pixels.astype(int), whole.pixels.astype(int), atol=1)


def test_crop_by_hand():
    # 6 x 4 to 3 x 2: a pixel of the square is 2 x 2 of the image. Of three columns two are kept,
    # the first two since round(0.5) is 0, so the last two of the image are not seen.
    place = placement(6, 4, 2, "crop")
    assert (place.width, place.height, place.left, place.top) == (3, 2, 0, 0)
    whole, seen = mask_to_image(np.array([[1, 0], [0, 1]], dtype=np.bool_), 6, 4, "crop")
    assert seen.tolist() == [[True] * 4 + [False] * 2] * 4
    upper, lower = [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]
    assert whole.astype(int).tolist() == [upper, upper, lower, lower]


def test_squash_by_hand():
    """A pixel of the square is 3 x 2 of the image, all of which is seen."""
    whole, seen = mask_to_image(np.array([[1, 0], [0, 1]], dtype=np.bool_), 6, 4, "squash")
    assert seen.all()
    upper, lower = [1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]
    assert whole.astype(int).tolist() == [upper, upper, lower, lower]


def test_letterbox_by_hand():
    """8 x 4 fill the two rows in the middle of 4 x 4; those about them repeat the edge."""
    place = placement(8, 4, 4, "letterbox")
    assert (place.width, place.height, place.margins) == (4, 2, ((1, 1), (0, 0)))
    mask = np.array([[1] * 4, [1, 0, 0, 0], [0, 0, 0, 1], [1] * 4], dtype=np.bool_)
    whole, seen = mask_to_image(mask, 8, 4, "letterbox")
    assert seen.all()
    upper, lower = [1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]
    assert whole.astype(int).tolist() == [upper, upper, lower, lower]
    nearest = DecodeSettings(size_px=4, resize="nearest", fit="letterbox")
    expected = [[1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]
    assert mask_to_square(whole, nearest).astype(int).tolist() == expected


@pytest.mark.parametrize("fit", ["squash", "crop", "letterbox"])
@pytest.mark.parametrize(("width", "height"), [(50, 31), (31, 50), (8, 8), (3, 9)])
def test_what_is_seen_is_that_of_the_mask(fit: Fit, width: int, height: int) -> None:
    _, seen_HW = mask_to_image(np.ones((8, 8), np.bool_), width, height, fit)
    np.testing.assert_array_equal(seen_in_image(width, height, 8, fit), seen_HW)
