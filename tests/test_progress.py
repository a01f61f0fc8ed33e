import io
import sys
from typing import NamedTuple

import pytest
from rich.console import Console

from iem_batch import progress
from iem_batch.progress import EpochLines, ShardProgress, shard_progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that have gone by, in a list of one."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


class Mark(NamedTuple):
    ok: int
    quarantined: int = 0


def test_counts(clock: list[float]) -> None:
    """Catches a rate that counts shards of an earlier call, and a time left that forgets them."""
    counter = ShardProgress("masks", num_done=4, num_shards=10)
    assert counter.counts == "0 ok"
    clock[0] = 2.0
    counter.done(Mark(90, quarantined=10))
    assert counter.counts == "50 images/s, 90 ok, 10 quarantined, 0:00:10 left"
    counter.failed(7)
    assert counter.counts == ("50 images/s, 90 ok, 10 quarantined, 1 shard failed, 0:00:08 left")


def test_the_rate_is_that_of_the_last_minutes(clock: list[float]) -> None:
    """Catches an estimate that takes hours to notice twice the nodes."""
    counter = ShardProgress("masks", num_done=0, num_shards=1000)
    for _ in range(10):
        clock[0] += 100
        counter.done(Mark(100))
    for _ in range(400):
        clock[0] += 1
        counter.done(Mark(100))
    assert counter.images_per_second == pytest.approx(100, rel=0.01)


def test_lines_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    """Catches a log of a line for each of ten thousand shards, and one without the end."""
    with shard_progress("masks", 0, 100) as counter:
        for _ in range(100):
            clock[0] += 0.25
            counter.done(Mark(2))
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "masks: 40/100 shards, 8 images/s, 80 ok, 0:00:15 left",
        "masks: 80/100 shards, 8 images/s, 160 ok, 0:00:05 left",
        "masks: 100/100 shards, 8 images/s, 200 ok",
    ]


def test_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    console = Console(stderr=True, force_terminal=True, width=120, legacy_windows=False)
    monkeypatch.setattr(progress, "Console", lambda **_: console)
    with shard_progress("masks", 0, 2) as counter:
        counter.done(Mark(5, quarantined=1))
        counter.done(Mark(6))
    assert "2/2" in stream.getvalue()
    assert "11 ok, 1 quarantined" in stream.getvalue()


def test_epochs_are_told_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    """75 epochs of 2 s: the first, one each 10 s, and the last; 2 s for each that is left."""
    lines = EpochLines(75)
    for epoch in range(1, 76):
        clock[0] += 2.0
        lines.show(epoch, 2.0, f"epoch {epoch}")
    shown = capsys.readouterr().err.splitlines()
    assert shown[:2] == ["epoch 1, 0:02:28 left", "epoch 6, 0:02:18 left"]
    assert shown[-2:] == ["epoch 71, 0:00:08 left", "epoch 75"]
    assert len(shown) == 16


def test_a_training_that_goes_on_counts_from_there(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = EpochLines(12)
    clock[0] = 30.0
    lines.show(10, 30.0, "epoch 10")
    assert capsys.readouterr().err == "epoch 10, 0:01:00 left\n"
