"""Waits that are said within a moment, and whoever does something once they are."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from iem_batch import waiting

DEADLINE_S = 120.0


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are said after half a second; what other tests have said does not count."""
    monkeypatch.setattr(waiting, "FIRST_S", 0.5)
    monkeypatch.setattr(waiting, "_LOOK_S", 0.05)
    monkeypatch.setattr(waiting, "_said", {})


@contextmanager
def once_said(kind: str, act: Callable[[], object]) -> Iterator[None]:
    """Act, in another thread than the block, when a wait of a kind has been said in the block."""
    waiting._said.clear()
    said = threading.Event()

    def look() -> None:
        deadline = time.monotonic() + DEADLINE_S
        while time.monotonic() < deadline and kind not in waiting._said:
            time.sleep(0.05)
        if kind in waiting._said:
            said.set()
        act()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    assert said.is_set(), "nothing was said"
