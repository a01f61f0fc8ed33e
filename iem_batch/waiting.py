"""Saying on standard error what a command waits for, so that no wait is silent."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FIRST_S = 10.0
"""A wait is said after so many seconds."""

AGAIN_S = 60.0
"""Then as often as this."""

_LOOK_S = 1.0


@dataclass(eq=False)
class Wait:
    """A wait that goes on."""

    missing: Callable[[], str | None]
    kind: str
    began: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.began

    def heard(self) -> None:
        """Begin anew: what was waited for has come, and the next is waited for."""
        self.began = time.monotonic()


_waits: set[Wait] = set()
_said: dict[str, float] = {}
_starting = threading.Lock()
_watch: threading.Thread | None = None


@contextmanager
def waiting(missing: Callable[[], str | None], kind: str) -> Iterator[Wait]:
    """Say what is waited for while the block takes: after 10 s, and then every minute.

    Args:
        missing: says what is missing, and how much of it there is, behind "waiting for"; None if
            nothing is. Called in a thread of its own.
        kind: waits of a kind are said once for all, by the one that takes longest.
    """
    wait = Wait(missing, kind)
    _waits.add(wait)
    _begin_to_watch()
    try:
        yield wait
    finally:
        _waits.discard(wait)


def _begin_to_watch() -> None:
    """Start the thread that looks after all waits; a forked process has none yet."""
    global _watch
    if _watch is not None and _watch.is_alive():
        return
    with _starting:
        if _watch is None or not _watch.is_alive():
            _watch = threading.Thread(target=_look_on, name="waiting", daemon=True)
            _watch.start()


def _look_on() -> None:
    while True:
        time.sleep(_LOOK_S)
        for wait in sorted(_waits.copy(), key=lambda each: each.began):
            now = time.monotonic()
            if wait.seconds >= FIRST_S and now - _said.get(wait.kind, -AGAIN_S) >= AGAIN_S:
                _say(wait, now)


def _say(wait: Wait, now: float) -> None:
    try:
        missing = wait.missing()
    except Exception:  # noqa: BLE001 - the cluster it asks may be gone, which its own wait reports
        return
    if missing is not None:
        line = f"waiting for {missing} ({wait.seconds:.0f} s so far)"
        print(line, file=sys.stderr, flush=True)
        _said[wait.kind] = now
