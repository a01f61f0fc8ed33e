"""The command `status`: what of a run is done, at work, failed and left."""

import json as json_format
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from iem_batch.exec.journal import Driver, drivers
from iem_batch.job import Job
from iem_batch.run.folder import title
from iem_batch.run.marks import committed, read_failures, read_marks
from iem_batch.run.plan import read_plan
from iem_batch.steps.places import StartedStep, started_steps
from iem_batch.steps.registry import STEPS
from iem_batch.words import count

MAX_FAILURES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class StepStatus:
    """How far one step is."""

    step: str
    """Its title."""
    num_shards: int | None
    """None where it is not known before the steps it needs are done."""
    shards_done: int = 0
    shards_running: int = 0
    """In flight in commands that live, by their last sign of life."""
    failed: dict[int, str] = field(default_factory=dict)
    """Shard -> why the last command that tried could not do it."""
    ok: int = 0
    quarantined: int = 0
    images_per_second: float | None = None
    """While it was at work, without pauses; None with fewer than two commits."""
    seconds_left: float | None = None
    """At that rate; None if it is not known, or nobody is at work."""
    finished: float | None = None
    """When the last shard was committed, in seconds since 1970."""
    is_optional: bool = False
    """Whether it is done only when it is asked for."""
    drivers: list[dict[str, Any]] = field(default_factory=list)
    """The commands at work: host, pid, and seconds since their last sign of life."""

    @property
    def shards_left(self) -> int | None:
        """Shards that are not done, at work or failed or neither."""
        return None if self.num_shards is None else self.num_shards - self.shards_done

    @property
    def state(self) -> str:
        """One of not started, not asked for, running, partly done, failed, done."""
        if self.shards_done == self.num_shards:
            return "done"
        if self.drivers:
            return "running"
        if self.failed:
            return "failed"
        if self.shards_done:
            return "partly done"
        return "not asked for" if self.is_optional else "not started"


def status(job: Job, json: bool) -> None:
    """Print what is done and what is left."""
    steps = run_status(job)
    if json:
        print(status_json(steps))
        return
    Console().print(status_table(steps))
    for note in status_notes(steps):
        print(note)


def run_status(job: Job) -> list[StepStatus]:
    """Look at every step, started or not.

    Raises:
        StepMissingError: the run has not been planned.
    """
    plan = read_plan(job.run)
    started = list(started_steps(job))
    at_work = [driver for driver in drivers(job.run) if driver.alive]
    found = [_step_status(each, at_work) for each in started]
    if all(each.step.of_run for each in started):
        names = {each.title for each in started}
        found += [
            StepStatus(
                step=name,
                num_shards=plan.num_shards if step.of_plan else None,
                is_optional=step.is_optional,
            )
            for step in STEPS.values()
            if step.of_run
            for place in [job.place if step.per_round else job.run]
            if (name := title(job.run, place, step.name)) not in names
        ]
    return found


def _step_status(started: StartedStep, at_work: Sequence[Driver]) -> StepStatus:
    place, name, num_shards = started.place, started.step.name, started.record.num_shards
    done = committed(place, name) & set(range(num_shards))
    ok = quarantined = 0
    commits: list[tuple[float, int, float]] = []
    for mark in read_marks(place, name, sorted(done)):
        ok, quarantined = ok + mark.ok, quarantined + mark.quarantined
        commits.append((mark.finished, mark.planned, mark.seconds))
    ours = [driver for driver in at_work if driver.step == started.title]
    in_flight = {int(shard) for driver in ours for shard in driver.in_flight} - done
    rate = images_per_second(commits)
    seconds_left = None
    if ours and rate:
        seconds_left = (num_shards - len(done)) * (ok + quarantined) / len(commits) / rate
    return StepStatus(
        step=started.title,
        shards_done=len(done),
        num_shards=num_shards,
        shards_running=len(in_flight),
        failed={shard: failure.error for shard, failure in read_failures(place, name).items()},
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
    table.add_column("step", overflow="fold")  # that of a corpus elsewhere is as long as its path
    table.add_column("state", no_wrap=True)
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
            notes.append(f"{step.step}: {count(step.shards_running, 'shard')} in flight{about}")
        for shard, error in list(step.failed.items())[:MAX_FAILURES_SHOWN]:
            notes.append(f"{step.step}: shard {shard} failed: {error}")
        if len(step.failed) > MAX_FAILURES_SHOWN:
            notes.append(f"{step.step}: and {len(step.failed) - MAX_FAILURES_SHOWN:,} more")
    return notes


def status_json(steps: list[StepStatus]) -> str:
    """Write the status as a JSON list."""
    return json_format.dumps(
        [asdict(step) | {"shards_left": step.shards_left, "state": step.state} for step in steps],
        indent=1,
    )


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
