"""The command `plan`: which images make which shard."""

from contextlib import suppress
from dataclasses import asdict
from functools import partial

from iem_batch.errors import RunMismatchError
from iem_batch.exec.journal import Journal, drivers
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.comparison import GONE_TABLE
from iem_batch.run.deletion import delete_own
from iem_batch.run.differences import changes
from iem_batch.run.extend import extend_plan, find_change
from iem_batch.run.manifest import manifest_files
from iem_batch.run.marker import Kind, adopt, kind_of, require_apart
from iem_batch.run.plan import Plan, read_plan, require_same_settings, write_plan
from iem_batch.run.settings import names_in
from iem_batch.sources import Source, open_source
from iem_batch.sources.names import Names
from iem_batch.sources.protocol import without_format
from iem_batch.steps.do import drop, grow
from iem_batch.tools.move import move
from iem_batch.words import count


def plan(
    job: Job,
    source: str,
    estimate: bool = False,
    extend: bool = False,
    moved_to: str | None = None,
) -> None:
    """List the source and write the plan, or check that the run has just this one.

    Args:
        job: the job.
        source: where the images are.
        estimate: whether to time a sample of them.
        extend: whether to plan what the source has besides.
        moved_to: where the images of the plan lie now, if they have moved.
    """
    if moved_to is not None:
        move(job, source, moved_to)
        return
    if job.overwrite and kind_of(job.run) == "run" and job.run.exists(layout.PLAN):
        drop(job, "segment")
        manifest = manifest_files(job.run.read_json(layout.PLAN)["num_shards"])
        delete_own(job.run, layout.PLAN)  # first: without it there is no plan
        delete_own(job.run, GONE_TABLE, *manifest)
    is_new = not job.run.exists(layout.PLAN)
    planned = ensure_plan(job, source, "run", extend=extend)
    if not is_new:
        _say(job, planned, " (the run has this plan already)")
    job.store_settings()
    if estimate:
        _estimate(job.with_engine(), planned)


def ensure_plan(
    job: Job, source: str, kind: Kind, *, extend: bool = False, as_planned: bool = False
) -> Plan:
    """Plan a folder, or check that its plan is of this source as it is now.

    Args:
        job: the job.
        source: where the images are.
        kind: what the folder is to be.
        extend: whether to plan what the source has besides.
        as_planned: whether a source that has changed is no matter.

    Raises:
        RunMismatchError: the source has changed, or other settings were planned with; nothing is
            written.
    """
    settings = job.settings.plan
    web, keep = job.settings.web, names_in(settings.keep)
    opened = open_source(source, web, Names(settings.include, settings.exclude), keep)
    require_apart(job.run, without_format(opened.url))
    adopt(job.run, kind)
    if not job.run.exists(layout.PLAN):
        return _new_plan(job, opened)
    require_same_settings(job.run, opened, settings)
    opened = open_source(read_plan(job.run).source_url, web, keep=keep)  # knows of moves
    if extend:
        planned, change = extend_plan(job.run, opened)
        grow(job, planned.num_shards)
        if change is not None:
            print(f"plan: {change}; {count(planned.num_shards, 'shard')} now")
        return planned
    change = None if as_planned else find_change(job.run, opened)
    if change is not None:
        raise RunMismatchError(
            f"{without_format(opened.url)} has changed since {job.run.url} was planned: {change}. "
            "--extend adds what is new, --as-planned leaves it"
        )
    return read_plan(job.run)


def _new_plan(job: Job, source: Source) -> Plan:
    with Journal(job.run, job.run, "plan", in_process=False):
        _claim(job, source)
        try:
            if job.run.exists(layout.PLAN):  # of a command that began at the same moment
                require_same_settings(job.run, source, job.settings.plan)
                return read_plan(job.run)
            planned = write_plan(job.run, source, job.settings.plan)
        finally:
            delete_own(job.run, layout.PLANNING)
    _say(job, planned)
    return planned


def _claim(job: Job, source: Source) -> None:
    """Begin to plan, but not while another command plans the same folder with other settings.

    The journal is written before, so the claim of a command that is alive is told from one that a
    kill has left.
    """
    mine = {"source": source.url, **asdict(job.settings.plan)}
    found = None
    while found is None:
        job.run.create_json(layout.PLANNING, mine)
        with suppress(FileNotFoundError):  # another has just ended
            found = job.run.read_json(layout.PLANNING)
    if not (changed := changes(found, mine)):
        return
    for driver in drivers(job.run):
        if driver.alive and not driver.is_this_process:
            differences = (
                f"{key}: {old!r} there, {new!r} here" for key, (old, new) in changed.items()
            )
            raise RunMismatchError(
                f"process {driver.pid} on {driver.host} is planning {job.run.url} at this moment "
                f"with other settings ({', '.join(differences)}); use a new run folder"
            )
    job.run.write_json(layout.PLANNING, mine)


def _say(job: Job, planned: Plan, besides: str = "") -> None:
    summary, *further = plan_lines(planned)
    print(f"plan: {summary} -> {job.run.url_of(layout.PLAN)}{besides}")
    for line in further:
        print(f"plan: {line}")


def _estimate(job: Job, planned: Plan) -> None:
    from iem_batch.steps.segment.estimate import (
        Estimate,
        estimate_lines,
        time_sample,
        write_estimate,
    )
    from iem_batch.steps.segment.step import build

    room, cluster = job.executor.room(), job.settings.cluster
    sample = partial(time_sample, build(job), planned.num_shards, room.num_threads)
    estimate = Estimate(
        num_images=planned.num_images,
        sample=job.executor.call_beside_engine(sample),
        backend=job.settings.segment.backend,
        cpus_per_gpu=room.cpus_per_gpu,
        num_workers=room.num_workers,
        worker_price_per_hour=cluster.worker_price_per_hour,
        head_price_per_hour=cluster.head_price_per_hour,
    )
    write_estimate(job.run, estimate)
    for line in estimate_lines(estimate):
        print(f"estimate: {line}")


def plan_lines(planned: Plan) -> list[str]:
    """Say what is planned, what of it is estimated, and what was not understood."""
    images = count(planned.num_images, "image")
    if not planned.is_exact:
        images = f"about {images}, estimated from the beginnings of archives"
    size = f"{planned.num_bytes / 1e6:,.1f} MB"
    if not planned.is_exact_bytes:
        size = f"about {size}" if planned.num_bytes else "size known when they are read"
    lines = [f"{images} ({size}) in {count(planned.num_shards, 'shard')}"]
    if planned.num_repeats:
        lines.append(
            f"{count(planned.num_repeats, 'image')} with the id of an earlier one, to be "
            "quarantined as duplicate"
        )
    if planned.num_gone:
        lines.append(
            f"{count(planned.num_gone, 'image')} gone from the source, with rows that stay"
        )
    if planned.num_unreadable:
        examples = ", ".join(planned.unreadable_examples)
        lines.append(f"{count(planned.num_unreadable, 'file')} cannot be read, such as {examples}")
    if planned.num_ignored:
        examples = ", ".join(planned.ignored_examples)
        lines.append(f"{count(planned.num_ignored, 'other file')}, not taken, such as {examples}")
    return lines
