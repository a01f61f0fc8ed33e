"""Reading objects of S3 through obstore, which takes a fifth of s3fs's processor time.

Reads alone, and those that it does as s3fs does. Its listings do not tell `a/` from `a` and end at
a name such as `a//b`. While it waits, nobody can interrupt the main thread, which reads little; a
forked process lacks obstore's threads. `read` gives None wherever s3fs has to be asked.

Credentials, region, endpoint and certificates are botocore's, so that both clients reach the same.
"""

import functools
import html
import os
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

Options = tuple[tuple[str, str], ...]
"""Name and value of those in the URL."""

TIMEOUTS = {"connect_timeout": "5s", "read_timeout": "15s", "timeout": "1d"}
"""A store that is silent for so long is asked again; a large object may take its time."""

_MAY_LAST = timedelta(minutes=5)
"""Credentials are asked for as often; botocore renews those that end within ten minutes."""

_ANSWER = re.compile(r"<Code>(?P<code>\w+)</Code>\s*(<Message>(?P<message>.*?)</Message>)?", re.S)
_OTHER_REGION = ("AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect")
"""Answers that s3fs follows to the region where the bucket is."""

_elsewhere: set[tuple[Options, str]] = set()
"""Buckets in another region than the client's."""

_making = threading.Lock()
_forked = threading.Event()
os.register_at_fork(after_in_child=_forked.set)


def read(
    filesystem: Any, options: Options, path: str, start: int | None, stop: int | None
) -> bytes | None:
    """Read an object, or the bytes start..stop-1 of it; None if s3fs has to.

    Args:
        filesystem: s3fs's.
        options: with which it was made.
        path: bucket and key.
        start: first byte, and None for the whole object.
        stop: one past the last.

    Raises:
        FileNotFoundError: there is no such object.
        PermissionError: the store refuses it.
        OSError: the store says that something else is wrong; has `response`, as in botocore.
    """
    bucket, _, key = path.partition("/")
    is_left = _must_be_interruptible() or _forked.is_set() or (options, bucket) in _elsewhere
    store = None if is_left else _store(filesystem, options, bucket)
    if store is None or key != key.strip("/"):  # obstore would strip them
        return None
    try:
        if start is None or stop is None:
            return bytes(store.get(key).bytes())
        return bytes(store.get_range(key, start=start, end=stop))
    except ValueError:  # a name that obstore does not take
        return None
    except FileNotFoundError as error:
        raise FileNotFoundError(path) from error
    except _base_error() as error:
        answer = _ANSWER.search(str(error))
        if answer is None:  # s3fs says what it is
            return None
        if answer["code"] in _OTHER_REGION:
            _elsewhere.add((options, bucket))
            return None
        raise _as_botocore(answer, str(error)) from error


def forget() -> None:
    """Look for credentials and settings anew from now on."""
    _of_bucket.cache_clear()
    _settings.cache_clear()


def _must_be_interruptible() -> bool:
    return threading.current_thread() is threading.main_thread()


def _base_error() -> type[Exception]:
    from obstore.exceptions import BaseError

    return BaseError


def _as_botocore(answer: re.Match[str], text: str) -> OSError:
    """Say what the store answered; no more of it, as it repeats what was signed."""
    is_refused = "403 Forbidden" in text or "401 Unauthorized" in text
    message = html.unescape(answer["message"] or answer["code"])
    error = PermissionError(message) if is_refused else OSError(message)
    error.response = {"Error": {"Code": answer["code"]}}  # type: ignore[attr-defined]
    return error


def _store(filesystem: Any, options: Options, bucket: str) -> Any:
    with _making:  # the threads of a shard begin at once
        return _of_bucket(filesystem, options, bucket)


@functools.lru_cache(256)
def _of_bucket(filesystem: Any, options: Options, bucket: str) -> Any:
    settings = None if ":" in bucket else _settings(filesystem, options)  # that is an ARN
    if settings is None:
        return None
    from obstore.store import S3Store

    return S3Store(bucket, **settings)


@functools.lru_cache(64)
def _settings(filesystem: Any, options: Options) -> dict[str, Any] | None:
    """Give the settings of all buckets that are reached in one way; None if s3fs reaches them."""
    try:
        import botocore.session
        import obstore  # noqa: F401 - whether it is there
    except ImportError:
        return None
    session = botocore.session.Session(profile=dict(options).get("profile"))
    client = filesystem.connect()
    credentials = None if filesystem.anon else session.get_credentials()
    is_virtual = (client.meta.config.s3 or {}).get("addressing_style") == "virtual"
    if is_virtual or not (credentials or filesystem.anon):
        return None
    region = client.meta.region_name
    # s3fs makes five times as many attempts as botocore is told to.
    attempts = 5 * (session.get_config_variable("max_attempts") or 5)
    client_options = {"allow_http": True, **TIMEOUTS}
    if authorities := session.get_config_variable("ca_bundle"):
        client_options["root_certificate"] = Path(authorities).read_bytes()
    return {
        "aws_endpoint_url_s3": client.meta.endpoint_url,
        "region": "us-east-1" if region in (None, "aws-global") else region,
        "virtual_hosted_style_request": False,
        "skip_signature": filesystem.anon,
        "request_payer": filesystem.requester_pays,
        "credential_provider": _current(credentials) if credentials else None,
        "client_options": client_options,
        "retry_config": {"max_retries": attempts - 1},
    }


def _current(credentials: Any) -> Callable[[], dict[str, Any]]:
    """Give what obstore calls for credentials; obstore's own wants boto3, which s3fs pins away."""

    def current() -> dict[str, Any]:
        frozen = credentials.get_frozen_credentials()
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + _MAY_LAST,
        }

    return current
