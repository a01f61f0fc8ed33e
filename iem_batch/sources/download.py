"""Reading URLs of web servers with several threads: tries, waits, and hosts that are given up."""

import random
import time
from collections import defaultdict
from dataclasses import dataclass

from iem_batch.storage.read_ahead import REQUESTS
from iem_batch.storage.settings import WebSettings
from iem_batch.storage.web import WebError, WebFile

PAUSE_S = 0.5
"""Before the second attempt; doubled before each further one, and drawn from half to one and a half
of that, so that workers do not come back at once."""

MAX_SILENT = 2 * REQUESTS
"""A host that has left so many tries in a row without an answer is not asked again."""


@dataclass
class _Host:
    """What is known of a host."""

    num_silent: int = 0
    """Tries without an answer since the last one with."""
    free_at: float = 0.0
    """When it wants to be asked again, by `time.monotonic`."""


class Downloader:
    """Reads images by their URLs; its threads share what they learn of the hosts.

    Args:
        settings: how servers are asked.
    """

    def __init__(self, settings: WebSettings) -> None:
        self._settings = settings
        self._hosts: defaultdict[str, _Host] = defaultdict(_Host)

    def read(self, url: str) -> bytes:
        """Read a URL, trying several times if need be.

        Raises:
            FileNotFoundError: there is nothing.
            TooLargeError: it has more bytes than an image may have.
            OptedOutError: its owner does not want it to be used.
            WebError: the server refuses, is busy for too long, or does not answer.
        """
        host = self._hosts[url.split("/")[2]]
        deadline = time.monotonic() + self._settings.timeout_s
        error: WebError | None = None
        for attempt in range(self._settings.max_attempts):
            if host.num_silent >= MAX_SILENT:
                raise error or WebError(f"its host has not answered {host.num_silent} tries")
            if not _wait(host, attempt, deadline):
                break
            try:
                data = WebFile(url, self._settings).read_image(deadline - time.monotonic())
            except WebError as raised:
                error = raised
                _note(host, error)
                if not error.may_pass:
                    break
            except Exception:
                host.num_silent = 0
                raise
            else:
                host.num_silent = 0
                return data
        raise error or WebError("its host is busy and wants to be asked later", 429)


def _wait(host: _Host, attempt: int, deadline: float) -> bool:
    """Wait as long as the host wants, and before another attempt; tell whether there is time."""
    pause_s = PAUSE_S * 2 ** (attempt - 1) * random.uniform(0.5, 1.5) if attempt else 0.0
    start = max(time.monotonic() + pause_s, host.free_at)
    if start >= deadline:
        return False
    time.sleep(max(0.0, start - time.monotonic()))
    return True


def _note(host: _Host, error: WebError) -> None:
    host.num_silent = host.num_silent + 1 if error.status is None else 0
    if error.wait_s is not None:
        host.free_at = time.monotonic() + error.wait_s
