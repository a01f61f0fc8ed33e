"""Telling formats by their first bytes, and names that are meant to be images."""

import re
import struct
import tarfile
from typing import Literal

from iem_batch.images.first_bytes import image_extension

Format = Literal["image", "tar", "zip", "parquet", "arrow", "lmdb", "packed"]

HEAD_BYTES = 512
"""So many bytes of a file are needed to tell its format."""

EXTENSIONS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "gif", "bmp", "dib")
    + ("tif", "tiff", "ppm", "pgm", "pbm", "pnm", "avif", "heic", "heif", "hif", "jxl")
)
"""Extensions, in lower case, by which files and members of archives are taken for images."""

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
