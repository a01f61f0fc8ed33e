"""The command from masks of the engine's size to masks of the photos' size: upscale."""

from iem_batch.commands.finish import finish
from iem_batch.data import run_folder
from iem_batch.data.plan import read_plan
from iem_batch.job import Job
from iem_batch.shards.step import outputs_digest
from iem_batch.stages.selection.choose import dataset_side

_MADE_BY = {"masks": "segment", "predictions": "predict", "refined": "refine"}


def upscale(job: Job) -> None:
    """Bring masks to the size of their photos."""
    planned = read_plan(job.run)
    source = job.settings.upscale.masks
    job.run.require(run_folder.step_record(source), _MADE_BY[source])
    from iem_batch.stages.native_size.upscale import UpscaleStep, upscaled_depend_on

    settings, num_shards = job.settings, planned.num_shards
    digest = outputs_digest(job.run, settings.upscale.masks, num_shards)
    step = UpscaleStep(
        run=job.run,
        source_url=planned.source_url,
        decode=settings.decode,
        memory_bytes=settings.shards.memory_bytes,
        upscale=settings.upscale,
        init_choice=settings.select.init_choice,
        init_side=dataset_side(job.run.each_mark("masks", range(num_shards))),
    )
    begun = job.begin(step.name, upscaled_depend_on(step, digest))
    total = job.run_shards(step, num_shards, begun)
    finish(job.run, step.name, total, planned)
