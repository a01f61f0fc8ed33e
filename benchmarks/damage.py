"""Ways to damage an encoded photograph, decided by a seeded generator."""

import io
import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

BOMB_PX = 30_000
MAX_SIDE_PX = 400
_ENCODERS: dict[str, dict[str, Any]] = {
    "jpg": {"format": "JPEG", "quality": 90},
    "progressive.jpg": {"format": "JPEG", "quality": 80, "progressive": True},
    "png": {"format": "PNG"},
    "webp": {"format": "WEBP", "quality": 80},
    "gif": {"format": "GIF"},
    "bmp": {"format": "BMP"},
    "tif": {"format": "TIFF", "compression": "tiff_lzw"},
}


def base_files(photos: Path, count: int, rng: random.Random) -> list[tuple[str, bytes]]:
    """Encode photographs in all formats, small enough for many of them.

    Returns:
        Extension and bytes.
    """
    found = sorted(path for path in photos.rglob("images/*") if path.suffix.lower() == ".jpg")
    made = []
    for index, path in enumerate(rng.sample(found, min(count, len(found)))):
        with Image.open(path) as photo:
            photo.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX))
            extension = list(_ENCODERS)[index % len(_ENCODERS)]
            buffer = io.BytesIO()
            photo.convert("RGB").save(buffer, **_ENCODERS[extension])
            made.append((extension, buffer.getvalue()))
    return made


def _flip(data: bytes, other: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 2, 8, 64))):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def _flip_header(data: bytes, other: bytes, rng: random.Random) -> bytes:
    head = min(len(data), 64)
    return _flip(data[:head], other, rng) + data[head:]


def _truncate(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _splice_header(data: bytes, other: bytes, rng: random.Random) -> bytes:
    return other[: rng.choice((4, 16, 64, 512))] + data[rng.choice((0, 4, 16, 64)) :]


def _zero_a_part(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    stop = min(len(data), start + rng.choice((1, 16, 512, 4096)))
    return data[:start] + bytes(stop - start) + data[stop:]


def _insert_other(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start, cut = rng.randrange(len(data)), rng.randrange(len(other))
    return data[:start] + other[cut : cut + 256] + data[start:]


def _double_a_part(data: bytes, other: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data))
    part = data[start : start + rng.choice((2, 64, 2048))]
    return data[:start] + part + data[start:]


def _bomb(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A PNG of a few KiB that claims, or really has, 30,000 x 30,000 pixels of one colour."""
    side = rng.choice((BOMB_PX, BOMB_PX - 1))
    header = struct.pack(">IIBBBBB", side, side, 8, rng.choice((0, 2, 6)), 0, 0, 0)
    body = zlib.compress(bytes(rng.choice((10, 100_000))), 9)
    chunks = (b"IHDR", header), (b"IDAT", body), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def _blow_up(data: bytes, other: bytes, rng: random.Random) -> bytes:
    """A JPEG whose frame says 30,000 x 30,000."""
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        place = data.find(marker)
        if place >= 0:
            size = struct.pack(">HH", BOMB_PX, BOMB_PX)
            return data[: place + 5] + size + data[place + 9 :]
    return _bomb(data, other, rng)


DAMAGES: dict[str, Callable[[bytes, bytes, random.Random], bytes]] = {
    "flipped": _flip,
    "flipped_header": _flip_header,
    "truncated": _truncate,
    "spliced": _splice_header,
    "zeroed": _zero_a_part,
    "inserted": _insert_other,
    "doubled": _double_a_part,
    "bomb": _bomb,
    "blown_up": _blow_up,
}


def write_damaged(
    folder: Path, base: Sequence[tuple[str, bytes]], count: int, rng: random.Random
) -> Counter[str]:
    """Write damaged files; the name says the damage, the extension is often a wrong one."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds: Counter[str] = Counter()
    for index in range(count):
        kind = rng.choices(list(DAMAGES), (4, 4, 4, 4, 2, 2, 2, 1, 1))[0]
        extension, data = rng.choice(base)
        damaged = DAMAGES[kind](data, rng.choice(base)[1], rng)
        if rng.random() < 0.1:
            extension = rng.choice(list(_ENCODERS))
        (folder / f"{index:05d}-{kind}.{extension}").write_bytes(damaged)
        kinds[kind] += 1
    return kinds
