"""The commands from masks to a corpus: topk, export."""

from iem_batch.commands.finish import finish
from iem_batch.data import run_folder
from iem_batch.data.plan import read_plan
from iem_batch.job import Job
from iem_batch.stages.shards import outputs_digest


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
        memory_bytes=job.settings.shards.memory_bytes,
    )
    begun = job.begin(step.name, corpus_depends_on(step, job.run.read_bytes(run_folder.TOPK)))
    num_selected = len(job.run.read_table(run_folder.TOPK, columns=["rank"]))
    num_files = num_corpus_files(num_selected, job.settings.export)
    finish(job.run, step.name, job.run_shards(step, num_files, begun), planned)
