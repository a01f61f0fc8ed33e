import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from iem_batch.images.png import decode_mask, decode_pixels, encode_mask, encode_pixels


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_mask_round_trip(mask_HW):
    png = encode_mask(mask_HW)
    decoded = decode_mask(png)
    assert decoded.dtype == np.bool_
    np.testing.assert_array_equal(decoded, mask_HW)


def test_mask_is_a_1_bit_png_with_white_foreground():
    """Other tools must see what we mean; 8 bits would be a larger file."""
    mask = np.zeros((8, 16), dtype=np.bool_)
    mask[2:4, 5:9] = True
    with Image.open(io.BytesIO(encode_mask(mask))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "1", (16, 8))
        assert image.getpixel((5, 2)) == 255
        assert image.getpixel((0, 0)) == 0


@given(
    arrays(
        np.uint8,
        st.tuples(st.integers(1, 20), st.integers(1, 20))
        | st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)),
    )
)
def test_pixels_round_trip(pixels):
    decoded = decode_pixels(encode_pixels(pixels))
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, pixels)
