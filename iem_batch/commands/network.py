"""The commands of the network: train, predict, refine."""

import sys
from typing import TYPE_CHECKING

from iem_batch.commands.finish import finish
from iem_batch.data import run_folder
from iem_batch.data.plan import Plan, read_plan
from iem_batch.job import Job
from iem_batch.shards.journal import Journal
from iem_batch.shards.step import outputs_digest

if TYPE_CHECKING:
    from iem_batch.segnet.collapse import Collapse
    from iem_batch.segnet.training import EpochRecord


def train(job: Job) -> None:
    """Train SegNet on the corpus."""
    from iem_batch.segnet.order import num_epochs
    from iem_batch.stages.pairs.files import find_pairs
    from iem_batch.stages.train import epoch_line, segnet_depends_on, train_local

    segnet, settings = job.settings.segnet, job.settings.train
    job.run.require(run_folder.step_record("corpus"), "export")
    total = num_epochs(settings, find_pairs(job.run).num_pairs)
    job.begin("segnet", segnet_depends_on(job.run, segnet, settings))

    def show(record: "EpochRecord | Collapse") -> None:
        print(epoch_line(record, total), file=sys.stderr, flush=True)

    with Journal(job.run, "segnet", in_process=False):
        if job.local:
            history = train_local(job.run, segnet, settings, show)
        else:
            with job.ray():
                from iem_batch.distributed.train import train_ray

                device = job.settings.cluster.device
                history = train_ray(job.run, segnet, settings, show, device)
    last = history[-1]
    print(
        f"train: {last.epoch} epochs, loss {last.loss:.4f}, IoU with the labels "
        f"{100 * last.iou:.1f} % -> {job.run.url_of(run_folder.WEIGHTS)}"
    )


def predict(job: Job) -> None:
    """Predict SegNet's mask for every image."""
    planned = read_plan(job.run)
    job.run.require(run_folder.WEIGHTS, "train")
    with job.engine_settled() as settled:
        _predict(settled, planned)


def _predict(job: Job, planned: Plan) -> None:
    from iem_batch.segnet.weights import load_weights
    from iem_batch.stages.predict import PredictStep, predictions_depend_on

    settings = job.settings
    step = PredictStep(
        run=job.run,
        source_url=planned.source_url,
        decode=settings.decode,
        iem=settings.iem,
        backend=settings.segment.backend,
        memory_bytes=settings.shards.memory_bytes,
        segnet=settings.segnet,
        threshold=settings.predict.threshold,
        keeps_probability=settings.predict.probability,
    )
    weights = job.run.read_bytes(run_folder.WEIGHTS)
    load_weights(weights, settings.segnet)  # fails before anything is dropped or claimed
    begun = job.begin(step.name, predictions_depend_on(step, planned.digest, weights))
    total = job.run_shards(step, planned.num_shards, begun)
    print(f"predict: foreground is where the probability is above {step.threshold}")
    finish(job.run, step.name, total, planned)


def refine(job: Job) -> None:
    """Run IEM again, started from SegNet's masks."""
    planned = read_plan(job.run)
    job.run.require(run_folder.step_record("predictions"), "predict")
    with job.engine_settled() as settled:
        _refine(settled, planned)


def _refine(job: Job, planned: Plan) -> None:
    from iem_batch.stages.refine import RefineStep, refined_depend_on

    step = RefineStep(
        run=job.run,
        source_url=planned.source_url,
        decode=job.settings.decode,
        iem=job.settings.iem,
        backend=job.settings.segment.backend,
        memory_bytes=job.settings.shards.memory_bytes,
    )
    digest = outputs_digest(job.run, "predictions", planned.num_shards)
    begun = job.begin(step.name, refined_depend_on(step, digest))
    total = job.run_shards(step, planned.num_shards, begun)
    finish(job.run, step.name, total, planned)
