"""Orientation tags, and 16-bit TIFFs whose white is 0: one rule for all formats."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from iem_batch.images.decode import decode, decode_whole
from iem_batch.images.loading import orientation
from iem_batch.images.settings import DecodeSettings
from tests.images.broken import encoded, png_chunk

PIXELS = np.random.default_rng(5).integers(0, 256, (8, 12, 3), dtype=np.uint8)

SHOWN = {
    1: PIXELS,
    2: PIXELS[:, ::-1],
    3: PIXELS[::-1, ::-1],
    4: PIXELS[::-1],
    5: PIXELS.swapaxes(0, 1),
    6: PIXELS[::-1].swapaxes(0, 1),
    7: PIXELS[::-1, ::-1].swapaxes(0, 1),
    8: PIXELS[:, ::-1].swapaxes(0, 1),
}
"""Orientation -> the pixels upright."""

STORED, TURNED = DecodeSettings(), DecodeSettings(exif_orientation=True)

UNREADABLE = {
    "no header of a TIFF": b"\0\x08\0\x02\x01\x12\0\x03",
    "ends in its header": b"MM\0*\0",
    "a table beyond the end": b"MM\0*\xff\xff\xff\xf0",
    "a table cut off": b"II*\0\x08\0\0\0\x09\0\x12\x01",
    "text": b"no tags at all",
}


def with_orientation(image_format: str, value: int, **options: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(Image.fromarray(PIXELS), image_format, exif=exif, lossless=True, **options)


@pytest.mark.parametrize("value", SHOWN)
@pytest.mark.parametrize(
    ("image_format", "options"),
    [("PNG", {}), ("WEBP", {}), ("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"})],
)
def test_a_tag_is_followed_in_every_format_or_in_none(
    image_format: str, options: dict[str, str], value: int
) -> None:
    """Pillow turns a TIFF as it loads it, asked or not."""
    data = with_orientation(image_format, value, **options)
    np.testing.assert_array_equal(decode_whole(data, STORED), PIXELS)
    np.testing.assert_array_equal(decode_whole(data, TURNED), SHOWN[value])
    assert (decode(data, STORED).width, decode(data, STORED).height) == (12, 8)
    height, width, _ = SHOWN[value].shape
    assert (decode(data, TURNED).width, decode(data, TURNED).height) == (width, height)


def test_a_value_that_is_none_of_the_eight_is_upright() -> None:
    for value in (0, 9, 300):
        data = with_orientation("PNG", value)
        np.testing.assert_array_equal(decode_whole(data, TURNED), PIXELS)


@pytest.mark.parametrize("block", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("image_format", ["PNG", "WEBP", "JPEG"])
def test_tags_that_cannot_be_read_are_none(image_format: str, block: bytes) -> None:
    """The pixels are good; Pillow raises whatever comes to its parser's mind."""
    image = Image.fromarray(PIXELS)
    prefix = b"Exif\0\0" if image_format == "JPEG" else b""
    with_tags = encoded(image, image_format, exif=prefix + block, lossless=True)
    if image_format == "PNG":  # Pillow writes no block that it does not take for one
        png = encoded(image, "PNG")
        with_tags = png[:33] + png_chunk(b"eXIf", block) + png[33:]
    without = encoded(image, image_format, lossless=True)
    for settings in (STORED, TURNED):
        found = decode_whole(with_tags, settings)
        np.testing.assert_array_equal(found, decode_whole(without, settings))


def test_tags_as_text_that_is_not_hexadecimal() -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n      12\nno hexadecimal digits")
    data = encoded(Image.fromarray(PIXELS), "PNG", pnginfo=text)
    np.testing.assert_array_equal(decode_whole(data, TURNED), PIXELS)
    with Image.open(io.BytesIO(data)) as image:
        assert orientation(image) is None


def grey16_tiff(photometric: int, values: np.ndarray, *further: tuple[int, int, int]) -> bytes:
    """A TIFF of one strip, written by hand: Pillow writes no 16 bits with white as 0."""
    height, width = values.shape
    strip = values.astype("<u2").tobytes()
    tags = [
        (256, 3, width),
        (257, 3, height),
        (258, 3, 16),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 8 + 2 + (9 + len(further)) * 12 + 4),
        (277, 3, 1),
        (278, 3, height),
        (279, 4, len(strip)),
        *further,
    ]
    table = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + table + bytes(4) + strip


def test_white_is_zero() -> None:
    values = np.array([[0, 257 * 100], [257 * 200, 65535]])
    shown = decode_whole(grey16_tiff(1, values), STORED)[..., 0]
    np.testing.assert_array_equal(shown, [[0, 100], [200, 255]])
    shown = decode_whole(grey16_tiff(0, values), STORED)[..., 0]
    np.testing.assert_array_equal(shown, [[255, 155], [55, 0]])


def test_a_tiff_whose_table_of_camera_tags_is_beyond_its_end() -> None:
    values = np.array([[0, 65535]])
    shown = decode_whole(grey16_tiff(1, values, (0x8769, 4, 99_999)), TURNED)[..., 0]
    np.testing.assert_array_equal(shown, [[0, 255]])
