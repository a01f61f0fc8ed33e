"""What a worker of Ray Train does for `iem_batch.steps.train.on_ray`."""

import logging
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import ray.train
import torch
import torch.distributed
from ray.train import Checkpoint
from ray.train.torch import get_device
from ray.util.queue import Queue

from iem_batch.errors import SettingsError
from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import Training, begin_training, train_epoch
from iem_batch.steps.train.curves import write_curves
from iem_batch.steps.train.pair_files import PairFiles
from iem_batch.steps.train.pair_stream import PairStream, open_stream

_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True)
class Work:
    """What each worker is given."""

    segnet: SegNetSettings
    settings: TrainSettings
    files: PairFiles
    records: Queue
    """Where the first worker puts the record of each epoch, and a collapse."""


def train_worker(work: Work) -> SettingsError | None:
    """Train a worker's share.

    Returns:
        What no second attempt can mend; raised here, it would be tried again.
    """
    # Ray Train tells of every report under a name that its own log level does not reach.
    logging.getLogger().setLevel(logging.WARNING)
    context = ray.train.get_context()
    torch.set_num_threads(max(1, _num_cpus() // context.get_local_world_size()))
    keep_freed_memory()
    is_first = context.get_world_rank() == 0
    try:
        training = begin_training(work.segnet, work.settings, get_device())
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is not None:
            training.resume(read_checkpoint(checkpoint))
        with open_stream(
            work.files,
            work.settings,
            rank=context.get_world_rank(),
            num_workers=context.get_world_size(),
            num_threads=torch.get_num_threads(),
        ) as stream:
            _train(work, training, stream, is_first=is_first)
    except SettingsError as error:
        if not is_first:  # Ray hands on what the first returns, and that one may be waiting
            raise
        return error
    return None


def _train(work: Work, training: Training, stream: PairStream, *, is_first: bool) -> None:
    while not training.finished:
        batches = stream.batches(len(training.history))
        record = train_epoch(
            training,
            batches,
            sum_over_workers=torch.distributed.all_reduce,
            on_collapse=work.records.put if is_first else None,
        )
        if is_first:
            work.records.put(record)
        if training.checkpoint_due or training.finished or _preempted():
            _report(training, is_first=is_first)
            if is_first:
                write_curves(work.files.run, training.history)


def _num_cpus() -> int:
    """Count the processors this process may use; not every system can say that."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _preempted() -> bool:
    """Tell whether a node with a worker is about to be taken away, of which newer Rays know.

    Every worker must ask equally often, and is told the same.
    """
    return hasattr(ray.train, "get_preemption_info") and ray.train.get_preemption_info() is not None


def _report(training: Training, *, is_first: bool) -> None:
    """Give Ray Train a checkpoint; every worker must report equally often.

    Ray Train looks at reports every two seconds, so one for each epoch would hold up short ones.
    """
    with TemporaryDirectory() as folder:
        checkpoint = None
        if is_first:
            Path(folder, _CHECKPOINT).write_bytes(training.checkpoint())
            checkpoint = Checkpoint.from_directory(folder)
        ray.train.report(asdict(training.history[-1]), checkpoint=checkpoint)


def read_checkpoint(checkpoint: Checkpoint) -> bytes:
    """Read what a worker has reported, for `Training.resume`."""
    with checkpoint.as_directory() as folder:
        return Path(folder, _CHECKPOINT).read_bytes()
