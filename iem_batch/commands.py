"""What each command of `iem-batch` does: one step, and a line that says what came out where."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from iem_batch.data import run_folder
from iem_batch.data.card import write_card
from iem_batch.data.plan import Plan, read_plan, require_same_settings, write_plan
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.sources import open_source
from iem_batch.errors import SettingsError
from iem_batch.job import Job
from iem_batch.stages.shards import outputs_digest

if TYPE_CHECKING:
    from iem_batch.segnet.training import EpochRecord


def plan(job: Job, source: str) -> None:
    """List the source and write the plan, or check that the run has just this one."""
    if job.overwrite:
        job.run.drop_step("masks")
        job.run.delete(run_folder.PLAN)
    done_before = " (the run has this plan already)" if job.run.exists(run_folder.PLAN) else ""
    planned = write_plan(job.run, open_source(source), job.settings.plan)
    job.store_settings()
    print(
        f"plan: {planned.num_images:,} images ({planned.num_bytes / 1e6:,.1f} MB) in "
        f"{planned.num_shards:,} shards -> {job.run.url}/{run_folder.PLAN}{done_before}"
    )
    if planned.num_ignored:
        examples = ", ".join(planned.ignored_examples)
        print(f"plan: {planned.num_ignored:,} other files are not images, such as {examples}")


def segment(job: Job, source: str) -> None:
    """Run IEM on every image; plans the run first if that has not been done."""
    from iem_batch.stages.segment import SegmentStep, masks_depend_on

    if job.run.exists(run_folder.PLAN):
        # The plan is not listed again: that takes long, and a resumed run works on what it planned.
        require_same_settings(job.run, open_source(source), job.settings.plan)
    else:
        plan(job, source)
    planned = read_plan(job.run)
    step = SegmentStep(
        run=job.run,
        source_url=planned.source_url,
        decode=job.settings.decode,
        iem=job.settings.iem,
        segment=job.settings.segment,
    )
    job.begin(step.name, masks_depend_on(step, planned))
    job.run_shards(step, planned.num_shards)
    _finish_masks(job.run, planned)


def topk(job: Job) -> None:
    """Select the masks of highest inpainting error."""
    from iem_batch.stages.topk import selection_depends_on, topk

    planned = read_plan(job.run)
    job.run.require(run_folder.SUCCESS, "segment")
    masks_digest = outputs_digest(job.run, "masks", planned.num_shards)
    job.begin("selection", selection_depends_on(job.settings.select, masks_digest))
    selection = topk(job.run, planned.num_shards, job.settings.select)
    cut = "" if selection.cut is None else f", errors down to {selection.cut:.4f}"
    print(
        f"topk: {selection.num_selected:,} of {selection.num_images:,} images{cut}; "
        f"{selection.num_undefined:,} empty or full masks left out; first mask of highest mean "
        f"error {selection.side} -> {job.run.url}/{run_folder.TOPK}"
    )


def export(job: Job) -> None:
    """Write the selected pairs as a corpus."""
    from iem_batch.stages.export import ExportStep, corpus_depends_on, num_corpus_files

    planned = read_plan(job.run)
    job.run.require(run_folder.TOPK, "topk")
    step = ExportStep(
        run=job.run,
        source_url=planned.source_url,
        decode=job.settings.decode,
        export=job.settings.export,
    )
    job.begin(step.name, corpus_depends_on(step, job.run.read_bytes(run_folder.TOPK)))
    num_selected = len(job.run.read_table(run_folder.TOPK, columns=["rank"]))
    num_files = num_corpus_files(num_selected, job.settings.export)
    job.run_shards(step, num_files)
    _finish(job.run, step.name, num_files, planned)


def train(job: Job) -> None:
    """Train SegNet on the corpus."""
    from iem_batch.stages.train import epoch_line, segnet_depends_on, train_local

    segnet, settings = job.settings.segnet, job.settings.train
    job.run.require(run_folder.step_record("corpus"), "export")
    job.begin("segnet", segnet_depends_on(job.run, segnet, settings))

    def show(record: "EpochRecord") -> None:
        print(epoch_line(record, settings.epochs), file=sys.stderr, flush=True)

    if job.local:
        history = train_local(job.run, segnet, settings, show)
    else:
        with job.ray():
            from iem_batch.distributed.train import train_ray

            history = train_ray(job.run, segnet, settings, show)
    last = history[-1]
    print(
        f"train: {last.epoch} epochs, loss {last.loss:.4f}, IoU with the labels "
        f"{100 * last.iou:.1f} % -> {job.run.url}/{run_folder.WEIGHTS}"
    )


def predict(job: Job) -> None:
    """Predict SegNet's mask for every image."""
    from iem_batch.stages.predict import (
        PredictStep,
        predictions_depend_on,
        resolve_threshold,
    )

    planned = read_plan(job.run)
    job.run.require(run_folder.WEIGHTS, "train")
    settings = job.settings
    backend = settings.segment.backend
    step = PredictStep(
        run=job.run,
        source_url=planned.source_url,
        decode=settings.decode,
        iem=settings.iem,
        backend=backend,
        threshold=resolve_threshold(job.run, settings.predict, settings.iem, backend),
    )
    weights = job.run.read_bytes(run_folder.WEIGHTS)
    job.begin(step.name, predictions_depend_on(step, planned.digest, weights))
    job.run_shards(step, planned.num_shards)
    print(f"predict: foreground is where the probability is above {step.threshold}")
    _finish(job.run, step.name, planned.num_shards, planned)


def refine(job: Job) -> None:
    """Run IEM again, started from SegNet's masks."""
    from iem_batch.stages.refine import RefineStep, refined_depend_on

    planned = read_plan(job.run)
    job.run.require(run_folder.step_record("predictions"), "predict")
    step = RefineStep(
        run=job.run,
        source_url=planned.source_url,
        decode=job.settings.decode,
        iem=job.settings.iem,
        backend=job.settings.segment.backend,
    )
    digest = outputs_digest(job.run, "predictions", planned.num_shards)
    job.begin(step.name, refined_depend_on(step, digest))
    job.run_shards(step, planned.num_shards)
    _finish(job.run, step.name, planned.num_shards, planned)


def evaluate(job: Job, truth: str | None, ignore: str | None) -> None:
    """Measure all masks against ground truth."""
    from rich.console import Console

    from iem_batch.stages.evaluate import evaluate, rich_table
    from iem_batch.stages.truth import MaskFolder

    if truth is None:
        raise SettingsError("evaluate needs --truth DIR, a folder of masks named like the images")
    decode = job.settings.decode
    evaluation = evaluate(
        job.run,
        MaskFolder(truth, decode),
        MaskFolder(ignore, decode) if ignore is not None else None,
        job.settings.select.init_choice,
    )
    Console().print(rich_table(evaluation))
    print(f"evaluate: -> {job.run.url}/{run_folder.EVALUATION}")


def report(job: Job) -> None:
    """Write one HTML page about the run."""
    from iem_batch.stages.report import write_report

    settings = job.settings
    write_report(job.run, settings.decode, settings.select.init_choice, settings.report)
    print(f"report: -> {job.run.url}/{run_folder.REPORT}")


def status(job: Job, json: bool) -> None:
    """Print what is done and what is left."""
    from rich.console import Console

    from iem_batch.stages.status import run_status, status_json, status_table

    steps = run_status(job.run, job.settings.export)
    if json:
        print(status_json(steps))
    else:
        Console().print(status_table(steps))


def demo(job: Job) -> None:
    """Make pictures whose masks are known, and do all steps on them."""
    from iem_batch.stages.demo import make_composites

    if not job.run.is_local:
        raise SettingsError(f"the demo writes its pictures to a local folder, not to {job.run.url}")
    made = make_composites(Path(job.run.url) / "demo", job.settings.demo)
    print(
        f"demo: {made.num_composites:,} composites with ground truth, {made.num_photographs} "
        f"photographs and {made.num_broken} broken files -> {made.photos}"
    )
    run(job, str(made.photos), str(made.truth), None)


def doctor() -> None:
    """Print what this machine can run, and why not."""
    from iem_batch.stages.doctor import examine

    for finding in examine():
        print(f"{'ok ' if finding.ok else 'no '} {finding.name}: {finding.detail}")


def run(job: Job, source: str, truth: str | None, ignore: str | None) -> None:
    """Do all steps, from images to report, and print the time each took."""
    steps: dict[str, Callable[[], None]] = {
        "segment": lambda: segment(job, source),
        "topk": lambda: topk(job),
        "export": lambda: export(job),
        "train": lambda: train(job),
        "predict": lambda: predict(job),
        "refine": lambda: refine(job),
        "report": lambda: report(job),
    }
    if truth is not None:
        report_last = steps.pop("report")
        steps |= {"evaluate": lambda: evaluate(job, truth, ignore), "report": report_last}
    seconds = {}
    with job.ray():
        for name, step in steps.items():
            started = time.monotonic()
            step()
            seconds[name] = time.monotonic() - started
    print("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


def _finish_masks(run: RunFolder, planned: Plan) -> None:
    """Check that no image is lost, and only then mark the masks as complete."""
    marks = run.marks("masks", range(planned.num_shards))
    total = {key: sum(mark[key] for mark in marks) for key in ("planned", "ok", "quarantined")}
    assert total["planned"] == planned.num_images == total["ok"] + total["quarantined"], total
    write_card(run, total["ok"], total["quarantined"])
    run.write_bytes(run_folder.SUCCESS, b"")
    print(f"segment: {total['ok']:,} images with masks -> {run.url}/masks")
    if total["quarantined"]:
        print(f"segment: {total['quarantined']:,} images not usable -> {run.url}/quarantine")


def _finish(run: RunFolder, step: str, num_shards: int, planned: Plan) -> None:
    """Say what a later step has done, and add its folder to the run's card."""
    marks = run.marks(step, range(num_shards))
    num_ok = sum(mark["ok"] for mark in marks)
    masks = run.marks("masks", range(planned.num_shards))
    write_card(run, sum(m["ok"] for m in masks), sum(m["quarantined"] for m in masks))
    print(f"{step}: {num_ok:,} rows -> {run.url}/{step}")
    lost = sum(mark["quarantined"] for mark in marks) - sum(m["quarantined"] for m in masks)
    if lost > 0 and step != "corpus":
        print(f"{step}: {lost:,} images had a mask but can no longer be read")
