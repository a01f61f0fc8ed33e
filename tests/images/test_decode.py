import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iem_batch.errors import ImageRejectedError, SettingsError
from iem_batch.images.decode import MAX_ASPECT, decode
from iem_batch.images.opening import formats
from iem_batch.images.settings import DecodeSettings
from tests.images.broken import broken_files, encoded, png_chunk, png_of_zeros

REASONS = {
    "empty",
    "not_an_image",
    "corrupt",
    "truncated",
    "too_large",
    "extreme_aspect",
    "unsupported_mode",
}


def paper(**settings: Any) -> DecodeSettings:
    """The paper's geometry: the centre of the long side, one pixel for all those around it."""
    return DecodeSettings(fit="crop", resize="nearest", **settings)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def grey_row(*levels: int) -> np.ndarray:
    """One pixel in each column, square: as high as it is wide."""
    return np.tile(np.array(levels, dtype=np.uint8), (len(levels), 1))


def first_row(data: bytes, size_px: int) -> list[tuple[int, int, int]]:
    pixels = decode(data, paper(size_px=size_px)).pixels
    assert pixels.dtype == np.uint8
    assert pixels.shape == (size_px, size_px, 3)
    assert (pixels == pixels[:1]).all()
    return [tuple(pixel) for pixel in pixels[0].tolist()]


def by_pillow(image: Image.Image, size_px: int) -> np.ndarray:
    """The paper's preprocessing in the order of the paper: to RGB, resize, crop."""
    image = image.convert("RGB")
    width, height = image.size
    short = min(width, height)
    image = image.resize(
        (int(size_px * width / short), int(size_px * height / short)), Image.Resampling.NEAREST
    )
    pixels = np.asarray(image)
    top = int(round((pixels.shape[0] - size_px) / 2))
    left = int(round((pixels.shape[1] - size_px) / 2))
    return pixels[top : top + size_px, left : left + size_px]


# --- size ---


def test_nearest_takes_the_pixel_under_the_centre():
    """4 -> 2: centres 0.5 and 1.5 of the output lie at 1 and 3 of the input; not at 0 and 2."""
    image = noise(4, 4)
    decoded = decode(encoded(Image.fromarray(image), "PNG"), paper(size_px=2))
    np.testing.assert_array_equal(decoded.pixels, image[1::2, 1::2])
    assert (decoded.width, decoded.height) == (4, 4)


def test_long_side_is_truncated_and_crop_offset_rounded_to_even():
    """3 high, 5 wide -> 2: long side int(3.33) = 3, its columns 0, 2, 4; offset round(0.5) = 0."""
    image = noise(3, 5)
    decoded = decode(encoded(Image.fromarray(image), "PNG"), paper(size_px=2))
    np.testing.assert_array_equal(decoded.pixels, image[[0, 2]][:, [0, 2]])
    assert (decoded.width, decoded.height) == (5, 3)


@pytest.mark.parametrize(("long_side", "offset"), [(3, 0), (5, 2), (7, 2), (9, 4), (4, 1)])
def test_crop_offset_is_bankers_rounding(long_side, offset):
    """Half a pixel goes to the even neighbour, as Python's round: 0.5, 1.5, 2.5, 3.5 and 1."""
    image = noise(long_side, 2)
    tall = decode(encoded(Image.fromarray(image), "PNG"), paper(size_px=2))
    np.testing.assert_array_equal(tall.pixels, image[offset : offset + 2])
    wide = decode(encoded(Image.fromarray(image.swapaxes(0, 1)), "PNG"), paper(size_px=2))
    np.testing.assert_array_equal(wide.pixels, image.swapaxes(0, 1)[:, offset : offset + 2])


@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    size_px=st.integers(1, 70),
    mode=st.sampled_from(["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"]),
)
@settings(max_examples=150, deadline=None)
def test_equals_conversion_before_resizing(height, width, size_px, mode):
    """Resizing in the image's own mode must not change a pixel."""
    image = Image.fromarray(noise(height, width, seed=height * 100 + width)).convert(mode)
    decoded = decode(encoded(image, "TIFF"), paper(size_px=size_px))
    np.testing.assert_array_equal(decoded.pixels, by_pillow(image, size_px))


def test_large_jpeg_is_decoded_in_full():
    """Pillow's draft mode decodes a reduced JPEG, whose pixels are others."""
    data = encoded(Image.fromarray(noise(1024, 1300)), "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        expected = by_pillow(image, 128)
    np.testing.assert_array_equal(decode(data, paper()).pixels, expected)


def test_real_photos_equal_pillow_and_opencv(photos: Path):
    """PIL NEAREST is cv2 INTER_NEAREST_EXACT; cv2 INTER_NEAREST takes other pixels."""
    for path in sorted((photos / "people/images").iterdir())[:20]:
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"))
        height, width, _ = rgb.shape
        short = min(height, width)
        resized = cv2.resize(
            rgb,
            (int(128 * width / short), int(128 * height / short)),
            interpolation=cv2.INTER_NEAREST_EXACT,
        )
        top = int(round((resized.shape[0] - 128) / 2))
        left = int(round((resized.shape[1] - 128) / 2))
        expected = resized[top : top + 128, left : left + 128]
        pixels = decode(path.read_bytes(), paper()).pixels
        np.testing.assert_array_equal(pixels, expected)
        np.testing.assert_array_equal(pixels, by_pillow(Image.fromarray(rgb), 128))


# --- colour ---


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "GIF", "PPM"])
def test_grey(image_format):
    data = encoded(Image.fromarray(grey_row(0, 100, 255)), image_format)
    assert first_row(data, 3) == [(0, 0, 0), (100, 100, 100), (255, 255, 255)]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "PPM"])
def test_one_bit(image_format):
    """Stored as 0 and 1, shown as 0 and 255."""
    data = encoded(Image.fromarray(grey_row(0, 255)).convert("1"), image_format)
    assert first_row(data, 2) == [(0, 0, 0), (255, 255, 255)]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "BMP", "WEBP", "PPM"])
def test_colour(image_format):
    rows = np.tile(np.array([[10, 20, 30], [200, 100, 0]], dtype=np.uint8), (2, 1, 1))
    data = encoded(Image.fromarray(rows), image_format, lossless=True)
    assert first_row(data, 2) == [(10, 20, 30), (200, 100, 0)]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "WEBP"])
def test_alpha_is_composed_over_white(image_format):
    """200 / 255 of 10 and the rest white is 62.84, rounded 63; a plain conversion keeps 10."""
    row = [[10, 20, 30, 255], [10, 20, 30, 200], [10, 20, 30, 0]]
    image = Image.fromarray(np.tile(np.array(row, dtype=np.uint8), (3, 1, 1)), "RGBA")
    data = encoded(image, image_format, lossless=True, exact=True)
    assert first_row(data, 3) == [(10, 20, 30), (63, 71, 79), (255, 255, 255)]


def test_grey_alpha():
    row = np.tile(np.array([[100, 255], [100, 51], [0, 0]], dtype=np.uint8), (3, 1, 1))
    # 51 / 255 = 0.2: 0.2 * 100 + 0.8 * 255 = 224.
    data = encoded(Image.fromarray(row, "LA"), "PNG")
    assert first_row(data, 3) == [(100,) * 3, (224,) * 3, (255,) * 3]


def palette_image() -> Image.Image:
    image = Image.fromarray(grey_row(0, 1, 2), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    return image


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "TIFF", "BMP"])
def test_palette(image_format):
    data = encoded(palette_image(), image_format)
    assert first_row(data, 3) == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


@pytest.mark.parametrize("image_format", ["PNG", "GIF"])
def test_transparent_palette_entry(image_format):
    data = encoded(palette_image(), image_format, transparency=1)
    assert first_row(data, 3) == [(255, 0, 0), (255, 255, 255), (0, 0, 255)]


def test_palette_with_many_alphas():
    """Pillow warns of these, and warnings are errors in this suite."""
    data = encoded(palette_image(), "PNG", transparency=bytes([255, 51, 0]))
    assert first_row(data, 3) == [(255, 0, 0), (204, 255, 204), (255, 255, 255)]


def test_transparent_colour_without_alpha_channel():
    rows = np.tile(np.array([[10, 20, 30], [1, 2, 3]], dtype=np.uint8), (2, 1, 1))
    data = encoded(Image.fromarray(rows), "PNG", transparency=(1, 2, 3))
    assert first_row(data, 2) == [(10, 20, 30), (255, 255, 255)]
    data = encoded(Image.fromarray(grey_row(7, 9)), "PNG", transparency=9)
    assert first_row(data, 2) == [(7, 7, 7), (255, 255, 255)]


def test_cmyk():
    row = [[0, 0, 0, 0], [255, 0, 0, 0], [0, 0, 0, 255]]
    image = Image.fromarray(np.tile(np.array(row, dtype=np.uint8), (3, 1, 1)), "CMYK")
    expected = [(255, 255, 255), (0, 255, 255), (0, 0, 0)]
    assert first_row(encoded(image, "TIFF"), 3) == expected


def test_cmyk_jpeg_is_not_inverted():
    """Adobe writes CMYK JPEGs with all channels inverted."""
    white = Image.fromarray(np.zeros((16, 16, 4), dtype=np.uint8), "CMYK")
    assert first_row(encoded(white, "JPEG"), 16) == [(255, 255, 255)] * 16


def test_cmyk_jpeg_without_adobes_marker_is_taken_for_inverted_too():
    """Nothing says whether it is; Pillow's rule must not change unnoticed."""
    cyan = Image.fromarray(np.full((16, 16, 4), [255, 0, 0, 0], dtype=np.uint8), "CMYK")
    data = encoded(cyan, "JPEG", quality=100)
    marker = data.index(b"\xff\xee\x00\x0eAdobe")
    assert first_row(data, 16) == [(0, 255, 255)] * 16
    assert first_row(data[:marker] + data[marker + 16 :], 16) == [(0, 255, 255)] * 16


GREY16 = np.tile(np.array([0, 128, 129, 100 * 257, 65535], dtype=np.uint16), (5, 1))
GREY16_AS_8 = [(0,) * 3, (0,) * 3, (1,) * 3, (100,) * 3, (255,) * 3]  # 129 / 257 = 0.502


def test_16_bit_grey_png():
    """Clipping to 8 bit, as a plain conversion does, makes nearly every pixel white."""
    assert first_row(encoded(Image.fromarray(GREY16), "PNG"), 5) == GREY16_AS_8


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bit_grey_tiff(mode):
    raw = GREY16.astype("<u2" if mode == "I;16" else ">u2").tobytes()
    assert first_row(encoded(Image.frombytes(mode, (5, 5), raw), "TIFF"), 5) == GREY16_AS_8


def test_16_bit_grey_pgm():
    data = b"P5 5 5 65535\n" + GREY16.astype(">u2").tobytes()
    assert first_row(data, 5) == GREY16_AS_8


def test_16_bit_grey_takes_the_pixels_that_8_bit_takes():
    """Pillow resizes its 16-bit modes by a rule of their own."""
    grey = noise(61, 83)[..., 0]
    eight = decode(encoded(Image.fromarray(grey), "PNG"), paper(size_px=37))
    sixteen = Image.fromarray(grey.astype(np.uint16) * 257)
    decoded = decode(encoded(sixteen, "PNG"), paper(size_px=37))
    np.testing.assert_array_equal(decoded.pixels, eight.pixels)


def png_16_bit(colour_type: int, *samples: int) -> bytes:
    """One pixel; of colour type 2 it is RGB, of 4 grey and alpha, of 6 RGB and alpha."""
    header = struct.pack(">IIBBBBB", 1, 1, 16, colour_type, 0, 0, 0)
    row = b"\x00" + struct.pack(f">{len(samples)}H", *samples)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(row))
        + png_chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("data", "colour"),
    [
        (png_16_bit(2, 0x12FF, 0x3400, 0x56AB), (0x12, 0x34, 0x56)),
        (png_16_bit(6, 0x12FF, 0x3400, 0x56AB, 0xFFFF), (0x12, 0x34, 0x56)),
        (png_16_bit(6, 0x12FF, 0x3400, 0x56AB, 0), (255, 255, 255)),
        (png_16_bit(4, 0x6400, 0x33FF), (224, 224, 224)),  # 0.2 * 100 + 0.8 * 255
    ],
)
def test_16_bit_png_of_one_pixel(data, colour):
    """And one pixel becomes a square of it."""
    assert first_row(data, 3) == [colour] * 3
    assert decode(data, DecodeSettings(size_px=3)).width == 1


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_one_pixel(image_format):
    data = encoded(Image.new("RGB", (1, 1), (100, 100, 100)), image_format)
    assert first_row(data, 5) == [(100, 100, 100)] * 5


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation(image_format):
    frames = [Image.new("RGB", (4, 4), colour) for colour in [(255, 0, 0), (0, 0, 255)]]
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], **options)
    assert first_row(data, 4) == [(255, 0, 0)] * 4


def test_multi_picture_jpeg_gives_the_first():
    """Phones write the MPO format under the name .jpg."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in [(255, 255, 255), (0, 0, 0)]]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert first_row(data, 16) == [(255, 255, 255)] * 16


def test_exif_orientation_is_ignored_unless_asked_for():
    image = Image.fromarray(noise(4, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    data = encoded(image, "PNG", exif=exif)
    stored = decode(data, paper(size_px=4))
    np.testing.assert_array_equal(stored.pixels, np.asarray(image)[:, 1:5])
    assert (stored.width, stored.height) == (6, 4)
    turned = decode(data, paper(size_px=4, exif_orientation=True))
    np.testing.assert_array_equal(turned.pixels, np.rot90(np.asarray(image), -1)[1:5])
    assert (turned.width, turned.height) == (4, 6)


ORIENTED = {
    1: lambda image: image,
    2: np.fliplr,
    3: lambda image: np.rot90(image, 2),
    4: np.flipud,
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: np.rot90,
}
"""EXIF orientation -> how the stored pixels are shown."""


@pytest.mark.parametrize("orientation", ORIENTED)
def test_exif_orientations(orientation):
    image = noise(6, 6)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(image), "PNG", exif=exif)
    for is_followed, expected in ((False, image), (True, ORIENTED[orientation](image))):
        pixels = decode(data, paper(size_px=6, exif_orientation=is_followed)).pixels
        np.testing.assert_array_equal(pixels, expected)


# --- what is rejected ---


@pytest.mark.parametrize("name", list(broken_files()))
def test_broken_file_is_rejected_for_its_reason(name):
    data, reason = broken_files()[name]
    with pytest.raises(ImageRejectedError) as caught:
        decode(data, DecodeSettings())
    assert caught.value.reason == reason
    assert caught.value.message
    assert "\n" not in caught.value.message


def test_32_bit_integers_have_no_known_range():
    """Pillow gives them the mode of 16-bit PGM."""
    data = encoded(Image.fromarray(np.full((4, 4), 70_000, dtype=np.int32)), "TIFF")
    with pytest.raises(ImageRejectedError, match="unsupported_mode: a TIFF of mode I"):
        decode(data, DecodeSettings())


def test_limit_of_pixels_is_inclusive():
    data = encoded(Image.fromarray(noise(10, 10)), "PNG")
    decode(data, DecodeSettings(size_px=4, max_pixels=100))
    with pytest.raises(ImageRejectedError, match="too_large: 10x10 is more than 99 pixels"):
        decode(data, DecodeSettings(size_px=4, max_pixels=99))


def test_limit_of_aspect_is_inclusive():
    good = Image.new("RGB", (1, MAX_ASPECT), (1, 2, 3))
    assert first_row(encoded(good, "PNG"), 8) == [(1, 2, 3)] * 8
    with pytest.raises(ImageRejectedError, match="extreme_aspect: one side of 1x101"):
        decode(encoded(Image.new("RGB", (1, MAX_ASPECT + 1)), "PNG"), DecodeSettings())


def test_just_above_pillows_own_limit():
    """Pillow warns at 89 megapixels, which must neither be seen nor raise."""
    with pytest.raises(ImageRejectedError, match="too_large: 10000x9000 is more than 89478485"):
        decode(png_of_zeros(10_000, 9_000), DecodeSettings())


def test_bombs_take_no_memory():
    """900 megapixels are 3.6 GB once decoded; the header must be enough."""
    code = """
from benchmarks.memory import peak_mb
from iem_batch.images.decode import decode
from iem_batch.images.opening import formats
from iem_batch.images.settings import DecodeSettings
from iem_batch.errors import ImageRejectedError
from tests.images.broken import broken_files
files = broken_files()
before = peak_mb()
for name in ("bomb.png", "bomb.jpg", "line.png"):
    try: decode(files[name][0], DecodeSettings())
    except ImageRejectedError: continue
    raise AssertionError(name)
assert peak_mb() < before + 30, (before, peak_mb())
"""
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, cwd=root)


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
def test_damaged_bytes_are_decoded_or_rejected(image_format):
    """An exception of Pillow that nobody expected takes a whole shard down."""
    rng = np.random.default_rng(7)
    options = {"exif": _exif()} if image_format in ("JPEG", "PNG", "WEBP", "TIFF") else {}
    whole = encoded(Image.fromarray(noise(24, 30)), image_format, **options)
    for _ in range(200):
        data = bytearray(whole)
        header_first = rng.integers(0, 2)
        for _ in range(rng.integers(1, 6)):
            end = min(64, len(data)) if header_first else len(data)
            data[rng.integers(0, end)] = rng.integers(0, 256)
        if rng.integers(0, 3) == 0:
            del data[rng.integers(0, len(data)) :]
        assert outcome(bytes(data)) in {"decoded", *REASONS}


def outcome(data: bytes) -> str:
    try:
        decoded = decode(data, DecodeSettings(size_px=16, exif_orientation=True))
    except ImageRejectedError as error:
        return error.reason
    assert decoded.pixels.shape == (16, 16, 3)
    return "decoded"


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 3
    exif[0x010E] = "description"
    return exif


def test_formats_are_known_to_pillow():
    """Pillow raises KeyError for a name it does not know, and every image would be corrupt."""
    Image.init()
    assert set(formats()) <= set(Image.OPEN)


@pytest.mark.parametrize(
    "bad", [{"size_px": 0}, {"size_px": 5000}, {"max_pixels": 0}, {"max_pixels": 65_535**2 + 1}]
)
def test_settings_out_of_range(bad):
    with pytest.raises(SettingsError, match=f"{next(iter(bad))} is"):
        DecodeSettings(**bad)


def test_antialias_is_the_weighted_mean_of_the_pixels_around() -> None:
    """A 4x4 grey picture to 2x2: triangle weights 3/8, 3/8, 1/8 (and 1/8 beyond the border, left
    out) over the rows and columns, so 0, 70, 140, 210 becomes (0*3 + 70*3 + 140)/7 = 50."""
    grey = np.tile(np.array([0, 70, 140, 210], dtype=np.uint8), (4, 1))
    settings = DecodeSettings(size_px=2, resize="antialias")
    decoded = decode(encoded(Image.fromarray(grey), "PNG"), settings)
    np.testing.assert_array_equal(decoded.pixels[..., 0], [[50, 160], [50, 160]])


def test_antialias_resizes_colours_and_not_palette_indices() -> None:
    """Catches palette entries averaged as numbers, and transparency averaged before white."""
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.paste(2, (0, 0, 2, 4))
    settings = DecodeSettings(size_px=1, resize="antialias")
    red, green, blue = decode(encoded(image, "PNG"), settings).pixels[0, 0]
    assert green == 0
    assert red == pytest.approx(127.5, abs=1)
    assert blue == pytest.approx(127.5, abs=1)


def test_an_unknown_resize_is_refused() -> None:
    with pytest.raises(
        SettingsError, match="decode.resize is 'cubic'; it must be one of nearest, antialias"
    ):
        DecodeSettings(resize="cubic")  # type: ignore[arg-type]
