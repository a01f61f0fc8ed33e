"""The step `train`: SegNet on the exported pairs."""

import json
import sys
from dataclasses import asdict, replace
from functools import partial

from iem_batch.errors import StepMissingError
from iem_batch.exec.step import ShardOutput, WholeStep
from iem_batch.job import Job
from iem_batch.progress import EpochLines
from iem_batch.run import schema
from iem_batch.run.deletion import delete_own
from iem_batch.run.marks import Summary, require_summary
from iem_batch.segnet.collapse import Collapse, Side
from iem_batch.segnet.order import num_epochs
from iem_batch.segnet.stopping import patience_for
from iem_batch.segnet.training import EpochRecord
from iem_batch.segnet.weights import save_weights
from iem_batch.steps.hooks import tell
from iem_batch.steps.topk.selection import Selection
from iem_batch.steps.train import layout
from iem_batch.steps.train.curves import event_file
from iem_batch.steps.train.pair_files import find_held_back, find_pairs
from iem_batch.steps.train.record import model_record
from iem_batch.steps.train.verdict import Learned, more_labels, verdict
from iem_batch.steps.train.work import TrainWork


def build(job: Job) -> WholeStep:
    """Make the step of a job.

    Raises:
        StepMissingError: there is no corpus, or another selection than it was made of.
        SettingsError: SegNet cannot learn from the corpus.
    """
    exported, selected = require_summary(job.place, "export"), require_summary(job.place, "topk")
    if exported.planned != selected.ok:
        raise StepMissingError(
            f"{job.place.url_of('export')} has {exported.planned} of the {selected.ok} selected "
            "pairs; run `iem-batch export` again"
        )
    decides = asdict(job.settings.train)
    for changes_no_bit in ("checkpoint_every_epochs", "cache_mb"):
        del decides[changes_no_bit]
    depends = {
        "segnet": asdict(job.settings.segnet),
        "train": decides,
        "corpus": exported.outputs_digest,
    }
    files = find_pairs(job.place, exported)
    num_held_back = exported.ok - files.num_pairs
    epochs = num_epochs(job.settings.train, files.num_pairs)
    patience = patience_for(job.settings.train.patience, num_held_back)
    work = TrainWork(
        place=job.place,
        key=schema.checksum(json.dumps(depends, sort_keys=True).encode())[:16],
        segnet=job.settings.segnet,
        settings=replace(job.settings.train, epochs=epochs, patience=patience),
        files=files,
        held_back=find_held_back(files, exported),
    )
    num_images, all_labels = more_labels(Selection(**selected.facts), job.settings.topk)
    learned = Learned(
        num_labels=exported.ok,
        num_held_back=num_held_back,
        agreement=None,
        all_labels=all_labels,
        num_images=num_images,
    )
    return WholeStep(
        name="train",
        run=job.run,
        place=job.place,
        depends_on=depends,
        compute=partial(_train, job, work, learned),
    )


def _train(job: Job, work: TrainWork, learned: Learned) -> ShardOutput:
    assert work.settings.epochs != "auto"
    total = work.settings.epochs
    lines = EpochLines(total)

    def show(record: EpochRecord | Collapse) -> None:
        line = epoch_line(record, total)
        if isinstance(record, Collapse) or record.collapsed_to is not None:
            print(line, file=sys.stderr, flush=True)
        else:
            lines.show(record.epoch, record.seconds, line)
        if isinstance(record, EpochRecord):
            tell(job, "train/epoch", {"run": job.run.url} | asdict(record))

    if job.executor.name == "ray":
        from iem_batch.steps.train.on_ray import train_on_ray

        training = train_on_ray(work, show, job.executor, job.settings.cluster.device)
    else:
        from iem_batch.steps.train.local import train_here

        training = train_here(work, show)
    history = [asdict(record) for record in training.history]
    of_result = training.result_epoch
    record = model_record(job, work.files.num_pairs, of_result)
    learned = replace(learned, agreement=of_result.val_iou)
    return ShardOutput(
        shard=0,
        tables={
            layout.HISTORY: (json.dumps(history, indent=1) + "\n").encode(),
            layout.CURVES: event_file(training.history),
            layout.WEIGHTS: save_weights(training.result, record),
        },
        planned=work.files.num_pairs,
        ok=work.files.num_pairs,
        quarantined=0,
        facts={
            "key": work.key,
            "epochs": len(history),
            "result": asdict(of_result),
            "learned": asdict(learned),
            "verdict": verdict(learned),
        },
    )


def finish(job: Job, built: WholeStep, summary: Summary) -> None:
    """Say what came out; the checkpoint is needed no more."""
    delete_own(built.place, layout.checkpoint(summary.facts["key"]))
    epochs, result = summary.facts["epochs"], EpochRecord(**summary.facts["result"])
    best = "" if result.epoch == epochs else f", of which {result.epoch} is the best"
    print(
        f"train: {epochs} epochs{best}, loss {result.loss:.4f}, IoU with the labels "
        f"{100 * result.iou:.1f} % -> {built.place.url_of(layout.WEIGHTS)}"
    )
    print(f"train: {summary.facts['verdict']}")


def epoch_line(record: EpochRecord | Collapse, total: int) -> str:
    """Put an epoch into a line for a person, with a warning if the network has collapsed."""
    if isinstance(record, Collapse):
        return f"train: epoch {record.epoch}/{total}, step {record.step}; {_warning(record.side)}"
    line = (
        f"train: epoch {record.epoch}/{total}, loss {record.loss:.4f}, "
        f"IoU with the labels {record.iou:.3f}, "
    )
    if record.val_iou is not None:
        line += f"held-back loss {record.val_loss:.4f}, IoU {record.val_iou:.3f}, "
    line += f"{record.seconds:.1f} s"
    if record.collapsed_to is None:
        return line
    return f"{line}; {_warning(record.collapsed_to)}"


def _warning(side: Side) -> str:
    return (
        f"WARNING: nearly every pixel is predicted {side}. If this stays so, lower "
        "train.learning_rate, and see whether the masks agree on which side is foreground"
    )
