import numpy as np
import pytest
from PIL import Image

from iem_batch.images.decode import decode, decode_whole
from iem_batch.images.grey16 import eight_bits, loses_levels
from iem_batch.images.settings import DecodeSettings
from tests.images.broken import encoded

PERCENTILE = DecodeSettings(range="percentile")


def test_full_is_the_value_over_257_rounded() -> None:
    values = np.array([[0, 128, 129, 25_700, 65_407, 65_535]], np.int32)
    np.testing.assert_array_equal(eight_bits(values, "full"), [[0, 0, 1, 100, 255, 255]])


def test_percentile_leaves_out_five_in_a_thousand_at_each_end() -> None:
    """1,000 pixels of the values 200, 202, ..., 2198: low is the sixth, 210, high is 2188."""
    values = np.arange(200, 2200, 2, dtype=np.int32).reshape(20, 50)
    found = eight_bits(values, "percentile")
    assert (found == 0).sum() == 7  # 200 to 210, and 212: 2 * 255 / 1978 is 0.26
    assert (found == 255).sum() == 7
    assert found[0, 8] == 1  # 216: 6 * 255 / 1978 is 0.77
    middle = (2198 + 200) // 2 - 1  # 1198: 988 * 255 / 1978 is 127.4
    assert found.ravel()[(middle - 200) // 2] == 127


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([7, 7, 7, 7], [0, 0, 0, 0]),
        ([65_535] * 4, [0] * 4),
        ([300, 301, 300, 301], [0, 255, 0, 255]),
        ([0, 0, 0, 65_535], [0, 0, 0, 255]),
        ([12], [0]),
    ],
)
def test_percentile_of_few_values(values: list[int], found: list[int]) -> None:
    """Catches a division by zero, and values beyond a byte."""
    assert eight_bits(np.array([values], np.int32), "percentile").tolist() == [found]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM"])
def test_a_12_bit_camera(image_format: str) -> None:
    """Values from 200 to 3,000 are 1 to 12 of 255 otherwise."""
    values = np.linspace(200, 3000, 100 * 100).round().astype(np.uint16).reshape(100, 100)
    data = encoded(Image.fromarray(values), image_format)
    assert decode_whole(data, DecodeSettings()).max() == 12
    found = decode_whole(data, PERCENTILE)
    assert len(np.unique(found)) == 256
    np.testing.assert_array_equal(found[..., 0], eight_bits(values.astype(np.int32), "percentile"))


@pytest.mark.parametrize("resize", ["nearest", "antialias"])
def test_the_range_is_that_of_the_whole_image(resize: str) -> None:
    """Of an image whose every second pixel is skipped, the range must not be that of the others."""
    values = np.full((64, 64), 1000, np.uint16)
    values[::2, ::2], values[1::2, 1::2] = 0, 2000
    settings = DecodeSettings(size_px=32, range="percentile", resize=resize)  # type: ignore[arg-type]
    found = decode(encoded(Image.fromarray(values), "PNG"), settings).pixels
    whole = encoded(Image.fromarray(eight_bits(values.astype(np.int32), "percentile")), "PNG")
    np.testing.assert_array_equal(found, decode(whole, settings).pixels)


def test_eight_bits_have_no_range() -> None:
    grey = np.arange(100, 164, dtype=np.uint8).reshape(8, 8)
    for image in (Image.fromarray(grey), Image.fromarray(np.stack([grey] * 3, -1))):
        found = decode_whole(encoded(image, "PNG"), PERCENTILE)
        np.testing.assert_array_equal(found[..., 0], grey)


@pytest.mark.parametrize(
    ("values", "is_lossy"),
    [
        (range(200, 3001), True),  # 12 levels
        (range(63 * 257 - 128), True),  # 0 to 62
        (range(63 * 257), False),  # 0 to 63: the last one is rounded up
        (range(0, 65536, 9), False),
        ([0, 65535], False),  # a scan in black and white has no more to show
        (range(0, 257 * 40, 257), False),
        ([5, 6], True),
        ([7], False),
    ],
)
def test_images_that_lose_their_levels(values: range | list[int], is_lossy: bool) -> None:
    assert loses_levels(np.array([values], np.int32)) is is_lossy
