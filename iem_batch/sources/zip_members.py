"""The members of a zip archive by its directory, and what is wrong with them; data on request.

No name in an archive is ever used as a path. The directory is read record by record, since it may
be of millions; `zipfile` holds all of it.
"""

import io
import stat
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from iem_batch.errors import ImageRejectedError, SourceError
from iem_batch.images.first_bytes import image_extension
from iem_batch.sources.formats import (
    is_image_name,
    is_unsafe,
    lacks_extension,
    without_root,
)
from iem_batch.sources.protocol import MAX_FILE_BYTES
from iem_batch.storage.unpacked import MAX_RATIO

_RECORD = struct.Struct("<4s6H3L5H2L")
_LENGTHS_AT = 28
_HEADER = struct.Struct("<4s5H3L2H")
_END = struct.Struct("<4s4H2LH")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_LOCATOR_64 = struct.Struct("<4sLQL")
_MAX_COMMENT = 1 << 16
_ENCRYPTED, _STORED, _DEFLATED, _UNIX = 1, 0, 8, 3
_UNKNOWN = 0xFFFFFFFF
"""A number that stands in the extra field, as it needs more than 32 bits."""
_MAGIC_BYTES = 16
_SMALL_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ZipMember:
    """A member, as the directory has it.

    Args:
        name: its path in the archive, for a label only.
        offset: first byte of its record in the directory.
        end: one past the last.
        header: where the member itself begins.
        packed: its bytes in the archive.
        size: its bytes, unpacked.
        crc: its checksum.
        flags: of the format.
        method: how it is packed.
        mode: of the file, as Unix has it; 0 where it was made elsewhere.
        problem: why the rest of the directory cannot be read, of a damaged place.
    """

    name: str
    offset: int
    end: int
    header: int = 0
    packed: int = 0
    size: int = 0
    crc: int = 0
    flags: int = 0
    method: int = 0
    mode: int = 0
    problem: str | None = None


def find_directory(file: io.BufferedReader, size: int) -> tuple[int, int]:
    """Find the directory at the end of an archive; gives its first byte and one past its last.

    Raises:
        SourceError: there is none.
        StorageError: the store failed.
    """
    first = max(0, size - _MAX_COMMENT - _END.size)
    file.seek(first)
    tail = file.read(size - first)
    at = tail.rfind(b"PK\5\6")
    if at == -1 or at + _END.size > len(tail):
        raise SourceError("it ends without the directory of a zip archive")
    *_, length, start, _ = _END.unpack_from(tail, at)
    locator = at - _LOCATOR_64.size
    if locator >= 0 and tail[locator : locator + 4] == b"PK\6\7":
        _, _, place, _ = _LOCATOR_64.unpack_from(tail, locator)
        file.seek(place)
        record = file.read(_END_64.size)
        if len(record) == _END_64.size and record.startswith(b"PK\6\6"):
            *_, length, start = _END_64.unpack(record)
    if start + length > first + at:
        raise SourceError("its directory is said to lie behind its end")
    return start, start + length


def members(directory: io.BufferedReader, start: int, stop: int) -> Iterator[ZipMember]:
    """Iterate over a range of the directory; what follows a damaged place is one member.

    Args:
        directory: the range.
        start: its first byte in the archive.
        stop: one past its last.

    Raises:
        StorageError: the store failed.
    """
    while start < stop:
        record = directory.read(_RECORD.size)
        is_whole = len(record) == _RECORD.size and record.startswith(b"PK\1\2")
        lengths = struct.unpack_from("<3H", record, _LENGTHS_AT) if is_whole else ()
        end = start + _RECORD.size + sum(lengths)
        if not is_whole or end > stop:
            problem = "the directory is damaged here: what followed is lost"
            yield ZipMember(name=f"#{start}", offset=start, end=stop, problem=problem)
            return
        (_, made, _, flags, method, _, _, crc, packed, size, *_, mode, header) = _RECORD.unpack(
            record
        )
        name, extra, _ = (directory.read(length) for length in lengths)
        size, packed, header = _of_64_bits(extra, size, packed, header)
        yield ZipMember(
            name=without_root(_text(name)),
            offset=start,
            end=end,
            header=header,
            packed=packed,
            size=size,
            crc=crc,
            flags=flags,
            method=method,
            mode=mode >> 16 if made >> 8 == _UNIX else 0,
        )
        start = end


def is_image(file: io.BufferedReader, member: ZipMember) -> bool:
    """Tell whether a member is, or should be, an image: by its name, else by its first bytes."""
    if member.problem is not None or is_unsafe(member.name):
        return True
    if member.name.endswith("/") or not lacks_extension(member.name):
        return is_image_name(member.name)
    try:
        head = _unpacked(file, member, _MAGIC_BYTES)
    except ImageRejectedError:
        return False
    return image_extension(head) is not None


def data_of(file: io.BufferedReader, member: ZipMember) -> bytes:
    """Read the content of a member.

    Args:
        file: what lies before the directory.
        member: the member.

    Raises:
        ImageRejectedError: it cannot be used; says why.
        StorageError: the store failed.
    """
    if member.problem is not None:
        raise ImageRejectedError("unreadable", member.problem)
    if is_unsafe(member.name):
        raise ImageRejectedError("unsafe_path", "the path leads out of the archive")
    if stat.S_IFMT(member.mode) not in (0, stat.S_IFREG):
        raise ImageRejectedError("not_a_file", "a link or a device; links are not followed")
    if member.size > min(MAX_FILE_BYTES, max(_SMALL_BYTES, MAX_RATIO * member.packed)):
        message = f"the member has {member.size} bytes, unpacked from {member.packed}"
        raise ImageRejectedError("too_large", message)
    data = _unpacked(file, member, member.size + 1)
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise ImageRejectedError("unreadable", "its content is not that of its checksum")
    return data


def _unpacked(file: io.BufferedReader, member: ZipMember, max_bytes: int) -> bytes:
    """Unpack the first bytes of a member."""
    if member.flags & _ENCRYPTED:
        raise ImageRejectedError("unreadable", "it is encrypted")
    if member.method not in (_STORED, _DEFLATED):
        raise ImageRejectedError("unreadable", f"it is packed by method {member.method} of zip")
    file.seek(member.header)
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or not header.startswith(b"PK\3\4"):
        raise ImageRejectedError("unreadable", "the archive has no such member where it should be")
    *_, name_bytes, extra_bytes = _HEADER.unpack(header)
    file.seek(name_bytes + extra_bytes, io.SEEK_CUR)
    if member.method == _STORED:
        return file.read(min(member.packed, max_bytes))
    data = file.read(min(member.packed, MAX_FILE_BYTES))
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, max_bytes)
    except zlib.error as error:
        raise ImageRejectedError("unreadable", f"it cannot be unpacked: {error}") from error


def _of_64_bits(extra: bytes, *numbers: int) -> Iterator[int]:
    """Take from the extra field what has no place in the record."""
    large = b""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            large = extra[4 : 4 + length]
        extra = extra[4 + length :]
    for number in numbers:
        if number == _UNKNOWN and len(large) >= 8:
            (number,), large = struct.unpack_from("<Q", large), large[8:]
        yield number


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("cp437")
