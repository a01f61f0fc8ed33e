"""Fetching the images of a list of URLs, several at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from iem_batch.errors import CredentialsError, StorageError, TooLargeError
from iem_batch.sources.download import Downloader
from iem_batch.sources.formats import is_image_name
from iem_batch.sources.named_file import read_named
from iem_batch.sources.protocol import RawImage, UnreadableImage
from iem_batch.storage.folder import Folder
from iem_batch.storage.local_files import read_file
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.storage.settings import WebSettings
from iem_batch.storage.web import OptedOutError, WebError, is_web

MIN_ALL_LOST = 8
"""So many URLs of which none is answered are the network's fault, not theirs."""

_UNASKED = ("null", "not_a_url", "unreachable")
"""Reasons of images of which no host has said anything."""


@dataclass(frozen=True)
class Request:
    """A URL to read.

    Args:
        image_id: of its image.
        table: the list.
        uri: where in it the URL stands.
        url: the URL, or the path of a file below the folder of the list; None if there is none.
    """

    image_id: str
    table: str
    uri: str
    url: object


def fetch(
    requests: Iterable[Request], allow_local: bool, settings: WebSettings
) -> Iterator[RawImage | UnreadableImage]:
    """Read URLs in order; one that fails does not affect the others.

    Args:
        requests: what to read.
        allow_local: whether a URL may be a local path, as those of a local list may.
        settings: how web servers are asked, and how many bytes an image may have.

    Raises:
        StorageError: there are several, and no host has answered; or a store does not accept the
            credentials, which says nothing about an image.
    """
    read = partial(_fetch, Downloader(settings), allow_local, settings.max_bytes)
    unasked: list[UnreadableImage] | None = []
    for item in map_ahead(read, requests):
        if unasked is not None:
            if isinstance(item, UnreadableImage) and item.reason in _UNASKED:
                unasked.append(item)
                continue
            yield from unasked
            unasked = None
        yield item
    lost = [item for item in unasked or () if item.reason == "unreachable"]
    if len(lost) >= MIN_ALL_LOST:
        raise StorageError(f"none of {len(lost)} URLs could be reached: {lost[0].message}")
    yield from unasked or ()


def _fetch(
    downloader: Downloader, allow_local: bool, max_bytes: int, request: Request
) -> RawImage | UnreadableImage:
    uri = request.url if isinstance(request.url, str) else request.uri

    def unreadable(reason: str, message: str) -> UnreadableImage:
        return UnreadableImage(image_id=request.image_id, uri=uri, reason=reason, message=message)

    if request.url is None:
        return unreadable("null", "the URL is null")
    if isinstance(request.url, str) and allow_local and _is_relative(uri):
        return read_named(uri, request.table, request.image_id, request.uri)
    if not (isinstance(request.url, str) and _is_url(uri, allow_local)):
        return unreadable("not_a_url", "not a URL that can be read: use https, http, s3 or gs")
    try:
        data = downloader.read(uri) if is_web(uri) else _read(uri, max_bytes)
    except FileNotFoundError:
        return unreadable("missing", "there is nothing at this URL")
    except TooLargeError as error:
        return unreadable("too_large", str(error))
    except OptedOutError as error:
        return unreadable("opted_out", str(error))
    except CredentialsError:
        raise
    except WebError as error:
        answered = "busy" if error.may_pass else "refused"
        return unreadable("unreachable" if error.status is None else answered, str(error))
    except StorageError as error:
        return unreadable("unreadable", str(error))
    return RawImage(image_id=request.image_id, uri=uri, data=data)


def _is_relative(path: str) -> bool:
    return "://" not in path and not path.startswith(("/", "file:")) and is_image_name(path)


def _is_url(url: str, allow_local: bool) -> bool:
    if "\0" in url:
        return False
    if url.startswith(("/", "file:")):
        return allow_local
    scheme, separator, path = url.partition("://")
    return bool(separator) and scheme in ("http", "https", "s3", "s3a", "gs", "gcs") and bool(path)


def _read(url: str, max_bytes: int) -> bytes:
    """Read a local file, or an object, whose client tries again by itself."""
    path = url.removeprefix("file://")
    if path.startswith("/"):
        return read_file(path, max_bytes)
    folder, _, name = url.rpartition("/")
    try:
        data = Folder(folder).read_range(name, 0, max_bytes + 1)
    except CredentialsError:
        raise
    except StorageError as error:
        is_refused = isinstance(error.__cause__, PermissionError)
        raise WebError(str(error), status=403 if is_refused else None) from error
    if len(data) > max_bytes:
        raise TooLargeError(f"it has more than the {max_bytes} bytes of web.max_mb")
    return data
