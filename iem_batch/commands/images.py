"""The commands from images to masks: plan, segment."""

import os
from functools import partial
from typing import TYPE_CHECKING

from iem_batch.exec.step import Totals
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.card import write_card
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import Plan, read_plan, require_same_settings, write_plan
from iem_batch.sources import open_source

if TYPE_CHECKING:
    from iem_batch.steps.segment.step import SegmentStep


def plan(job: Job, source: str, estimate: bool = False) -> None:
    """List the source and write the plan, or check that the run has just this one.

    Args:
        job: the job.
        source: where the images are.
        estimate: whether to time a sample of them.
    """
    if job.overwrite:
        job.drop("masks")
        job.run.delete(layout.PLAN)
    done_before = " (the run has this plan already)" if job.run.exists(layout.PLAN) else ""
    planned = write_plan(job.run, open_source(source), job.settings.plan)
    job.store_settings()
    summary, *further = plan_lines(planned)
    print(f"plan: {summary} -> {job.run.url_of(layout.PLAN)}{done_before}")
    for line in further:
        print(f"plan: {line}")
    if estimate:
        with job.engine_settled() as settled:
            _estimate(settled, planned)


def _estimate(job: Job, planned: Plan) -> None:
    from iem_batch.tools.estimate import Estimate, estimate_lines, time_sample, write_estimate

    num_workers, cpus_per_gpu = job.room_for_engines()
    num_threads = (os.cpu_count() or 1) if job.local else 1
    step = _segment_step(job, planned)
    cluster = job.settings.cluster
    estimate = Estimate(
        num_images=planned.num_images,
        sample=job.beside_engine(partial(time_sample, step, planned.num_shards, num_threads)),
        backend=job.settings.segment.backend,
        cpus_per_gpu=cpus_per_gpu,
        num_workers=num_workers,
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


def segment(job: Job, source: str) -> None:
    """Run IEM on every image; plans the run first if that has not been done."""
    if job.run.exists(layout.PLAN):
        # The plan is not listed again: that takes long, and a resumed run works on what it planned.
        require_same_settings(job.run, open_source(source), job.settings.plan)
    else:
        plan(job, source)
    planned = read_plan(job.run)
    with job.engine_settled() as settled:
        _segment(settled, planned)


def _segment(job: Job, planned: Plan) -> None:
    from iem_batch.steps.segment.step import masks_depend_on

    step = _segment_step(job, planned)
    begun = job.begin(step.name, masks_depend_on(step, planned))
    _finish_masks(job.run, planned, job.run_shards(step, planned.num_shards, begun))


def _segment_step(job: Job, planned: Plan) -> "SegmentStep":
    from iem_batch.steps.segment.step import SegmentStep

    return SegmentStep(
        run=job.run,
        source_url=planned.source_url,
        decode=job.settings.decode,
        iem=job.settings.iem,
        segment=job.settings.segment,
        memory_bytes=job.settings.shards.memory_bytes,
    )


def _finish_masks(run: RunFolder, planned: Plan, total: Totals) -> None:
    """Check that no image is lost, and only then mark the masks as complete."""
    from iem_batch.tools.estimate import compare_with_truth, read_estimate

    assert total.planned == total.ok + total.quarantined, total
    assert not planned.is_exact or total.planned == planned.num_images, total
    write_card(run, total.ok, total.quarantined)
    run.write_bytes(layout.SUCCESS, b"")
    print(f"segment: {total.ok:,} images with masks -> {run.url_of('masks')}")
    if total.quarantined:
        print(f"segment: {total.quarantined:,} images not usable -> {run.url_of('quarantine')}")
    if (estimate := read_estimate(run)) is not None:
        marks = run.each_mark("masks", range(planned.num_shards))
        print(f"segment: {compare_with_truth(estimate, marks)}")
