"""Object stores: their URLs and their clients; `store_errors` says what their errors mean.

Only this file, `folder`, `s3_reads` and `web` use fsspec or a store's own client.

A URL is `scheme://bucket/key`, nothing in it percent-decoded. How the store is reached comes from
the usual environment of its client (for S3 the AWS_* variables and ~/.aws), or from options behind
the key, which say nothing secret:

    s3://bucket/photos?anon=true                          a public bucket, without credentials
    s3://bucket/photos?requester_pays=true                a bucket whose readers pay
    s3://bucket/run?kms_key_id=ID                         what is written is encrypted by that key
    s3://bucket/run?endpoint_url=https://minio:9000&region=eu-west-1&profile=lab

A URL that holds credentials is refused, and no message repeats them.

Requests that fail because the store is busy or a connection breaks are sent again by the client,
waiting longer each time. For S3 it makes five attempts, with jitter, or as AWS_MAX_ATTEMPTS and
AWS_RETRY_MODE say. s3fs repeats all that up to five times where the store asks to slow down, is
silent for 15 s, or cuts an object's transfer, which then starts over; `s3_reads` does likewise.
"""

import contextlib
import functools
import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import fsspec

from iem_batch.errors import StorageError
from iem_batch.storage import s3_reads
from iem_batch.storage.s3_reads import Options
from iem_batch.storage.store_pages import is_s3, split_prefix

PART_BYTES = 16 << 20
"""Size of the parts in which an object is written that has more bytes than two of them."""

KEYS_AT_ONCE = 1000
"""Objects that S3 deletes by one request, at most."""

MAX_CONNECTIONS = 32
"""Requests that one process has under way at once; the threads of a process share a client."""


@dataclass(frozen=True, kw_only=True)
class _Store:
    """What has to be known of a kind of store.

    Args:
        install: what installs its client.
        credentials: where its client looks for credentials.
        options: names that may stand in a URL.
    """

    install: str
    credentials: str = ""
    options: tuple[str, ...] = ()


_S3 = _Store(
    install="pip install 'iem-batch[s3]'",
    credentials="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
    options=("anon", "endpoint_url", "kms_key_id", "profile", "region", "requester_pays"),
)
_GCS = _Store(
    install="pip install gcsfs",
    credentials="GOOGLE_APPLICATION_CREDENTIALS",
    options=("anon",),
)
_AZURE = _Store(
    install="pip install adlfs",
    credentials="AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
    options=("anon",),
)
STORES = {
    "s3": _S3,
    "s3a": _S3,
    "gs": _GCS,
    "gcs": _GCS,
    "abfs": _AZURE,
    "abfss": _AZURE,
    "az": _AZURE,
    "memory": _Store(install="pip install fsspec"),
}
"""Schemes under which one PUT makes an object appear whole."""

_making: dict[int, threading.Lock] = {}
"""Of each process its own: a forked one has its parent's locks as they were."""

_QUERY = re.compile(r"\?([\w.-]+=[^?]*)$")
_USER = re.compile(r"(\w+://)[^\s@'\"]*@")
_SIGNATURE = re.compile(r"(\w+://[^\s?'\"]+)\?[^\s'\"]+")


@dataclass(frozen=True)
class Location:
    """A bucket, or what lies below a key.

    Args:
        scheme: one of `STORES`.
        path: bucket and key, without a slash at either end.
        options: name and value of those in the URL, sorted.
    """

    scheme: str
    path: str
    options: Options

    @property
    def url(self) -> str:
        """The URL without its options."""
        return f"{self.scheme}://{self.path}"

    @property
    def url_with_options(self) -> str:
        """The URL from which the same location is parsed."""
        query = "&".join(f"{name}={value}" for name, value in self.options)
        return f"{self.url}?{query}" if query else self.url


@functools.lru_cache(1024)
def parse(url: str) -> Location:
    """Take a URL apart.

    Raises:
        StorageError: the scheme or an option is not supported, no bucket is named, or there are
            credentials in the URL.
    """
    scheme, _, path = url.partition("://")
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES if name != "memory")
        url = redacted(url)
        raise StorageError(f"{url}: {scheme}:// is not supported; use a local path or {known}")
    query = _QUERY.search(path)
    path = path[: query.start()] if query else path
    bucket = path.partition("/")[0]
    # A secret may hold a slash, so that only its beginning stands before the first one.
    has_user = (":" in bucket and not bucket.startswith("arn:")) or (
        "@" in bucket and STORES[scheme] is not _AZURE
    )
    if has_user or (query and "@" in query[1]):
        raise StorageError(
            f"a {scheme}:// URL holds credentials; take them out and set "
            f"{STORES[scheme].credentials} in the environment"
        )
    options: Options = ()
    if query:
        options = _parse_options(f"{scheme}://{path}", STORES[scheme].options, query[1])
    if not path.strip("/"):
        raise StorageError(f"{scheme}:// names no bucket")
    return Location(scheme, path.strip("/"), options)


def _parse_options(url: str, known: tuple[str, ...], query: str) -> Options:
    """Split `a=b&c=d`; what is not known may be a signature, so its value is not shown."""
    pairs = dict(piece.partition("=")[::2] for piece in query.split("&"))
    if unknown := sorted(pairs.keys() - set(known)):
        allowed = f"use {', '.join(sorted(known))}" if known else "there are none"
        raise StorageError(f"{url} has the option {unknown[0]} behind its '?'; {allowed}")
    for name in ("anon", "requester_pays"):
        if pairs.get(name, "true") not in ("true", "false"):
            raise StorageError(f"{url}: {name} is {pairs[name]!r}; use true or false")
    return tuple(sorted(pairs.items()))


def redacted(text: str) -> str:
    """Take out of URLs what may be secret: the user and password, and the query."""
    return _SIGNATURE.sub(r"\1?...", _USER.sub(r"\1...@", text))


def connect(location: Location) -> tuple[Any, str]:
    """Give the fsspec filesystem of a store and the path in its form.

    The threads of a process share one filesystem; fsspec would make one for each, with connections
    of its own and, for S3, 15 MB and a tenth of a second to start. All work is done by fsspec's own
    thread, which a forked process lacks, so it gets a filesystem of its own.

    Raises:
        StorageError: the package that reaches such stores is not installed.
    """
    try:
        with _making.setdefault(os.getpid(), threading.Lock()):  # threads begin at once
            filesystem = _client(location.scheme, location.options, os.getpid())
    except ImportError as error:
        raise StorageError(
            f"{location.url}: {location.scheme}:// needs a package that is not installed; "
            f"{STORES[location.scheme].install}"
        ) from error
    return filesystem, filesystem._strip_protocol(location.url)


@functools.lru_cache(64)
def _client(scheme: str, options: Options, process: int) -> Any:
    given = dict(options)
    # Listings must be true, not remembered: other processes write in the same folder.
    keywords: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    is_anonymous = given.pop("anon", "false") == "true"
    if STORES[scheme] is _S3:
        # With max_concurrency an object is asked for its size before it is read.
        keywords |= {"anon": is_anonymous, "max_concurrency": 1}
        keywords["config_kwargs"] = {"max_pool_connections": MAX_CONNECTIONS}
        keywords["requester_pays"] = given.pop("requester_pays", "false") == "true"
        if "region" in given:
            keywords["client_kwargs"] = {"region_name": given.pop("region")}
        if "kms_key_id" in given:
            by_key = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": given.pop("kms_key_id")}
            keywords["s3_additional_kwargs"] = by_key
    elif is_anonymous:
        keywords |= {"token": "anon"} if STORES[scheme] is _GCS else {"anon": True}
    filesystem = fsspec.filesystem(scheme, **keywords, **given)
    if STORES[scheme] is _S3:
        filesystem.split_path = _split_key  # s3fs takes ?versionId= out of keys
    return filesystem


def _split_key(path: str) -> tuple[str, str, None]:
    bucket, _, key = path.removeprefix("s3://").removeprefix("s3a://").partition("/")
    return bucket, key, None


def forget() -> None:
    """Let who asks from now on look for credentials anew: those of before are refused."""
    _client.cache_clear()
    s3_reads.forget()


def read(
    filesystem: Any, options: Options, path: str, start: int | None, stop: int | None
) -> bytes:
    """Read an object, or the bytes start..stop-1 of it.

    Raises:
        FileNotFoundError: there is no such object.
        Exception: of the store's client.
    """
    data = s3_reads.read(filesystem, options, path, start, stop) if is_s3(filesystem) else None
    return filesystem.cat_file(path, start=start, end=stop) if data is None else data


def write(filesystem: Any, path: str, data: bytes) -> None:
    """Write an object; it appears whole or not at all.

    A large one is written in parts, which the store puts together at the end; a failure takes them
    away again.
    """
    parts = {"chunksize": PART_BYTES} if is_s3(filesystem) else {}
    filesystem.pipe_file(path, data, **parts)


def create(filesystem: Any, path: str, data: bytes) -> None:
    """Write a small object where none is; S3 looks and writes in one, others look before.

    Raises:
        FileExistsError: there is one.
    """
    if is_s3(filesystem):
        filesystem.pipe_file(path, data, mode="create")
    elif filesystem.exists(path):
        raise FileExistsError(path)
    else:
        write(filesystem, path, data)


def is_empty(filesystem: Any, path: str) -> bool:
    """Tell whether no object lies below a path; lists as little as it can."""
    if not is_s3(filesystem):
        return not any(filesystem.find(path))
    bucket, prefix = split_prefix(path)
    # One may be the empty object that some tools leave for the folder itself.
    found = filesystem.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=2)
    return all(item["Key"] == prefix for item in found.get("Contents", ()))


def delete(filesystem: Any, paths: Sequence[str]) -> None:
    """Delete objects; those that are absent are fine.

    Raises:
        PermissionError: some may not be deleted; the others are.
        FileNotFoundError: there is no such bucket, or no such object; not every store says so.
    """
    if not is_s3(filesystem):
        for path in paths:
            with contextlib.suppress(FileNotFoundError):
                filesystem.rm_file(path)
        return
    bucket = paths[0].partition("/")[0]
    keys = [path.partition("/")[2] for path in paths]
    for start in range(0, len(keys), KEYS_AT_ONCE):
        _delete_keys(filesystem, bucket, keys[start : start + KEYS_AT_ONCE])


def _delete_keys(filesystem: Any, bucket: str, keys: Sequence[str]) -> None:
    """Delete objects by one request; s3fs would not tell which it refused."""
    request = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
    done = filesystem.call_s3("delete_objects", Bucket=bucket, Delete=request)
    for refused in done.get("Errors", ()):
        raise PermissionError(f"{refused['Key']}: {refused['Code']}")
