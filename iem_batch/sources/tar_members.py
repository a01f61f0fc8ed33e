"""The members of a tar archive in order, and what is wrong with it; data are read on request.

No name in an archive is ever used as a path. Damage costs only the members it touches: the reader
resumes at the next header whose checksum is right, as other tools do.
"""

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

from iem_batch.errors import IEMBatchError
from iem_batch.images.first_bytes import image_extension
from iem_batch.sources.formats import (
    is_hidden,
    is_image_name,
    is_unsafe,
    without_root,
)
from iem_batch.sources.protocol import MAX_FILE_BYTES, utf8

ID_COMMENT = "iem_batch image_id: "
"""The text before the id of an image in the pax header ``comment`` of its member; `convert`
writes it. Other programs pass a comment over, and would warn of a keyword of our own."""

_MAGIC_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A member that is an image, should be one, or is ignored; or a damaged place.

    Args:
        name: its path in the archive, for a label only; empty for a damaged place.
        image_id: the id it carries itself, if any.
        offset: first byte, that of its header.
        end: one past its last byte, padding included.
        info: what `tarfile` knows of it; None for a damaged place.
        reason: why it cannot be used; None for an image that can, empty for what is ignored.
        message: the same for a person.
        beside: other members of its sample, by what follows the first dot of their names; only
            where something of them is kept.
        joins: whether an earlier image is of the same sample.
    """

    name: str
    image_id: str | None = None
    offset: int
    end: int
    info: tarfile.TarInfo | None = None
    reason: str | None = None
    message: str = ""
    beside: "Mapping[str, Member] | None" = None
    joins: bool = False


class TarReader:
    """Reads the members of an archive, or of a range of one that begins at a header.

    Args:
        file: the range, seekable.
        size: its bytes.
        base: where it begins in the archive.
    """

    def __init__(self, file: io.BufferedReader, size: int, base: int = 0) -> None:
        self.file = file
        self.size = size
        self.base = base
        self._tar: tarfile.TarFile | None = None

    def members(self) -> Iterator[Member]:
        """Iterate over all but the folders.

        Raises:
            StorageError: the store failed.
        """
        end = 0
        for info in self._headers():
            if info.offset > end and self._holds_data(end, info.offset):
                yield self._damage("unreadable", end, info.offset, "no tar header could be read")
            end = info.offset_data + _padded(info)
            if not info.isdir():
                yield self._member(info, end)
            if end > self.size:
                break
        if end >= self.size:
            lost = "the archive ends without its end mark: what followed is lost"
            yield self._damage("truncated", end, self.size, lost)
        elif self._holds_data(end, self.size):
            yield self._damage("unreadable", end, self.size, "no tar header could be read")

    def data(self, member: Member) -> bytes:
        """Read the content of a member.

        Raises:
            StorageError: the store failed.
            tarfile.TarError: the member is cut.
        """
        assert self._tar is not None
        assert member.info is not None
        if member.info.issparse():
            file = self._tar.extractfile(member.info)
            assert file is not None
            return file.read()
        self.file.seek(member.info.offset_data)
        data = self.file.read(member.info.size)
        if len(data) != member.info.size:
            raise tarfile.ReadError("the archive ends within this member")
        return data

    def _headers(self) -> Iterator[tarfile.TarInfo]:
        try:
            # Blocks that are no header are passed over, as are the end marks inside archives that
            # were put one behind the other.
            self._tar = tarfile.open(  # noqa: SIM115 - the caller closes the file
                fileobj=self.file, mode="r:", ignore_zeros=True, tarinfo=_QuickTarInfo
            )
        except (tarfile.TarError, EOFError):
            return
        tar = self._tar
        is_first = True  # its header was read by `open`
        while is_first or tar.offset < self.size:
            is_first = False
            tar.members = []  # type: ignore[attr-defined]  # else the headers of millions are kept
            try:
                info = tar.next()
            except (IEMBatchError, FileNotFoundError):
                raise
            except Exception:  # noqa: BLE001 - a header may hold anything; the damage is an item
                tar.offset += tarfile.BLOCKSIZE
                continue
            if info is None:
                return
            if tar.offset <= info.offset:  # a size below zero
                tar.offset = info.offset + tarfile.BLOCKSIZE
                continue
            yield info

    def _member(self, info: tarfile.TarInfo, end: int) -> Member:
        name = utf8(without_root(info.name.partition("\0")[0]))
        comment = info.pax_headers.get("comment", "")
        image_id = comment.removeprefix(ID_COMMENT) if comment.startswith(ID_COMMENT) else None
        reason, message = self._verdict(info, name, image_id is not None)
        return Member(
            name=name,
            image_id=None if image_id is None else utf8(image_id),
            offset=self.base + info.offset,
            end=self.base + min(end, self.size),
            info=info,
            reason=reason,
            message=message,
        )

    def _verdict(self, info: tarfile.TarInfo, name: str, has_id: bool) -> tuple[str | None, str]:
        if is_unsafe(name):
            return "unsafe_path", "the path leads out of the archive"
        is_meant = has_id or is_image_name(name) or self._begins_as_image(info)
        if is_hidden(name) or not is_meant:
            return "", ""
        if info.issym() or info.islnk():
            kind = "symbolic" if info.issym() else "hard"
            return "not_a_file", f"a {kind} link to {utf8(info.linkname)}; links are not followed"
        if not info.isreg():
            return "not_a_file", "a device or a pipe"
        if info.size > MAX_FILE_BYTES:
            return "too_large", f"the member has {info.size} bytes, more than {MAX_FILE_BYTES}"
        if info.offset_data + _stored_bytes(info) > self.size:
            return "truncated", "the archive ends within this member"
        return None, ""

    def _begins_as_image(self, info: tarfile.TarInfo) -> bool:
        if not info.isreg():
            return False
        self.file.seek(info.offset_data)
        return image_extension(self.file.read(_MAGIC_BYTES)) is not None

    def _damage(self, reason: str, start: int, stop: int, message: str) -> Member:
        start, stop = self.base + start, self.base + max(start, stop)
        message = f"bytes {start} to {stop}: {message}"
        return Member(name="", offset=start, end=stop, reason=reason, message=message)

    def _holds_data(self, start: int, stop: int) -> bool:
        """Tell whether there is more than zeros and headers that `tarfile` reads by itself."""
        while start < stop:
            self.file.seek(start)
            block = self.file.read(min(stop - start, 1 << 20))
            if not block:
                return False
            zeros = len(block) - len(block.lstrip(b"\0"))
            if zeros < len(block):
                header = start + zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
                start = self._after_global_header(header)
                if start == header:
                    return True
            else:
                start += len(block)
        return False

    def _after_global_header(self, start: int) -> int:
        """Pass over a pax header for all members, with which `git archive` begins."""
        self.file.seek(start)
        head = self.file.read(tarfile.BLOCKSIZE)
        try:
            info = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            return start
        is_global = info.type == tarfile.XGLTYPE
        return start + tarfile.BLOCKSIZE + _blocks(info.size) if is_global else start


class _QuickTarInfo(tarfile.TarInfo):
    """Parses the usual header in a third of the time, and of it only what is used here."""

    __slots__ = ()

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header; whatever is not usual is left to the standard library."""
        kind = buf[156:157]
        # A file or a pax header, of at most 11 octal digits, without a prefix to its name.
        is_usual = (
            len(buf) == tarfile.BLOCKSIZE
            and kind in (b"0", b"x")
            and buf[135] in b"\0 "
            and not buf[345]
        )
        try:
            if not is_usual or int(buf[148:154], 8) != sum(buf) - sum(buf[148:156]) + 256:
                return super().frombuf(buf, encoding, errors)
            size = int(buf[124:135], 8)
        except ValueError:
            return super().frombuf(buf, encoding, errors)
        info = cls(bytes(buf[:100]).partition(b"\0")[0].decode(encoding, errors))
        info.size, info.type = size, bytes(kind)
        return info


def _stored_bytes(info: tarfile.TarInfo) -> int:
    """Give the bytes a member has in the archive: those of its parts if it is sparse."""
    parts: Any = info.sparse  # a list of (offset, size), but for what the type stubs say
    if parts is not None:
        return sum(size for _, size in parts)
    return info.size if info.isreg() else 0


def _padded(info: tarfile.TarInfo) -> int:
    return _blocks(_stored_bytes(info))


def _blocks(num_bytes: int) -> int:
    return -(-num_bytes // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
