"""The step `train` with several workers, by Ray Train.

Every worker holds the corpus and computes its share of each batch; one all-reduce of all gradients
makes their steps the same. When a worker is lost, Ray Train starts all of them again from the last
checkpoint, and a training that is begun again under the same name goes on from there.
"""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
import ray.train
import torch
import torch.distributed
from ray.train import Checkpoint
from ray.train.torch import get_device

# What `ray.train` gives at run time; to a type checker it shows the classes of version 1.
from ray.train.v2.api.config import (
    CheckpointConfig,
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
)
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer
from ray.util.queue import Queue

from iem_batch.data.run_folder import RunFolder
from iem_batch.distributed.settings import Device
from iem_batch.errors import SettingsError, ShardsFailedError
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.segnet.training import EpochRecord, Training, begin_training, train_epoch
from iem_batch.stages.train import (
    TRAIN_FOLDER,
    EpochProgress,
    corpus_tensors,
    finish_training,
    in_memory,
    read_corpus,
    read_history,
    segnet_depends_on,
    training_key,
)

MAX_FAILURES = 3
"""How often the workers are started again; nodes that their provider takes away do not count."""

_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What each worker is given."""

    run: RunFolder
    segnet: SegNetSettings
    settings: TrainSettings
    use_gpu: bool
    """Whether each worker has a GPU; else it has a CPU."""

    records: Queue
    """Where the first worker puts the record of each epoch."""


def train_ray(
    run: RunFolder,
    segnet: SegNetSettings,
    settings: TrainSettings,
    progress: EpochProgress,
    device: Device = "auto",
) -> list[EpochRecord]:
    """Train with `settings.num_workers` workers of the Ray cluster, and write segnet/.

    An interrupted training goes on from its last checkpoint; a finished one is not repeated.

    Args:
        run: a run whose corpus/ is complete, on storage that every worker reaches.
        segnet: the shape of the network.
        settings: how it is trained.
        progress: called here after each epoch; again for epochs done again after a failure.
        device: as in `ClusterSettings`; with gpu the nodes may come when they are asked for.

    Returns:
        One record for each epoch, also of those done before an interruption.

    Raises:
        StepMissingError: there is no complete corpus.
        SettingsError: SegNet cannot learn from the corpus, or there are too few GPUs or CPUs.
        ShardsFailedError: workers failed more than `MAX_FAILURES` times; checkpoints are kept.
    """
    finished = read_history(run)
    if finished is not None:
        return finished
    key = training_key(segnet_depends_on(run, segnet, settings))
    use_gpu = device == "gpu" or _use_gpu(settings.num_workers, device)
    with _forwarding(progress) as records, _own_interrupt_handler():
        work = _Work(run=run, segnet=segnet, settings=settings, use_gpu=use_gpu, records=records)
        try:
            result: Any = _trainer(work, key).fit()
        except TrainingFailedError as error:
            raise ShardsFailedError(
                f"training failed more than {MAX_FAILURES} times: {_cause(error)}\n"
                "Run the same command again to go on from the last checkpoint."
            ) from error
    if isinstance(result.return_value, SettingsError):
        raise result.return_value
    training = begin_training(segnet, settings, torch.device("cpu"))
    training.resume(_read(result.checkpoint))
    return finish_training(run, training)


def _use_gpu(num_workers: int, device: Device) -> bool:
    """Tell whether the cluster has GPUs to train on, and that it has enough of what is used.

    Ray Train would wait for more without end.
    """
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    kind = "GPU" if resources.get("GPU", 0) and device == "auto" else "CPU"
    if resources.get(kind, 0) < num_workers:
        raise SettingsError(
            f"train.num_workers is {num_workers}, the Ray cluster has {resources.get(kind, 0):.0f} "
            f"{kind}s now; lower it, start more nodes first, or say cluster.device=gpu to wait for "
            "GPUs"
        )
    return kind == "GPU"


def _trainer(work: _Work, key: str) -> TorchTrainer:
    return TorchTrainer(
        partial(_train_worker, work),
        scaling_config=ScalingConfig(
            num_workers=work.settings.num_workers,
            use_gpu=work.use_gpu,
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(
            name=key,
            storage_path=work.run.url_of(TRAIN_FOLDER),
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            logging_config=LoggingConfig(log_level="WARNING"),
        ),
    )


def _train_worker(work: _Work) -> SettingsError | None:
    """Train a worker's share.

    Returns:
        What no second attempt can mend; raised here, it would be tried again.
    """
    # Ray Train tells of every report under a name that its own log level does not reach.
    logging.getLogger().setLevel(logging.WARNING)
    context = ray.train.get_context()
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // context.get_local_world_size()))
    try:
        image_BHW3, mask_BHW = corpus_tensors(read_corpus(work.run))
    except SettingsError as error:
        return error
    training = begin_training(work.segnet, work.settings, get_device())
    checkpoint = ray.train.get_checkpoint()
    if checkpoint is not None:
        training.resume(_read(checkpoint))
    while not training.finished:
        record = train_epoch(
            training,
            in_memory(
                image_BHW3,
                mask_BHW,
                training,
                context.get_world_rank(),
                context.get_world_size(),
            ),
            sum_over_workers=torch.distributed.all_reduce,
        )
        if context.get_world_rank() == 0:
            work.records.put(record)
        if training.checkpoint_due or training.finished:
            _report(training, is_first=context.get_world_rank() == 0)
    return None


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


def _read(checkpoint: Checkpoint) -> bytes:
    with checkpoint.as_directory() as folder:
        return Path(folder, _CHECKPOINT).read_bytes()


@contextmanager
def _forwarding(progress: EpochProgress) -> Iterator[Queue]:
    """Give a queue whose records are passed on to `progress` in this process."""
    records = Queue(actor_options={"num_cpus": 0})

    def forward() -> None:
        while (record := records.get()) is not None:
            progress(record)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield records
    finally:
        records.put(None)
        thread.join()
        records.shutdown()


@contextmanager
def _own_interrupt_handler() -> Iterator[None]:
    """Put back the handler of Ctrl-C, which Ray Train replaces and leaves behind."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _cause(error: TrainingFailedError) -> str:
    return str(error).strip().splitlines()[-1]
