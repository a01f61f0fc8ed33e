"""The commands from masks to a corpus: topk, export."""

from dataclasses import replace

from iem_batch.commands.finish import finish
from iem_batch.commands.rounds import enter_round, require_round_before
from iem_batch.errors import RunMismatchError
from iem_batch.exec.step import Totals, outputs_digest
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.plan import Plan, read_plan


def topk(job: Job) -> None:
    """Select the images whose masks become labels, those of highest score."""
    from rich.console import Console

    from iem_batch.steps.topk.histogram import histogram_table
    from iem_batch.steps.topk.labels import labels_of
    from iem_batch.steps.topk.topk import read_selection, selection_depends_on, topk

    planned = read_plan(job.run)
    job.run.require(layout.SUCCESS, "segment")
    settings, decode = job.settings.select, job.settings.decode
    if job.run.earlier_round is None:
        if settings.rounds > 1:
            require_round_before(job)
        enter_round(job)
    labels = labels_of(job.run, settings.rounds, settings.masks)
    digest = outputs_digest(labels.run, labels.step, planned.num_shards)
    job.begin("selection", selection_depends_on(settings, digest, decode))
    selection = read_selection(job.run)
    if selection is None:
        with job.search() as search:
            selection = topk(job.run, planned.num_shards, settings, decode, search)
    Console().print(histogram_table(selection))
    score = "errors" if selection.by == "error" else "errors x agreement"
    cut = "" if selection.cut is None else f", {score} down to {selection.cut:.4f}"
    among = f"among {labels.run.url_of(labels.step)}"
    if selection.side is not None and settings.init_choice == "dataset":
        among = f"first mask of highest mean error {selection.side}"
    print(
        f"topk: {selection.num_selected:,} of {selection.num_images:,} images{cut}; "
        f"{selection.num_undefined:,} empty or full masks left out; {among} -> "
        f"{job.run.url_of(layout.TOPK)}"
    )
    for number, why in (
        (selection.num_outside, "for the area of their mask, or for being in no group"),
        (selection.num_near_duplicates, "for looking like an image of higher error"),
        (selection.num_gone, "because they can no longer be read"),
    ):
        if number:
            print(f"topk: {number:,} images left out {why}")


def export(job: Job) -> None:
    """Write the selected pairs as a corpus: RUN/corpus, or one for other tools elsewhere."""
    from iem_batch.steps.export.target import corpus_target, lost_pairs, num_turned

    planned = read_plan(job.run)
    job.run.require(layout.TOPK, "topk")
    target = corpus_target(job.run, job.settings.export)
    if target == job.run:
        total = _export_here(job, planned)
        finish(job.run, "corpus", total, planned)
        folder = job.run.url_of("corpus")
    else:
        total = _export_elsewhere(job, replace(job, run=target, overwrite=False), planned)
        folder = target.url
        print(f"export: {total.ok:,} pairs as {job.settings.export.format} -> {folder}")
        if not job.run.exists(layout.step_record("corpus")):
            print(
                f"export: SegNet is trained on {job.run.url}/corpus, which is not there yet; "
                "`iem-batch export` writes it if no export.* setting is given"
            )
    if turned := num_turned(target):
        print(
            f"export: {turned:,} of {total.ok:,} masks turned: what lies at their frame was called "
            "foreground"
        )
    if total.quarantined:
        first = lost_pairs(target)[0]
        print(
            f"export: {total.quarantined:,} selected images are not in {folder}; the first is "
            f"{first['image_id']}: {first['error_class']}, {first['message']}"
        )


def export_for_training(job: Job) -> None:
    """Write RUN/corpus, and also what the settings ask for if that is something else."""
    export_labels(job)
    if job.settings.export != job.settings.export.for_training:
        export(job)


def export_labels(job: Job) -> None:
    """Write RUN/corpus, or that of an earlier round, whatever else the settings ask for."""
    plain = job.settings.export.for_training
    export(replace(job, settings=replace(job.settings, export=plain)))


def _export_here(job: Job, planned: Plan) -> Totals:
    from iem_batch.steps.export.export import ExportStep, corpus_depends_on, num_corpus_files

    step = ExportStep(
        run=job.run,
        source_url=planned.source_url,
        decode=job.settings.decode,
        export=job.settings.export,
        memory_bytes=job.settings.shards.memory_bytes,
    )
    begun = job.begin(step.name, corpus_depends_on(step, job.run.read_bytes(layout.TOPK)))
    return job.run_shards(step, num_corpus_files(job.run, job.settings.export), begun)


def _export_elsewhere(job: Job, there: Job, planned: Plan) -> Totals:
    """Export to a folder of its own; the settings are stored there and not in the run.

    Args:
        job: at the run.
        there: at the folder.
        planned: the plan of the run.
    """
    from iem_batch.steps.export.export import ExportStep, corpus_depends_on
    from iem_batch.steps.export.files import corpus_files
    from iem_batch.steps.export.target import clear, finish_target, require_own

    settings = job.settings
    step = ExportStep(
        run=there.run,
        source_url=planned.source_url,
        decode=settings.decode,
        export=settings.export,
        memory_bytes=settings.shards.memory_bytes,
        origin=job.run,
    )
    depends = corpus_depends_on(step, job.run.read_bytes(layout.TOPK))
    require_own(there.run)
    try:
        begun = there.begin(step.name, depends)
    except RunMismatchError:
        if not job.overwrite:
            raise
        clear(there.run)
        begun = there.begin(step.name, depends)
    files = corpus_files(job.run, settings.export)
    total = there.run_shards(step, len(files), begun)
    splits = list(dict.fromkeys(file.split for file in files))
    finish_target(there.run, settings.export, splits)
    return total
