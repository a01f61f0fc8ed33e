"""Twenty kinds of broken image files, as they turn up in large collections."""

import functools
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from tests.pictures import textured_disc


@functools.cache
def broken_files() -> dict[str, tuple[bytes, str]]:
    """Name -> (content, the reason it must be rejected for)."""
    image = Image.fromarray(textured_disc(seed=999).image)
    jpeg, png = encoded(image, "JPEG", quality=90), encoded(image, "PNG")
    return {
        "empty.jpg": (b"", "empty"),
        "zeros.jpg": (bytes(5000), "not_an_image"),
        "noise.png": (np.random.default_rng(0).bytes(5000), "not_an_image"),
        "error_page.jpg": (b"<!DOCTYPE html><html>404 Not Found</html>", "not_an_image"),
        "lfs_pointer.png": (b"version https://git-lfs.github.com/spec/v1\n", "not_an_image"),
        "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not_an_image"),
        "document.png": (b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n", "not_an_image"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated"),
        "half.png": (png[: len(png) // 2], "truncated"),
        "half.webp": (_half(encoded(image, "WEBP")), "truncated"),
        "half.gif": (_half(encoded(image, "GIF")), "truncated"),
        "half.bmp": (_half(encoded(image, "BMP")), "truncated"),
        "half.tif": (_half(encoded(image, "TIFF")), "truncated"),
        "only_magic.jpg": (jpeg[:3], "corrupt"),
        "wrong_checksum.png": (_with_flipped_byte(png, png.index(b"IDAT") + 200), "corrupt"),
        "many_scans.jpg": (_with_repeated_scans(image, 200), "corrupt"),
        "bomb.png": (png_of_zeros(30_000, 30_000), "too_large"),
        "bomb.jpg": (_with_declared_size(jpeg, 30_000, 30_000), "too_large"),
        "line.png": (png_of_zeros(30_000, 1), "extreme_aspect"),
        "float.tif": (encoded(image.convert("F"), "TIFF"), "unsupported_mode"),
    }


def write_broken_folder(folder: Path) -> dict[str, str]:
    """Write the broken files; returns name -> reason."""
    folder.mkdir(parents=True, exist_ok=True)
    files = broken_files()
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    return {name: reason for name, (_, reason) in files.items()}


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def png_of_zeros(width: int, height: int) -> bytes:
    """A valid 1-bit PNG of any size, small by compression: 30,000 x 30,000 takes 110 KB."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    compressor = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    rows = b"".join(compressor.compress(row) for _ in range(height)) + compressor.flush()
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    checksum = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum)


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _with_flipped_byte(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def _with_declared_size(jpeg: bytes, width: int, height: int) -> bytes:
    """Overwrite the size in the frame header (marker, length, precision, height, width)."""
    start = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:start] + struct.pack(">HH", height, width) + jpeg[start + 4 :]


def _with_repeated_scans(image: Image.Image, count: int) -> bytes:
    """Repeat the last scan of a progressive JPEG: each costs a pass over all pixels."""
    jpeg = encoded(image, "JPEG", progressive=True)
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[start:-2] * count + jpeg[-2:]
