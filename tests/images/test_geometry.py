import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iem_batch.images.decode import decode
from iem_batch.images.geometry import centre_crop, mask_to_image, mask_to_square
from iem_batch.images.settings import DecodeSettings

sides = st.integers(1, 60)


def random_mask(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).random(shape) < 0.5


@pytest.mark.parametrize("resize", ["nearest", "antialias"])
@pytest.mark.parametrize(("width", "height"), [(53, 37), (37, 53), (8, 8), (5, 9), (200, 31)])
def test_same_pixels_as_decoding(width, height, resize):
    """A mask that goes another way than its image is shifted by up to a pixel, and costs IoU."""
    mask = random_mask(height, width)
    buffer = io.BytesIO()
    Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, "PNG")
    decoded = decode(buffer.getvalue(), DecodeSettings(size_px=8, resize=resize)).pixels[..., 0]
    np.testing.assert_array_equal(mask_to_square(mask, 8, resize), decoded >= 128)


@settings(max_examples=200, deadline=None)
@given(width=sides, height=sides, size=st.integers(1, 20))
def test_there_and_back(width, height, size):
    """Off by one in either direction shows on some size."""
    mask = random_mask(size, size)
    whole, seen = mask_to_image(mask, width, height)
    assert whole.shape == seen.shape == (height, width)
    assert not whole[~seen].any()
    if min(width, height) >= size:
        np.testing.assert_array_equal(mask_to_square(whole, size, "nearest"), mask)
        assert mask_to_square(seen, size, "nearest").all()


def test_by_hand():
    # 6 x 4 to 3 x 2: a pixel of the square is 2 x 2 of the image. Of three columns two are kept,
    # the first two since round(0.5) is 0, so the last two of the image are not seen.
    crop = centre_crop(6, 4, 2)
    assert (crop.width, crop.height, crop.left, crop.top) == (3, 2, 0, 0)
    whole, seen = mask_to_image(np.array([[1, 0], [0, 1]], dtype=np.bool_), 6, 4)
    assert seen.tolist() == [[True] * 4 + [False] * 2] * 4
    upper, lower = [1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 0, 0]
    assert whole.astype(int).tolist() == [upper, upper, lower, lower]
