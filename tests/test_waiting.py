"""Waits are said once for all of a kind, and not before they are long."""

import os
import threading
import time

import pytest

from iem_batch import waiting as module
from iem_batch.waiting import Wait, waiting
from tests.waits import hurried, once_said

__all__ = ["hurried"]

pytestmark = pytest.mark.usefixtures("hurried")


def test_the_longest_of_a_kind_is_said_for_all(capsys: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()
    with (
        waiting(lambda: "bread: 0 of 2 are there", "food"),
        waiting(lambda: "butter", "food"),
        waiting(lambda: None, "drink"),
        once_said("food", done.set),
    ):
        assert done.wait(60)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(" (")[0] for line in lines] == ["waiting for bread: 0 of 2 are there"]


def test_who_hears_something_begins_to_wait_anew() -> None:
    wait = Wait(lambda: "news", "news")
    wait.began -= 1000
    assert wait.seconds >= 1000
    wait.heard()
    assert wait.seconds < 1000


def test_what_cannot_be_told_ends_nobodys_watch(capsys: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()
    with (
        waiting(lambda: 1 / 0, "numbers"),  # type: ignore[arg-type,return-value]
        waiting(lambda: "letters", "letters"),
        once_said("letters", done.set),
    ):
        assert done.wait(60)
    assert capsys.readouterr().err.startswith("waiting for letters (")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked on Unix alone")
def test_a_forked_process_watches_for_itself(capfd: pytest.CaptureFixture[str]) -> None:
    with waiting(lambda: None, "parent"):
        pid = os.fork()
        if pid == 0:
            with waiting(lambda: "the child", "child"):
                while "child" not in module._said:
                    time.sleep(0.05)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    assert "waiting for the child" in capfd.readouterr().err
