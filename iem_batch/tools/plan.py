"""The command `plan`: which images make which shard."""

from functools import partial

from iem_batch.errors import RunMismatchError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.deletion import delete_own
from iem_batch.run.extend import GONE_TABLE, extend_plan, find_change
from iem_batch.run.manifest import manifest_files
from iem_batch.run.marker import Kind, adopt, require_apart
from iem_batch.run.plan import Plan, read_plan, require_same_settings, write_plan
from iem_batch.run.settings import names_in
from iem_batch.sources import Source, open_source
from iem_batch.sources.names import Names
from iem_batch.sources.protocol import without_format
from iem_batch.steps.do import drop, grow
from iem_batch.words import count


def plan(job: Job, source: str, estimate: bool = False, extend: bool = False) -> None:
    """List the source and write the plan, or check that the run has just this one.

    Args:
        job: the job.
        source: where the images are.
        estimate: whether to time a sample of them.
        extend: whether to plan what the source has besides.
    """
    if job.overwrite and job.run.exists(layout.PLAN):
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
    names = Names(settings.include, settings.exclude)
    opened = open_source(source, job.settings.web, names, names_in(settings.keep))
    if not job.run.exists(layout.PLAN):
        return _new_plan(job, opened, kind)
    require_same_settings(job.run, opened, settings)
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


def _new_plan(job: Job, source: Source, kind: Kind) -> Plan:
    require_apart(job.run, without_format(source.url))
    adopt(job.run, kind)
    planned = write_plan(job.run, source, job.settings.plan)
    _say(job, planned)
    return planned


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
