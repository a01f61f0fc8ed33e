"""The step `train`: SegNet on the exported pairs, here in this process.

`iem_batch.steps.train.on_ray` does the same with several workers; both leave the same files.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch

import iem_batch
from iem_batch.errors import StepMissingError
from iem_batch.exec.step import outputs_digest
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.collapse import Collapse, Side
from iem_batch.segnet.order import num_epochs
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord, Training, begin_training, train_epoch
from iem_batch.segnet.weights import save_weights
from iem_batch.steps.train.curves import write_curves
from iem_batch.steps.train.pair_files import find_pairs
from iem_batch.steps.train.pair_stream import open_stream

TRAIN_FOLDER = layout.TRAIN
"""Where an unfinished training keeps its checkpoints; gone when it has finished."""

EpochProgress = Callable[[EpochRecord | Collapse], None]
"""Called with the record of each epoch when it is done, and with a collapse before that."""


def segnet_depends_on(
    run: RunFolder, segnet: SegNetSettings, settings: TrainSettings
) -> dict[str, Any]:
    """List what segnet/ depends on, for `RunFolder.begin_step`.

    Raises:
        StepMissingError: the corpus is not complete.
    """
    marks = run.marks("corpus", sorted(run.committed("corpus")))
    num_exported = sum(mark["planned"] for mark in marks)
    run.require(layout.TOPK, "topk")
    num_selected = len(run.read_table(layout.TOPK, columns=["rank"]))
    if num_exported != num_selected:
        raise StepMissingError(
            f"{run.url_of('corpus')} has {num_exported} of the {num_selected} selected pairs; "
            "run `iem-batch export` on it first"
        )
    decides = asdict(settings)
    for changes_no_bit in ("checkpoint_every_epochs", "cache_mb"):
        del decides[changes_no_bit]
    return {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "segnet": asdict(segnet),
        "train": decides,
        "corpus": outputs_digest(run, "corpus", len(marks)),
    }


def training_key(depends_on: dict[str, Any]) -> str:
    """Name a training by what it depends on, so that no other resumes from its checkpoints."""
    return schema.checksum(json.dumps(depends_on, sort_keys=True).encode())[:16]


def train_local(
    run: RunFolder, segnet: SegNetSettings, settings: TrainSettings, progress: EpochProgress
) -> list[EpochRecord]:
    """Train in this process, whatever `num_workers` is, and write segnet/.

    An interrupted training goes on from its last checkpoint and ends with the same weights; a
    finished one is not repeated.

    Args:
        run: a run whose corpus/ is complete.
        segnet: the shape of the network.
        settings: how it is trained.
        progress: called after each epoch done here.

    Returns:
        One record for each epoch, also of those done before an interruption.

    Raises:
        StepMissingError: there is no complete corpus.
        SettingsError: SegNet cannot learn from the corpus, or it needs a larger cache.
        StorageError: the corpus or a checkpoint cannot be read, or nothing can be written.
    """
    finished = finished_training(run)
    if finished is not None:
        return finished
    key = training_key(segnet_depends_on(run, segnet, settings))
    checkpoint = f"{TRAIN_FOLDER}/{key}/checkpoint.pt"
    files = find_pairs(run)
    settings = replace(settings, epochs=num_epochs(settings, files.num_pairs))
    keep_freed_memory()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    training = begin_training(segnet, settings, device)
    if run.exists(checkpoint):
        training.resume(run.read_bytes(checkpoint))
    with open_stream(files, settings, num_threads=torch.get_num_threads()) as stream:
        while not training.finished:
            batches = stream.batches(len(training.history))
            progress(train_epoch(training, batches, on_collapse=progress))
            if training.checkpoint_due:
                run.write_bytes(checkpoint, training.checkpoint())
                write_curves(run, training.history)
    return finish_training(run, training)


def finished_training(run: RunFolder) -> list[EpochRecord] | None:
    """Read the records of a finished training, and drop its checkpoints; None if there is none."""
    if not run.exists(layout.WEIGHTS):
        return None
    run.delete(TRAIN_FOLDER)  # a kill may have come between the weights and this
    return [EpochRecord(**record) for record in run.read_json(layout.HISTORY)]


def finish_training(run: RunFolder, training: Training) -> list[EpochRecord]:
    """Write segnet/, the weights last, and drop the checkpoints."""
    run.write_json(layout.HISTORY, [asdict(record) for record in training.history])
    write_curves(run, training.history)
    run.write_bytes(layout.WEIGHTS, save_weights(training.result, training.segnet))
    run.delete(TRAIN_FOLDER)
    return training.history


def epoch_line(record: EpochRecord | Collapse, total: int) -> str:
    """Put an epoch into a line for a person, with a warning if the network has collapsed."""
    if isinstance(record, Collapse):
        return f"train: epoch {record.epoch}/{total}, step {record.step}; {_warning(record.side)}"
    line = (
        f"train: epoch {record.epoch}/{total}, loss {record.loss:.4f}, "
        f"IoU with the labels {record.iou:.3f}, {record.seconds:.1f} s"
    )
    if record.collapsed_to is None:
        return line
    return f"{line}; {_warning(record.collapsed_to)}"


def _warning(side: Side) -> str:
    return (
        f"WARNING: nearly every pixel is predicted {side}. If this stays so, lower "
        "train.learning_rate, and see whether the masks agree on which side is foreground"
    )
