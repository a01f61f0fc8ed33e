"""The step `train` with several workers, by Ray Train.

Every worker streams the part of the corpus that it owns and computes its share of each batch; one
all-reduce of all gradients makes their steps the same. torch's DistributedDataParallel would
average over workers instead of images, which is another loss where shares differ in size, and its
overlap of communication with computation gains nothing for a network of 4 MB. The gradients go by
NCCL between GPUs and by gloo between CPUs, as Ray Train chooses.

When a worker is lost, Ray Train starts all of them again from the last checkpoint; so does a
training that is started again under the same name. With as many workers as before, on CPUs
of the same kind and with as many threads, the result has the same bits as without the interruption.
With another number of workers (`train.min_workers`) the batches and all chance stay the same, but
sums are rounded in another order.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Literal

import ray
import ray.train
import torch
from fsspec.implementations.memory import MemoryFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem
from ray.exceptions import RayError

# What `ray.train` gives at run time; to a type checker it shows the classes of version 1.
from ray.train.v2.api.callback import UserCallback
from ray.train.v2.api.config import (
    FailureConfig,
    LoggingConfig,
    RunConfig,
    ScalingConfig,
)
from ray.train.v2.api.exceptions import TrainingFailedError
from ray.train.v2.torch.torch_trainer import TorchTrainer
from ray.util.queue import Queue
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from iem_batch.errors import SettingsError, ShardsFailedError
from iem_batch.exec.executor import Executor
from iem_batch.exec.ray.cluster import missing
from iem_batch.exec.ray.executor import RayExecutor
from iem_batch.exec.ray.same_folder import require_same_folder
from iem_batch.exec.settings import Device
from iem_batch.segnet import allocator
from iem_batch.segnet.collapse import Collapse
from iem_batch.segnet.settings import TrainSettings
from iem_batch.segnet.training import EpochRecord, Training
from iem_batch.steps.train.pair_stream import check_cache
from iem_batch.steps.train.ray_worker import GroupSign, NetworkOfRay, train_worker
from iem_batch.steps.train.work import EpochProgress, TrainWork
from iem_batch.waiting import Wait, waiting
from iem_batch.words import count

MAX_FAILURES = 3
"""How often the workers are started again; nodes that their provider takes away do not count."""

SECONDS_TO_END = 10.0
"""For the thread that passes records on, where a training ends by an error or an interrupt."""


def train_on_ray(
    work: TrainWork, progress: EpochProgress, executor: Executor, device: Device
) -> Training:
    """Train with `settings.num_workers` workers of the Ray cluster.

    An interrupted training goes on from its last checkpoint.

    Args:
        work: the training; with `min_workers` training goes on without a lost worker where no other
            node can take its place.
        progress: called here after each epoch; again for epochs done again after a failure.
        executor: a `RayExecutor`, which joins the cluster.
        device: as in `ClusterSettings`; with gpu the nodes may come when they are asked for.

    Raises:
        SettingsError: SegNet cannot learn from the corpus, there are too few GPUs or CPUs, or the
            cache is too small.
        ShardsFailedError: workers failed more than `MAX_FAILURES` times; the checkpoint is kept.
    """
    assert isinstance(executor, RayExecutor)
    executor.join()
    require_same_folder(work.place)
    settings = work.settings
    # Before any worker starts: it tells what is wrong with the settings of the network.
    work.begin(torch.device("cpu"))
    check_cache(work.files, settings, _fewest_workers(settings))
    use_gpu = device == "gpu" or _use_gpu(_fewest_workers(settings), device)
    group = _Group("GPU" if use_gpu else "CPU", _fewest_workers(settings))
    with (
        waiting(group.missing, "workers") as group.silence,
        _forwarding(progress, group) as records,
        _own_interrupt_handler(),
    ):
        result = _fit(work, records, use_gpu=use_gpu)
    if isinstance(result.return_value, SettingsError):
        raise result.return_value
    training = work.begin(torch.device("cpu"))
    assert training.finished
    return training


class _Group:
    """What is known here of the workers."""

    silence: Wait

    def __init__(self, kind: Literal["CPU", "GPU"], num_workers: int) -> None:
        self._kind, self._num_workers = kind, num_workers
        self._is_at_work = False

    def heard(self, record: EpochRecord | Collapse | GroupSign) -> None:
        """Note a record, or a sign that they have begun or that one is lost."""
        self._is_at_work = record != GroupSign.LOST
        self.silence.heard()

    def missing(self) -> str | None:
        """Say why they are not at work; None if they are."""
        if self._is_at_work:
            return None
        lacks = missing(self._kind, self._num_workers)
        return lacks or f"{count(self._num_workers, 'worker')} of the training to start"


class _TellOfLoss(UserCallback):
    """Is called by Ray Train, in its own process, before it starts the workers again."""

    def __init__(self, records: Queue) -> None:
        self._records = records

    def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
        """Tell of it."""
        self._records.put(GroupSign.LOST)


def _fit(work: TrainWork, records: Queue, *, use_gpu: bool) -> Any:
    """Train to the end, again from the last checkpoint if what leads the workers is lost.

    Ray may lose or, where memory is short, kill any process of a training. Ray Train begins again
    by itself when it was a worker.

    Raises:
        ShardsFailedError: it failed more than `MAX_FAILURES` times.
    """
    for failures in range(1, MAX_FAILURES + 2):
        try:
            return _trainer(work, records, use_gpu=use_gpu).fit()
        except SystemExit as error:  # with which Ray Train answers Ctrl-C
            raise KeyboardInterrupt from error
        except TrainingFailedError as error:
            failure: Exception = error
            break
        except RayError as error:
            failure = error
            if failures <= MAX_FAILURES:
                print(
                    f"train: begins again from its last checkpoint: {_cause(error)}",
                    file=sys.stderr,
                    flush=True,
                )
    raise ShardsFailedError(
        f"training failed more than {MAX_FAILURES} times: {_cause(failure)}\n"
        "Run the same command again to go on from the last checkpoint."
    ) from failure


def _fewest_workers(settings: TrainSettings) -> int:
    """Give the fewest workers that may train together."""
    return settings.min_workers or settings.num_workers


def _use_gpu(num_workers: int, device: Device) -> bool:
    """Tell whether the cluster has GPUs to train on, and that it has enough of what is used.

    Ray Train would wait for more without end.
    """
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    kind = "GPU" if resources.get("GPU", 0) and device == "auto" else "CPU"
    if resources.get(kind, 0) < num_workers:
        raise SettingsError(
            f"training needs {num_workers} workers, the Ray cluster has "
            f"{resources.get(kind, 0):.0f} {kind}s now; lower train.num_workers or "
            "train.min_workers, start more nodes first, or say cluster.device=gpu to wait for GPUs"
        )
    return kind == "GPU"


def _trainer(work: TrainWork, records: Queue, *, use_gpu: bool) -> TorchTrainer:
    return TorchTrainer(
        partial(train_worker, work, records),
        torch_config=NetworkOfRay(),
        scaling_config=ScalingConfig(
            num_workers=_num_workers(work.settings),
            use_gpu=use_gpu,
            placement_strategy="SPREAD",
        ),
        run_config=RunConfig(
            name=work.key,
            # What Ray Train itself keeps is worth nothing after the call: checkpoints are ours.
            storage_path="/iem_batch",
            storage_filesystem=PyFileSystem(FSSpecHandler(MemoryFileSystem())),
            callbacks=[_TellOfLoss(records)],
            failure_config=FailureConfig(max_failures=MAX_FAILURES),
            logging_config=LoggingConfig(log_level="WARNING"),
            # Ray Train calls `train_worker` in a thread.
            worker_runtime_env={"env_vars": allocator.ENVIRONMENT},
        ),
    )


def _num_workers(settings: TrainSettings) -> int | tuple[int, int]:
    """Give the number of workers, or the fewest and the most."""
    if settings.min_workers is None:
        return settings.num_workers
    return settings.min_workers, settings.num_workers


@contextmanager
def _forwarding(progress: EpochProgress, group: _Group) -> Iterator[Queue]:
    """Give a queue whose records are passed on to `progress` in this process, signs to `group`."""
    # On a node of the workers it could be lost, and the training with it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    # If Ray loses or kills it, another is started, and who puts or gets does not notice.
    again = {"max_restarts": MAX_FAILURES, "max_task_retries": -1}
    records = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here, **again})

    def forward() -> None:
        with suppress(RayError):  # the training has failed, and the queue with it
            while (record := records.get()) is not None:
                group.heard(record)
                if not isinstance(record, GroupSign):
                    progress(record)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield records
        records.put(None)
        thread.join()
    except BaseException:
        # Ray ends the process, with status 1, if a thread still asks it once it is shut down.
        with suppress(RayError):
            records.put(None, timeout=SECONDS_TO_END)
        thread.join(SECONDS_TO_END)
        raise
    finally:
        records.shutdown(force=True)


@contextmanager
def _own_interrupt_handler() -> Iterator[None]:
    """Put back the handler of Ctrl-C, which Ray Train replaces and leaves behind."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def _cause(error: Exception) -> str:
    # Ray's advice about processes that die is longer than the line.
    return str(error).strip().splitlines()[-1].partition(" Some common causes")[0].strip()
