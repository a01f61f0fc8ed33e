"""Showing how far a step is: a bar in a terminal, plain lines anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shard_progress(step: str, num_done: int, num_shards: int) -> Iterator["ShardProgress"]:
    """Show the progress of a step for the time of the block, on standard error.

    Args:
        step: name of the step.
        num_done: shards that were done before.
        num_shards: all shards of the step.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ShardProgress(step, num_done, num_shards)
        return
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("shards, {task.fields[rate]}, left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(step, total=num_shards, completed=num_done, rate="")
        yield ShardProgress(step, num_done, num_shards, bar=bar, task=task)


class ShardProgress:
    """Counts what is done; called with the commit mark of each finished shard."""

    def __init__(
        self, step: str, num_done: int, num_shards: int, bar: Progress | None = None, task: Any = 0
    ) -> None:
        """Start counting; the rate is that of this call, not of the shards done before."""
        self._step, self._num_done, self._num_shards = step, num_done, num_shards
        self._bar, self._task = bar, task
        self._started = self._last_line = time.monotonic()
        self._num_images = self._num_quarantined = 0

    def __call__(self, mark: dict[str, Any]) -> None:
        """Count one finished shard."""
        self._num_done += 1
        self._num_images += mark["planned"]
        self._num_quarantined += mark["quarantined"]
        now = time.monotonic()
        rate = f"{self._num_images / max(now - self._started, 1e-9):,.0f} images/s"
        if self._num_quarantined:
            rate += f", {self._num_quarantined:,} quarantined"
        if self._bar is not None:
            self._bar.update(self._task, completed=self._num_done, rate=rate)
        elif now - self._last_line > SECONDS_BETWEEN_LINES or self._num_done == self._num_shards:
            self._last_line = now
            line = f"{self._step}: {self._num_done}/{self._num_shards} shards, {rate}"
            print(line, file=sys.stderr, flush=True)
