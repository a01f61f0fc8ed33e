"""Reading files over HTTP; nothing is written there."""

import functools
import os
import re
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, cast
from urllib.parse import quote

import fsspec
from fsspec.asyn import sync

from iem_batch.checks import needs_extra
from iem_batch.errors import IEMBatchError, StorageError, TooLargeError
from iem_batch.storage.object_store import redacted
from iem_batch.storage.settings import DEFAULTS, WebSettings
from iem_batch.waiting import waiting

_PASSING = frozenset({None, 200, 206, 408, 425, 429, 500, 502, 503, 504})
"""Statuses of what may succeed later: no answer, one that was cut, a busy server."""

_ABSENT = (404, 410)
_CHUNK_BYTES = 1 << 18
_RESERVED = "%/:?#[]@!$&'()*+,;=~"
_OPTED_OUT = re.compile(r"\b(?:noai|noimageai)\b", re.IGNORECASE)


class WebError(StorageError):
    """A web server refused or failed, or did not answer.

    Args:
        message: for a person.
        status: of the answer; None if there was none.
        wait_s: seconds after which the server wants to be asked again, if it says so.
    """

    def __init__(
        self, message: str, status: int | None = None, wait_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.wait_s = status, wait_s

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status in _PASSING


class OptedOutError(StorageError):
    """The owner of an image does not want it to be used."""


def is_web(url: str) -> bool:
    """Tell whether a URL is one of HTTP."""
    return url.startswith(("http://", "https://"))


@dataclass(frozen=True)
class WebFile:
    """A file on a web server, with the methods of `Folder` for reading.

    Its name is empty everywhere: it is the only piece there is.

    Args:
        url: sent as it is written, with its query; only what no URL may hold is escaped.
        settings: how the server is asked.
    """

    url: str
    settings: WebSettings = DEFAULTS

    @property
    def is_local(self) -> bool:
        """It is not."""
        return False

    def url_of(self, name: str) -> str:
        """Give the URL."""
        return self.url

    def size(self, name: str) -> int:
        """Give the size in bytes.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: the server does not say, does not answer, or refuses.
        """
        size = self._ask(self._size)
        if size is None:
            raise StorageError(
                f"{redacted(self.url)}: the server does not say how large the file is"
            )
        return int(size)

    def read_bytes(self, name: str) -> bytes:
        """Read the whole file.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: the server does not answer, or refuses.
        """
        return cast(bytes, self._ask(self._read, 0, None))

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Read the bytes start..stop-1; of a server that knows no ranges what is before, too.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: as `read_bytes`.
        """
        return cast(bytes, self._ask(self._read, start, stop))

    def read_image(self, timeout_s: float) -> bytes:
        """Read an image; no more than may be is taken, neither from the server nor unpacked.

        Args:
            timeout_s: seconds after which it is given up.

        Raises:
            FileNotFoundError: there is no such file.
            TooLargeError: it has more bytes than an image may have.
            OptedOutError: its owner does not want it to be used.
            WebError: the server does not answer, or refuses.
        """
        return cast(bytes, self._ask(self._image, timeout_s))

    async def _size(self, filesystem: Any) -> int | None:
        async with self._answer(filesystem, self._options({"Range": "bytes=0-0"})) as answer:
            in_part = answer.headers.get("Content-Range", "").rpartition("/")[2]
            size = in_part if answer.status == 206 else answer.headers.get("Content-Length", "")
        return int(size) if size.isdigit() else None

    async def _read(self, filesystem: Any, start: int, stop: int | None) -> bytes:
        wanted = {} if stop is None else {"Range": f"bytes={start}-{stop - 1}"}
        async with self._answer(filesystem, self._options(wanted)) as answer:
            skipped = 0 if answer.status == 206 else start
            data = await self._body(answer, None if stop is None else stop - start + skipped)
        return bytes(memoryview(data)[skipped:])

    async def _image(self, filesystem: Any, timeout_s: float) -> bytes:
        limit = self.settings.max_bytes
        async with self._answer(filesystem, self._options(timeout_s=timeout_s)) as answer:
            tags = ",".join(answer.headers.getall("X-Robots-Tag", ()))
            if not self.settings.use_opted_out and _OPTED_OUT.search(tags):
                raise OptedOutError(f"its server says X-Robots-Tag: {tags}")
            coding = answer.headers.get("Content-Encoding", "identity").lower()
            data = await self._body(answer, limit + 1)
        if coding in ("gzip", "x-gzip", "deflate"):
            data = _unpacked(data, limit + 1)
        elif coding != "identity":
            raise StorageError(f"its server packs it as {coding}, which it was asked not to do")
        if len(data) > limit:
            raise TooLargeError(f"it has more than the {limit} bytes of web.max_mb")
        return bytes(data)

    async def _body(self, answer: Any, max_bytes: int | None) -> bytearray:
        """Read what an answer holds, up to so many bytes; as it may be large, without a copy."""
        data = bytearray()
        try:
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                data += chunk
                if max_bytes is not None and len(data) >= max_bytes:
                    break
        except Exception as error:
            raise WebError(self._message(error), answer.status) from error
        if max_bytes is not None:
            del data[max_bytes:]
        return data

    @asynccontextmanager
    async def _answer(self, filesystem: Any, options: dict[str, Any]) -> AsyncIterator[Any]:
        session = await filesystem.set_session()
        async with session.get(filesystem.encode_url(_escaped(self.url)), **options) as answer:
            if answer.status in _ABSENT:
                raise FileNotFoundError(self.url)
            if answer.status >= 300:
                message = f"cannot read {redacted(self.url)}: HTTP {answer.status}"
                wait_s = _wait_s(answer.headers.get("Retry-After"))
                raise WebError(message, answer.status, wait_s)
            yield answer

    def _options(
        self, headers: dict[str, str] | None = None, timeout_s: float | None = None
    ) -> dict[str, Any]:
        from aiohttp import ClientTimeout

        silence_s = self.settings.timeout_s / 3
        # What is packed cannot be read in part, and may be a thousand times as large as it seems.
        own = {"Accept-Encoding": "identity", "User-Agent": self.settings.user_agent}
        timeout = ClientTimeout(total=timeout_s, sock_connect=silence_s, sock_read=silence_s)
        return {"headers": own | (headers or {}), "timeout": timeout}

    def _ask(self, method: Any, *arguments: Any) -> Any:
        filesystem = _client(os.getpid())
        try:
            with waiting(lambda: f"the answer to: read {redacted(self.url)}", "web"):
                return sync(filesystem.loop, method, filesystem, *arguments)
        except (FileNotFoundError, IEMBatchError):
            raise
        except Exception as error:
            raise WebError(self._message(error), getattr(error, "status", None)) from error

    def _message(self, error: Exception) -> str:
        text = redacted(" ".join(f"{type(error).__name__}: {error}".split()))
        if isinstance(error, TimeoutError):
            text = f"no answer in time (web.timeout_s is {self.settings.timeout_s:g})"
        return f"cannot read {redacted(self.url)}: {text}"


@functools.lru_cache(4)
def _client(process: int) -> Any:
    """Give the client of a process, whose threads share its connections."""
    with needs_extra("http", "http://", StorageError):
        return fsspec.filesystem(
            "https",
            skip_instance_cache=True,
            encoded=True,
            client_kwargs={
                "auto_decompress": False,
                "requote_redirect_url": False,
                "trust_env": True,
            },
        )


def _escaped(url: str) -> str:
    """Escape what no URL may hold; what is escaped stays as it is written."""
    scheme, _, rest = url.partition("://")
    host = re.split(r"[/?#]", rest, maxsplit=1)[0]
    name = host if host.isascii() else host.encode("idna").decode()
    return f"{scheme}://{name}{quote(rest[len(host) :], safe=_RESERVED)}"


def _unpacked(data: bytes | bytearray, max_bytes: int) -> bytearray:
    """Unpack gzip or deflate, up to so many bytes."""
    unpacked = bytearray()
    try:
        while data and len(unpacked) < max_bytes:
            stream = zlib.decompressobj(zlib.MAX_WBITS | 32)  # of either form
            unpacked += stream.decompress(data, max_bytes - len(unpacked))
            data = stream.unused_data
    except zlib.error as error:
        raise StorageError(f"its server packs it, but it cannot be unpacked: {error}") from error
    return unpacked


def _wait_s(text: str | None) -> float | None:
    """Read Retry-After: seconds, or a date."""
    if text is None:
        return None
    try:
        return float(text) if text.strip().isdigit() else _seconds_until(text)
    except (ValueError, TypeError):
        return None


def _seconds_until(date: str) -> float:
    return max(0.0, parsedate_to_datetime(date).timestamp() - time.time())
