"""Reading files over HTTP; nothing is written there."""

from dataclasses import dataclass
from typing import Any, cast

import fsspec

from iem_batch.checks import needs_extra
from iem_batch.errors import StorageError
from iem_batch.storage.object_store import redacted

_BUSY_STATUS = frozenset({408, 425, 429, 500, 502, 503, 504})


class BusyError(StorageError):
    """The server or the network failed; the same request may succeed later."""


def is_web(url: str) -> bool:
    """Tell whether a URL is one of HTTP."""
    return url.startswith(("http://", "https://"))


@dataclass(frozen=True)
class WebFile:
    """A file on a web server, with the methods of `Folder` for reading.

    Its name is empty everywhere: it is the only piece there is.

    Args:
        url: as it is sent, with its query.
    """

    url: str

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
        size = self._ask("info")["size"]
        if size is None:
            raise StorageError(
                f"{redacted(self.url)}: the server does not say how large the file is"
            )
        return int(size)

    def read_bytes(self, name: str) -> bytes:
        """Read the whole file.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: the server does not answer (`BusyError`), or refuses.
        """
        return cast(bytes, self._ask("cat_file"))

    def read_range(self, name: str, start: int, stop: int) -> bytes:
        """Read the bytes start..stop-1.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: as `read_bytes`.
        """
        data = cast(bytes, self._ask("cat_file", start=start, end=stop))
        if len(data) > stop - start:  # a server that knows no ranges sends all
            return data[start:stop]
        return data

    def _ask(self, method: str, **limits: int) -> Any:
        try:
            return getattr(_filesystem(), method)(self.url, **limits)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: Exception) -> StorageError:
        """Tell what may pass from what is final; aiohttp's types need not be importable."""
        status = getattr(error, "status", None)
        text = redacted(" ".join(f"{type(error).__name__}: {error}".split()))
        what = f"HTTP {status}" if status else text
        kind = BusyError if status is None or status in _BUSY_STATUS else StorageError
        return kind(f"cannot read {redacted(self.url)}: {what}")


def _filesystem() -> Any:
    with needs_extra("http", "http://", StorageError):
        return fsspec.filesystem("https")
