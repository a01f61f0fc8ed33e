"""Telling formats by their first bytes, and names that are meant to be images."""

import re
import struct
import tarfile
from typing import Literal

Format = Literal["image", "tar", "zip", "parquet", "arrow", "lmdb", "packed"]

HEAD_BYTES = 512
"""So many bytes of a file are needed to tell its format."""

EXTENSIONS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "gif", "bmp", "dib")
    + ("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "avif", "heic", "heif", "hif", "jxl")
)
"""Extensions, in lower case, by which files and members of archives are taken for images."""

_IMAGE_EXTENSIONS = (
    (b"\xff\xd8\xff", "jpg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\x00", "tif"),
    (b"MM\x00*", "tif"),
    (b"\xff\x0a", "jxl"),
    (b"\x00\x00\x00\x0cJXL ", "jxl"),
)
_BRANDS = {b"avif": "avif", b"avis": "avif", b"heic": "heic", b"heix": "heic", b"mif1": "heic"}
"""What an image in the container of MP4 files says of itself."""
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf")
_ROOT = re.compile(r"^(?:\.?/)+")
_LMDB_MAGIC = struct.pack("=I", 0xBEEFC0DE)


def format_of(head: bytes) -> Format | None:
    """Tell the format of a file; None is anything else, such as text.

    Args:
        head: its first `HEAD_BYTES` bytes, or all.
    """
    if image_extension(head) is not None:
        return "image"
    if head.startswith(b"PAR1"):
        return "parquet"
    # A stream begins with a mark, the size of its schema, and the place in it of the first table.
    if head.startswith(b"ARROW1\0\0") or (head[:4] == b"\xff" * 4 and head[9:12] == bytes(3)):
        return "arrow"
    if head[16:20] == _LMDB_MAGIC:
        return "lmdb"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(_PACKED):
        return "packed"
    return "tar" if _is_tar(head) else None


def image_extension(head: bytes) -> str | None:
    """Give the usual extension of an image by its first bytes; None if it is none."""
    for magic, extension in _IMAGE_EXTENSIONS:
        if head.startswith(magic):
            return extension
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp" and head[8:12] in _BRANDS:
        return _BRANDS[head[8:12]]
    # Two letters may be those of a text; the reserved fields of a bitmap are zero.
    if head.startswith(b"BM") and head[6:10] == bytes(4):
        return "bmp"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "ppm"
    return None


def _is_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head[:HEAD_BYTES], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def is_image_name(name: str) -> bool:
    """Tell whether a name is that of an image: by extension, and neither hidden nor not UTF-8."""
    _, dot, extension = name.rpartition(".")
    return bool(dot) and _can_be_taken(name) and extension.lower() in EXTENSIONS


def lacks_extension(name: str) -> bool:
    """Tell whether only its content tells if a file is an image; not hidden, nor not UTF-8."""
    return "." not in name.rpartition("/")[2] and _can_be_taken(name)


def _can_be_taken(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:  # the tables hold UTF-8 only
        return False
    return not is_hidden(name)


def is_hidden(name: str) -> bool:
    """Tell whether a component of a path begins with a dot."""
    return any(component.startswith(".") for component in name.split("/"))


def without_root(name: str) -> str:
    """Take off what other tools take off the name of a member: ``/``, or the folder packed."""
    return _ROOT.sub("", name)


def is_unsafe(name: str) -> bool:
    """Tell whether the path of a member leads out of its archive."""
    return ".." in name.split("/")
