"""Showing how far a step is: a bar in a terminal, plain lines elsewhere, as in `ray job logs`."""

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from iem_batch.words import count

SECONDS_BETWEEN_LINES = 10.0

RATE_OVER_S = 300.0
"""The rate is that of the last minutes: nodes come and go."""


class Counts(Protocol):
    """The counts of a finished shard, as its commit mark has them."""

    @property
    def ok(self) -> int:
        """Images with a result."""

    @property
    def quarantined(self) -> int:
        """Images that were rejected."""


class ShardProgress:
    """Counts what is done."""

    def __init__(self, step: str, num_done: int, num_shards: int) -> None:
        """Start counting; the rate is that of this call, not of the shards done before."""
        self._step = step
        self.num_done, self.num_shards = num_done, num_shards
        self.num_ok = self.num_quarantined = self.num_failed = 0
        self._history = deque([(time.monotonic(), 0, num_done)])

    def done(self, mark: Counts) -> None:
        """Count one finished shard."""
        self.num_done += 1
        self.num_ok += mark.ok
        self.num_quarantined += mark.quarantined
        now = time.monotonic()
        self._history.append((now, self.num_ok + self.num_quarantined, self.num_done))
        while len(self._history) > 2 and now - self._history[1][0] > RATE_OVER_S:
            self._history.popleft()
        self.show()

    def failed(self, shard: int) -> None:
        """Count a shard that is not tried again."""
        self.num_failed += 1
        self.show()

    @property
    def images_per_second(self) -> float | None:
        """Over the last minutes; None before the first shard is done."""
        (began, images_before, _), (now, images, _) = self._history[0], self._history[-1]
        return (images - images_before) / (now - began) if now > began else None

    @property
    def seconds_left(self) -> float | None:
        """At the rate of the last minutes; None before the first shard is done."""
        (began, _, done_before), (now, _, done) = self._history[0], self._history[-1]
        if done == done_before:
            return None
        left = self.num_shards - self.num_done - self.num_failed
        return left * (now - began) / (done - done_before)

    @property
    def counts(self) -> str:
        """What is done and how fast, for a person."""
        rate = self.images_per_second
        parts = ["" if rate is None else f"{rate:,.0f} images/s", f"{self.num_ok:,} ok"]
        parts.append(f"{self.num_quarantined:,} quarantined" if self.num_quarantined else "")
        parts.append(f"{count(self.num_failed, 'shard')} failed" if self.num_failed else "")
        left = self.seconds_left
        parts.append(f"{timedelta(seconds=round(left))} left" if left else "")
        return ", ".join(filter(None, parts))

    def show(self) -> None:
        """Show the counts."""


class _Lines(ShardProgress):
    """Prints a line now and then, and at the end."""

    def __init__(self, step: str, num_done: int, num_shards: int, stream: TextIO) -> None:
        super().__init__(step, num_done, num_shards)
        self._stream = stream
        self._last_line = time.monotonic()

    def show(self) -> None:
        now = time.monotonic()
        finished = self.num_done + self.num_failed == self.num_shards
        if now - self._last_line < SECONDS_BETWEEN_LINES and not finished:
            return
        self._last_line = now
        line = f"{self._step}: {self.num_done:,}/{count(self.num_shards, 'shard')}, {self.counts}"
        print(line, file=self._stream, flush=True)


class _Bar(ShardProgress):
    """Draws a bar."""

    def __init__(self, step: str, num_done: int, num_shards: int, bar: Progress) -> None:
        super().__init__(step, num_done, num_shards)
        self._bar = bar
        self._task = bar.add_task(step, total=num_shards, completed=num_done, counts="")

    def show(self) -> None:
        self._bar.update(self._task, completed=self.num_done, counts=self.counts)


class EpochLines:
    """Prints how a training goes: a line now and then with the time left, and the last one."""

    def __init__(self, total: int) -> None:
        """Begin the clock.

        Args:
            total: epochs at most.
        """
        self._total = total
        self._first: tuple[int, float] | None = None
        self._last_line = -SECONDS_BETWEEN_LINES

    def show(self, epoch: int, seconds: float, line: str) -> None:
        """Print the line of an epoch, unless one was printed just before.

        Args:
            epoch: it, counted from 1.
            seconds: how long it took.
            line: what it came to.
        """
        now = time.monotonic()
        first, began = self._first = self._first or (epoch, now - seconds)
        left = (self._total - epoch) * (now - began) / (epoch - first + 1)
        if now - self._last_line < SECONDS_BETWEEN_LINES and epoch < self._total:
            return
        self._last_line = now
        time_left = f", {timedelta(seconds=round(left))} left" if left else ""
        print(f"{line}{time_left}", file=sys.stderr, flush=True)


@contextmanager
def shard_progress(step: str, num_done: int, num_shards: int) -> Iterator[ShardProgress]:
    """Show the progress of a step for the time of the block, on standard error.

    Args:
        step: name of the step.
        num_done: shards that were done before.
        num_shards: all shards of the step.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(step, num_done, num_shards, sys.stderr)
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("shards, {task.fields[counts]}"),
    ]
    with Progress(*columns, console=console) as bar:
        yield _Bar(step, num_done, num_shards, bar)
