import io
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iem_batch.errors import ImageRejectedError
from iem_batch.images import fast_jpeg
from iem_batch.images.decode import decode
from iem_batch.images.geometry import jpeg_divisor, to_square
from iem_batch.images.settings import DecodeSettings
from tests.images.broken import broken_files, encoded
from tests.images.test_decode import noise
from tests.images.test_geometry import FITS

simplejpeg = pytest.importorskip("simplejpeg", reason="needs iem-batch[fast]")


@pytest.fixture
def both_ways(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Decodes with and without simplejpeg, and wants the same; tells whether it was used."""
    assert fast_jpeg.unavailable() is None
    used = []
    decode_jpeg = fast_jpeg.decode_jpeg

    def counted(image: Image.Image, data: bytes, divisor: int) -> np.ndarray | None:
        pixels = decode_jpeg(image, data, divisor)
        used.append(pixels is not None)
        return pixels

    def compare(data: bytes, decode_settings: DecodeSettings = DecodeSettings()) -> bool:  # noqa: B008
        used.clear()
        with monkeypatch.context() as patch:
            patch.setattr(fast_jpeg, "decode_jpeg", counted)
            fast = outcome(data, decode_settings)
        with monkeypatch.context() as patch:
            patch.setattr(fast_jpeg, "unavailable", lambda: "off")
            slow = outcome(data, decode_settings)
        assert fast == slow
        return any(used)

    return compare


def outcome(data: bytes, decode_settings: DecodeSettings) -> tuple:
    try:
        decoded = decode(data, decode_settings)
    except ImageRejectedError as error:
        return error.reason, error.message
    assert decoded.pixels.dtype == np.uint8
    return decoded.pixels.tobytes(), decoded.pixels.shape, decoded.width, decoded.height


def test_real_photos_have_the_same_pixels(photos: Path, both_ways):
    used = [both_ways(path.read_bytes()) for path in sorted(photos.glob("*/images/*"))]
    assert len(used) >= 800
    assert all(used)


@pytest.mark.parametrize("resize", ["nearest", "antialias"])
@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411"])
def test_sizes_qualities_and_subsamplings(both_ways, resize, subsampling):
    rng = np.random.default_rng(0)
    for _ in range(30):
        height, width = rng.integers(1, 200, 2).tolist()
        data = simplejpeg.encode_jpeg(
            noise(height, width, seed=height),
            quality=int(rng.integers(1, 101)),
            colorspace="RGB",
            colorsubsampling=subsampling,
        )
        decode_settings = DecodeSettings(size_px=int(rng.integers(1, 140)), resize=resize)
        assert both_ways(data, decode_settings) or max(height, width) > 100 * min(height, width)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411", "Gray"])
def test_photos_that_are_reduced_while_they_are_decoded(both_ways, subsampling, fit):
    rng = np.random.default_rng(1)
    divisors = set()
    for _ in range(30):
        height, width = rng.integers(200, 700, 2).tolist()
        is_grey = subsampling == "Gray"
        data = simplejpeg.encode_jpeg(
            noise(height, width, seed=height)[..., : 1 if is_grey else 3].copy(),
            colorspace="GRAY" if is_grey else "RGB",
            colorsubsampling=subsampling,
        )
        decode_settings = DecodeSettings(size_px=int(rng.integers(1, 140)), fit=fit)
        assert both_ways(data, decode_settings)
        divisors.add(jpeg_divisor(width, height, decode_settings))
    assert {1, 2, 8} <= divisors


PICTURE = Image.fromarray(noise(61, 83))


@pytest.mark.parametrize(
    ("image", "options", "is_fast"),
    [
        (PICTURE, {"progressive": True}, True),
        (PICTURE, {"optimize": True}, True),
        (PICTURE, {"restart_marker_blocks": 3}, True),
        (PICTURE, {"keep_rgb": True}, True),
        (PICTURE, {"comment": b"\xff\xd9 not the end"}, True),
        (PICTURE.convert("L"), {}, True),
        (PICTURE.convert("L"), {"progressive": True}, True),
        (PICTURE.convert("CMYK"), {}, False),
        (PICTURE.convert("1"), {}, True),
    ],
)
def test_kinds_of_jpeg(both_ways, image, options, is_fast):
    data = encoded(image, "JPEG", **options)
    assert both_ways(data) is is_fast
    assert both_ways(data + b"bytes behind the end") is is_fast


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation(both_ways, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PICTURE, "JPEG", exif=exif)
    assert both_ways(data)
    assert not both_ways(data, DecodeSettings(exif_orientation=True))


def test_several_pictures_in_a_file(both_ways):
    frames = [Image.new("RGB", (16, 16), colour) for colour in [(255, 255, 255), (0, 0, 0)]]
    assert not both_ways(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:]))


def test_broken_files(both_ways):
    for data, _ in broken_files().values():
        both_ways(data)


@pytest.mark.parametrize("progressive", [False, True])
def test_damaged_bytes(both_ways, progressive):
    """What libjpeg only warns of has to come out as Pillow has it: decoded, or with its reason."""
    rng = np.random.default_rng(5)
    whole = encoded(PICTURE, "JPEG", progressive=progressive)
    num_fast = 0
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            data[rng.integers(0, len(data))] = rng.integers(0, 256)
        if rng.integers(0, 3) == 0:
            del data[rng.integers(0, len(data)) :]
        num_fast += both_ways(bytes(data), DecodeSettings(size_px=16))
    assert 0 < num_fast < 300


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 160), st.sampled_from(FITS))
@settings(max_examples=150, deadline=None)
def test_nearest_square_takes_the_pixels_that_pillow_takes(height, width, size_px, fit):
    if max(height, width) > 20 * min(height, width):
        return
    places = np.arange(height * width, dtype=np.int32).reshape(height, width)
    pixels = np.stack([places % 251, places // 251 % 241, places // 60_491 % 239], axis=2)
    pixels = pixels.astype(np.uint8)
    nearest = DecodeSettings(size_px=size_px, resize="nearest", fit=fit)
    np.testing.assert_array_equal(
        fast_jpeg.nearest_square(pixels, nearest),
        np.asarray(to_square(Image.fromarray(pixels), nearest)),
    )


@pytest.mark.parametrize("option", ["fastdct", "fastupsample"])
def test_a_decoder_with_other_pixels_is_not_used(monkeypatch, option):
    """Stands for another version of libjpeg-turbo: these differ by one level in few pixels."""
    decode_jpeg = simplejpeg.decode_jpeg

    def differs(data: bytes, colorspace: str, **options: Any) -> np.ndarray:
        return decode_jpeg(data, colorspace, **options, **{option: True})

    monkeypatch.setattr(simplejpeg, "decode_jpeg", differs)
    fast_jpeg.unavailable.cache_clear()
    assert "and Pillow decode a 4" in fast_jpeg.unavailable()
    data = encoded(PICTURE, "JPEG")
    with Image.open(io.BytesIO(data)) as image:
        expected = np.asarray(to_square(image.convert("RGB"), DecodeSettings(size_px=32)))
    np.testing.assert_array_equal(decode(data, DecodeSettings(size_px=32)).pixels, expected)


def test_without_simplejpeg(monkeypatch):
    monkeypatch.setitem(sys.modules, "simplejpeg", None)
    fast_jpeg.unavailable.cache_clear()
    assert fast_jpeg.unavailable() == ("simplejpeg is not installed; pip install 'iem-batch[fast]'")
    decode(encoded(PICTURE, "JPEG"), DecodeSettings())


@pytest.fixture(autouse=True)
def _examine_again_afterwards() -> Iterator[None]:
    yield
    fast_jpeg.unavailable.cache_clear()
