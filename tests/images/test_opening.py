"""Formats that need a package, Pillow's own limit of pixels, and libtiff's own messages."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from iem_batch.errors import ImageRejectedError
from iem_batch.images import opening
from iem_batch.images.decode import decode, decode_whole
from iem_batch.images.settings import DecodeSettings
from tests.images.broken import encoded

PIXELS = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
DECODE = DecodeSettings()


def ftyp(brand: bytes) -> bytes:
    return b"\0\0\0\x1cftyp" + brand + bytes(16)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow reads AVIF from version 11.3")
def test_avif() -> None:
    data = encoded(Image.fromarray(PIXELS), "AVIF", quality=100, subsampling="4:4:4")
    found = decode_whole(data, DECODE)
    assert np.abs(found.astype(int) - PIXELS).max() <= 4
    assert decode(data, DECODE).width == 30
    with pytest.raises(ImageRejectedError, match="corrupt|truncated"):
        decode(data[: len(data) // 2], DECODE)
    with pytest.raises(ImageRejectedError, match="corrupt: begins as AVIF, but its header"):
        decode(ftyp(b"avif"), DECODE)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow reads AVIF from version 11.3")
@pytest.mark.parametrize("value", [1, 3, 6, 8])
def test_avif_is_turned_if_that_is_asked_for(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    plain = encoded(Image.fromarray(PIXELS), "AVIF", quality=100)
    turned = encoded(Image.fromarray(PIXELS), "AVIF", quality=100, exif=exif)
    as_stored = decode_whole(turned, DECODE)
    np.testing.assert_array_equal(as_stored, decode_whole(plain, DECODE))
    shown = decode_whole(turned, DecodeSettings(exif_orientation=True))
    np.testing.assert_array_equal(shown, np.rot90(as_stored, {1: 0, 3: 2, 6: 3, 8: 1}[value]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (ftyp(b"avif"), r"the format AVIF; pip install 'pillow>=11\.3' reads it"),
        (ftyp(b"heic"), r"the format HEIC; pip install 'iem-batch\[heif\]' reads it"),
        (ftyp(b"mif1"), r"the format HEIC; pip install 'iem-batch\[heif\]' reads it"),
        (b"\xff\x0a\xfa\x1f", "the format JPEG XL; it is not read; convert it to PNG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "the format JPEG XL; it is not read; convert it to PNG"),
        (ftyp(b"msf1"), r"the format HEIC; pip install 'iem-batch\[heif\]' reads it"),
    ],
)
def test_what_is_not_read_here_says_what_reads_it(
    data: bytes, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "formats", lambda: ("JPEG", "PNG"))
    with pytest.raises(ImageRejectedError, match=f"unsupported_format: .*{message}"):
        decode(data, DECODE)


def test_videos_and_the_like_are_no_images() -> None:
    with pytest.raises(ImageRejectedError, match="not_an_image"):
        decode(ftyp(b"isom"), DECODE)


def test_heic() -> None:
    """Turned by its own standard, whether its tag is followed or not."""
    heif = pytest.importorskip("pillow_heif", reason="pip install 'iem-batch[heif]'")
    y, x = np.mgrid[:40, :60]
    smooth = np.stack([x * 4, y * 6, 250 - x - y], axis=-1).astype(np.uint8)
    sink = io.BytesIO()
    heif.from_pillow(Image.fromarray(smooth)).save(sink, quality=100)
    found = decode_whole(sink.getvalue(), DECODE)
    assert np.abs(found.astype(int) - smooth).mean() < 3
    assert decode(sink.getvalue(), DecodeSettings(size_px=4)).width == 60
    with pytest.raises(ImageRejectedError, match="corrupt|truncated"):
        decode(sink.getvalue()[:200], DECODE)


def test_pillows_limit_gives_way_to_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow refuses more than twice its limit: 179 million pixels, and here 200."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    data = encoded(Image.fromarray(PIXELS), "PNG")
    with pytest.raises(ImageRejectedError, match="too_large: .*exceeds limit of 200 pixels"):
        decode(data, DecodeSettings(max_pixels=200))
    with pytest.raises(ImageRejectedError, match="too_large: 30x20 is more than 599 pixels"):
        decode(data, DecodeSettings(max_pixels=599))
    assert decode(data, DecodeSettings(max_pixels=600)).width == 30
    assert decode(data, DecodeSettings(max_pixels=600, resize="nearest")).width == 30


def test_a_host_that_has_set_a_higher_limit_or_none_keeps_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = encoded(Image.fromarray(PIXELS), "PNG")
    for limit in (None, 10**12):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        decode(data, DECODE)
        assert limit == Image.MAX_IMAGE_PIXELS


def test_damaged_tiffs_are_not_told_on_standard_error() -> None:
    """One of many strips wrote a thousand lines; other messages must still come through."""
    code = """
import io, os, numpy as np
from PIL import Image
from iem_batch.errors import ImageRejectedError
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
sink = io.BytesIO()
noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg"):
    Image.fromarray(noise).save(sink, "TIFF", compression=compression)
    data = bytearray(sink.getvalue())
    data[200:-200:7] = bytes(len(data[200:-200:7]))
    try: decode(bytes(data), DecodeSettings())
    except ImageRejectedError: pass
os.write(2, b"another message")
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert (done.returncode, done.stderr) == (0, "another message")
