"""The command `plan`: which images make which shard."""

from functools import partial

from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.deletion import delete_own
from iem_batch.run.marker import Kind, adopt, require_apart
from iem_batch.run.plan import Plan, require_same_settings, write_plan
from iem_batch.sources import open_source
from iem_batch.sources.protocol import without_format
from iem_batch.steps.do import drop


def plan(job: Job, source: str, estimate: bool = False) -> None:
    """List the source and write the plan, or check that the run has just this one.

    Args:
        job: the job.
        source: where the images are.
        estimate: whether to time a sample of them.
    """
    if job.overwrite and job.run.exists(layout.PLAN):
        drop(job, "segment")
        delete_own(job.run, layout.PLAN)
    done_before = " (the run has this plan already)" if job.run.exists(layout.PLAN) else ""
    planned = _planned(job, source, "run")
    job.store_settings()
    summary, *further = plan_lines(planned)
    print(f"plan: {summary} -> {job.run.url_of(layout.PLAN)}{done_before}")
    for line in further:
        print(f"plan: {line}")
    if estimate:
        _estimate(job.with_engine(), planned)


def ensure_plan(job: Job, source: str, kind: Kind) -> None:
    """Plan a folder, or check that it was planned from this source with these settings."""
    if job.run.exists(layout.PLAN):
        # The source is not listed again: that takes long, and a resumed run works on its plan.
        require_same_settings(job.run, open_source(source), job.settings.plan)
    elif kind == "run":
        plan(job, source)
    else:
        for line in plan_lines(_planned(job, source, kind)):
            print(f"plan: {line}")


def _planned(job: Job, source: str, kind: Kind) -> Plan:
    opened = open_source(source)
    require_apart(job.run, without_format(opened.url))
    adopt(job.run, kind)
    return write_plan(job.run, opened, job.settings.plan)


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
    images = f"{planned.num_images:,} images"
    if not planned.is_exact:
        images = f"about {images}, estimated from the beginnings of archives"
    size = f"{planned.num_bytes / 1e6:,.1f} MB"
    if not planned.is_exact_bytes:
        size = f"about {size}" if planned.num_bytes else "size known when they are read"
    lines = [f"{images} ({size}) in {planned.num_shards:,} shards"]
    if planned.num_repeats:
        lines.append(
            f"{planned.num_repeats:,} of them have the id of an earlier image and go to "
            "quarantine as duplicate"
        )
    if planned.num_unreadable:
        examples = ", ".join(planned.unreadable_examples)
        lines.append(f"{planned.num_unreadable:,} files cannot be read, such as {examples}")
    if planned.num_ignored:
        examples = ", ".join(planned.ignored_examples)
        lines.append(f"{planned.num_ignored:,} other files are not images, such as {examples}")
    return lines
