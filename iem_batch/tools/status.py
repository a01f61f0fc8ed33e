"""What is done, at work, failed and left of a run, from the files that tell of it."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from iem_batch.exec.journal import Driver, drivers, failures
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import read_plan
from iem_batch.steps.export.export import num_corpus_files
from iem_batch.steps.export.settings import ExportSettings

MAX_FAILURES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class StepStatus:
    """How far one step is."""

    step: str
    """Its title, see `RunFolder.title`."""
    shards_done: int
    num_shards: int | None
    """None where it is not known before the steps it needs are done."""
    shards_running: int
    """In flight in commands that live, by their last sign of life."""
    failed: dict[int, str]
    """Shard -> why the last command that tried could not do it."""
    ok: int
    quarantined: int
    images_per_second: float | None
    """While it was at work, without pauses; None with fewer than two commits."""
    seconds_left: float | None
    """At that rate; None if it is not known, or nobody is at work."""
    finished: float | None
    """When the last shard was committed, in seconds since 1970."""
    drivers: list[dict[str, Any]] = field(default_factory=list)
    """The commands at work: host, pid, and seconds since their last sign of life."""

    @property
    def shards_left(self) -> int | None:
        """Shards that are not done, at work or failed or neither."""
        return None if self.num_shards is None else self.num_shards - self.shards_done

    @property
    def state(self) -> str:
        """One of not started, running, partly done, failed, done."""
        if self.shards_done == self.num_shards:
            return "done"
        if self.drivers:
            return "running"
        if self.failed:
            return "failed"
        return "partly done" if self.shards_done else "not started"


def run_status(run: RunFolder, export: ExportSettings) -> list[StepStatus]:
    """Look at every step that goes over shards.

    Args:
        run: a planned run.
        export: how the corpus is cut into files.

    Raises:
        StepMissingError: the run has not been planned.
    """
    num_shards = read_plan(run).num_shards
    steps: list[tuple[RunFolder, str, int | None]] = [(run, "masks", num_shards)]
    for place in (*run.earlier_rounds(), run):
        is_last = place.earlier_round is None
        num_files = None
        if place.exists(layout.TOPK):
            num_files = num_corpus_files(place, export)
        steps += [(place, "corpus", num_files), (place, "predictions", num_shards)]
        if is_last or place.exists(layout.step_record("refined")):
            steps.append((place, "refined", num_shards))
    if run.exists(layout.step_record("upscaled")):
        steps.append((run, "upscaled", num_shards))
    at_work = [driver for driver in drivers(run) if driver.alive]
    return [_step_status(place, step, count, at_work) for place, step, count in steps]


def _step_status(
    run: RunFolder, step: str, num_shards: int | None, at_work: Sequence[Driver]
) -> StepStatus:
    ok = quarantined = 0
    commits: list[tuple[float, int, float]] = []
    committed = run.committed(step)
    for mark in run.each_mark(step, sorted(committed)):
        ok, quarantined = ok + mark["ok"], quarantined + mark["quarantined"]
        commits.append((mark["finished"], mark["planned"], mark["seconds"]))
    ours = [driver for driver in at_work if driver.step == run.title(step)]
    in_flight = {int(shard) for driver in ours for shard in driver.in_flight} - committed
    rate = images_per_second(commits)
    left = None if num_shards is None else num_shards - len(commits)
    seconds_left = None
    if ours and left is not None and rate:
        seconds_left = left * (ok + quarantined) / len(commits) / rate
    return StepStatus(
        step=run.title(step),
        shards_done=len(commits),
        num_shards=num_shards,
        shards_running=len(in_flight),
        failed={shard: account["error"] for shard, account in failures(run, step).items()},
        ok=ok,
        quarantined=quarantined,
        images_per_second=rate,
        seconds_left=seconds_left,
        finished=max((finished for finished, _, _ in commits), default=None),
        drivers=[
            {"host": d.host, "pid": d.pid, "silent_s": round(max(0.0, time.time() - d.seen), 1)}
            for d in ours
        ],
    )


def images_per_second(commits: Sequence[tuple[float, int, float]]) -> float | None:
    """Estimate the rate from when shards were committed.

    A gap between two commits that is longer than any shard took is a pause, or a jump of a clock;
    it counts as long as the longest shard. The clock of work itself cannot jump: a shard's seconds
    are measured by one that only goes forward.

    Args:
        commits: for each shard when it was committed, in seconds since 1970, its images, and the
            seconds it took.

    Returns:
        Images per second; None if nothing can be said.
    """
    in_order = sorted(commits)
    longest = max((seconds for _, _, seconds in commits), default=0.0)
    total = sum(
        min(later[0] - earlier[0], longest)
        for earlier, later in zip(in_order, in_order[1:], strict=False)
    )
    num_images = sum(images for _, images, _ in in_order[1:])
    return num_images / total if total > 0 else None


def status_table(steps: list[StepStatus]) -> Table:
    """Lay out the status for a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("step", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("shards", "ok", "quarantined", "images/s", "last (UTC)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in steps:
        finished = (
            ""
            if step.finished is None
            else f"{datetime.fromtimestamp(step.finished, UTC):%m-%d %H:%M}"
        )
        table.add_row(
            step.step,
            step.state,
            f"{step.shards_done:,} / {'?' if step.num_shards is None else f'{step.num_shards:,}'}",
            f"{step.ok:,}",
            f"{step.quarantined:,}",
            "" if step.images_per_second is None else f"{step.images_per_second:,.0f}",
            finished,
        )
    return table


def status_notes(steps: list[StepStatus]) -> list[str]:
    """Say in lines who is at work, how long it will take, and what has failed."""
    notes = []
    for step in steps:
        for driver in step.drivers:
            notes.append(
                f"{step.step}: process {driver['pid']} on {driver['host']} is at work, last sign "
                f"{driver['silent_s']:.0f} s ago"
            )
        if step.drivers:
            time_left = step.seconds_left
            about = "" if time_left is None else f", about {_duration(time_left)} to go"
            notes.append(f"{step.step}: {step.shards_running:,} shards in flight{about}")
        for shard, error in list(step.failed.items())[:MAX_FAILURES_SHOWN]:
            notes.append(f"{step.step}: shard {shard} failed: {error}")
        if len(step.failed) > MAX_FAILURES_SHOWN:
            notes.append(f"{step.step}: and {len(step.failed) - MAX_FAILURES_SHOWN:,} more")
    return notes


def status_json(steps: list[StepStatus]) -> str:
    """Write the status as a JSON list."""
    return json.dumps(
        [asdict(step) | {"shards_left": step.shards_left, "state": step.state} for step in steps],
        indent=1,
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
