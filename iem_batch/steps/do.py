"""Doing a step: claim it, do what is left of it, add it up, and say what came out."""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib import import_module
from typing import Any

from iem_batch.errors import (
    NoImagesError,
    RunMismatchError,
    SettingsError,
    StepMissingError,
)
from iem_batch.exec.journal import Journal
from iem_batch.exec.step import ShardStep, WholeStep, Work, commit
from iem_batch.job import Job
from iem_batch.progress import shard_progress
from iem_batch.run import layout
from iem_batch.run.deletion import delete_own, delete_summary, drop_step
from iem_batch.run.differences import changes
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marks import (
    Mark,
    StepRecord,
    Summary,
    add_up,
    claim,
    committed,
    read_mark,
    read_record,
    read_summary,
    write_record,
    write_summary,
)
from iem_batch.run.schema import VERSION
from iem_batch.run.versions import code_versions
from iem_batch.steps.card import write_card
from iem_batch.steps.hooks import tell
from iem_batch.steps.places import rounds, started_steps, wrong_order
from iem_batch.steps.registry import STEPS, Step
from iem_batch.words import count

Built = ShardStep[Any] | WholeStep


def do(job: Job, name: str) -> None:
    """Do a step, or what is left of it.

    Raises:
        StepMissingError: what it needs is not there.
        RunMismatchError: it was begun with other settings and may not be overwritten.
        ShardsFailedError: shards failed; everything else is committed.
        NoImagesError: all is done, and not one image could be used.
    """
    step = STEPS[name]
    if step.uses_engine:
        job = job.with_engine()
    module = import_module(f"iem_batch.steps.{name}.step")
    try:
        built: Built = module.build(job)
    except StepMissingError as error:
        if error.step not in STEPS:
            raise
        raise StepMissingError(wrong_order(job, name, error.step), error.step) from error
    if step.is_made_anew:
        assert isinstance(built, WholeStep)
        summary: Summary | None = _make_anew(job, built)
    else:
        summary = _resume(job, step, built)
    if summary is not None:
        if step.rows and step.of_run:
            write_card(job)
        module.finish(job, built, summary)
        _require_images(built, summary)


def _require_images(built: Built, summary: Summary) -> None:
    """End with an error if every image of a step was rejected: it is the source, or a setting."""
    if summary.ok or not summary.quarantined:
        return
    classes: Counter[str] = Counter()
    for shard in range(built.num_shards):
        mark = read_mark(built.place, built.name, shard)
        classes.update(row["error_class"] for row in mark.facts.get("rejected", []))
        for name in mark.files:
            if f"{layout.QUARANTINE}/" in name:
                classes.update(built.place.read_table(name)["error_class"].to_pylist())
    why = ", ".join(f"{count:,} {name}" for name, count in classes.most_common())
    raise NoImagesError(
        f"{built.name}: not one of {summary.quarantined:,} images could be used"
        + (f": {why}" if why else "")
    )


def _resume(job: Job, step: Step, built: Built) -> Summary | None:
    """Do what is left of a step; returns its sums if nothing is left then."""
    record = _claim(job, step, built)
    name = title(built.run, built.place, step.name)
    done = committed(built.place, step.name) & set(range(built.num_shards))
    every = range(built.num_shards)
    if job.shards is not None and job.shards.start >= built.num_shards:
        given = f"{job.shards.start}:{job.shards.stop}"
        raise SettingsError(f"--shards is {given}; {name} has the shards 0:{built.num_shards}")
    todo = [shard for shard in job.shards or every if shard in every and shard not in done]
    if todo and done:
        print(f"{name}: {len(done):,} of {count(built.num_shards, 'shard')} were done before")
    if todo and isinstance(built, WholeStep):
        with Journal(built.run, built.place, step.name, in_process=False):
            _compute(built, record)
    elif todo and not isinstance(built, WholeStep):
        work = Work(step=built, settings_digest=record.digest, limits=job.settings.limits)
        with shard_progress(name, len(done), built.num_shards) as progress:
            job.executor.run(work, todo, progress)
    elif (summary := read_summary(built.place, step.name)) is not None:
        return summary
    left = len(set(range(built.num_shards)) - committed(built.place, step.name))
    if left:
        print(f"{name}: {left:,} of {count(built.num_shards, 'shard')} are left for other commands")
        return None
    return _complete(job, built, record)


def _complete(job: Job, built: Built, record: StepRecord) -> Summary:
    """Add up a step whose shards are all done, and write the files about the whole."""
    shards = range(built.num_shards)
    summary = add_up(built.place, built.name, shards, built.summarize, record.digest)
    summary = replace(summary, files=built.complete(summary))
    write_summary(built.place, built.name, summary)
    facts = {"run": job.run.url} | asdict(replace(summary, files={}))
    tell(job, title(job.run, built.place, built.name), facts)
    return summary


def _compute(built: WholeStep, record: StepRecord) -> Mark:
    started = time.monotonic()
    output = built.compute()
    seconds = time.monotonic() - started
    return commit(built, output, seconds, settings_digest=record.digest)


def _make_anew(job: Job, built: WholeStep) -> Summary:
    """Do a step anew; the output before is deleted when the new one is written."""
    before: dict[str, str] = {}
    if 0 in committed(built.place, built.name):
        before = read_mark(built.place, built.name, 0).files
    record = _record(built)
    mark = _compute(built, record)
    write_record(built.place, built.name, record)
    delete_own(built.place, *(before.keys() - mark.files.keys()))
    return _complete(job, built, record)


def _record(built: Built) -> StepRecord:
    settings = built.depends_on | {"schema": VERSION}
    return StepRecord(num_shards=built.num_shards, settings=settings, versions=code_versions())


def _claim(job: Job, step: Step, built: Built) -> StepRecord:
    """Claim a step, or check that it is resumed with the same settings; then store these.

    They are not stored where later steps have been started: one of those may refuse them, and then
    the next command on the run would be refused too, though it gives no setting.
    """
    before = read_record(built.place, step.name)
    if before is not None and before.is_dropped:
        drop(job, step.name, built.place)
    record = _record(built)
    if before is not None and _has_grown(before, record):
        _grow(job, step, built.place, record.num_shards)
    try:
        record = claim(built.place, step.name, record, job.accept_versions)
    except RunMismatchError:
        if not job.overwrite:
            raise
        drop(job, step.name, built.place)
        record = claim(built.place, step.name, record)
    may_refuse = (later for _, later in made_of(job, step.name) if not later.is_made_anew)
    if built.place in (job.run, job.place) and next(may_refuse, None) is None:
        job.store_settings()
    return record


def _has_grown(before: StepRecord, now: StepRecord) -> bool:
    return before.num_shards < now.num_shards and not changes(before.settings, now.settings)


def grow(job: Job, num_shards: int) -> None:
    """Take the shards of an extended plan into the steps over them; none is whole any more.

    A step that this does not reach, because the process is killed, takes them in when it is done
    again.
    """
    for started in started_steps(job):
        is_behind = started.record.num_shards < num_shards and not started.record.is_dropped
        if started.step.of_plan and is_behind:
            _grow(started.job, started.step, started.place, num_shards)


def _grow(job: Job, step: Step, place: RunFolder, num_shards: int) -> None:
    """Take the shards of an extended plan into a step; say what was made without them."""
    before = read_record(place, step.name)
    assert before is not None
    delete_summary(place, step.name)  # first: the step is not whole any more
    write_record(place, step.name, replace(before, num_shards=num_shards))
    stale = [
        title(job.run, there, later.name)
        for there, later in made_of(job, step.name)
        if not later.of_plan and not later.is_made_anew
    ]
    if stale:
        print(
            f"{step.name}: {count(num_shards - before.num_shards, 'new shard')}; "
            f"{', '.join(reversed(stale))} were made without them and stay as they are until "
            "`iem-batch topk --overwrite`"
        )


def made_of(job: Job, name: str) -> Iterator[tuple[RunFolder, Step]]:
    """Find the steps that were made of the output of a step, with their places, the last first."""
    step = STEPS[name]
    job = job if step.per_round else job.in_round(1)
    later = [each.place for each in rounds(job) if each.round > job.round]
    order = [each for each in STEPS.values() if each.of_run]
    after = order[order.index(step) + 1 :] if step.of_run else []
    of_round = [each for each in reversed(order) if each.per_round]
    found = [(place, each) for place in reversed(later) for each in of_round]
    found += [(job.place if each.per_round else job.run, each) for each in reversed(after)]
    return ((place, each) for place, each in found if read_record(place, each.name) is not None)


def drop(job: Job, name: str, place: RunFolder | None = None) -> None:
    """Delete what a step has written and, where it lies in the run, the steps made of that.

    Args:
        job: at the run.
        name: of the step.
        place: where it lies; None is its place in the run.

    Raises:
        RunMismatchError: another command is at work on the run.
    """
    step = STEPS[name]
    job.require_alone()
    own = job.place if step.per_round else job.run
    if place not in (None, own):
        drop_step(place, name)
        return
    later = list(made_of(job, name))
    for there, each in later:
        _drop(there, each)
    places = {there.url for there, _ in later} - {job.run.url}
    job.run.delete_empty_folders(url.removeprefix(f"{job.run.url}/") for url in places)
    _drop(own, step)


def _drop(place: RunFolder, step: Step) -> None:
    record = read_record(place, step.name)
    shards = {None, *range(0 if record is None else record.num_shards)}
    names = [f"{folder}/{name}" for folder in step.scratch for name in place.names(folder)]
    kept = [name for name in names if layout.is_scratch(name, shards)]
    drop_step(place, step.name, [*kept, *step.drafts], step.parts)
    place.delete_empty_folders(step.scratch)
