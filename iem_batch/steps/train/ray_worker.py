"""What a worker of Ray Train does for `iem_batch.steps.train.on_ray`."""

import logging
import os
from dataclasses import asdict
from enum import Enum
from typing import Any

import ray.train
import ray.util
import torch
import torch.distributed
from ray.train.torch import get_device
from ray.train.torch.config import TorchConfig, _TorchBackend
from ray.util.queue import Queue

from iem_batch.errors import SettingsError
from iem_batch.processes import num_cpus
from iem_batch.segnet.allocator import keep_freed_memory
from iem_batch.segnet.training import Training, train_epoch
from iem_batch.steps.train.pair_stream import PairStream, labelled_pairs, open_stream
from iem_batch.steps.train.work import TrainWork


class NetworkOfRay(TorchConfig):
    """How Ray Train connects the workers, by the network over which its nodes reach one another."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        """Give what Ray Train calls before it connects them."""
        return _Backend


class _Backend(_TorchBackend):
    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(use_network_of_ray)
        super().on_start(worker_group, backend_config)


def use_network_of_ray() -> None:
    """Let gloo connect from the network of this node's Ray address, unless the user says which.

    By itself it takes what the name of the machine stands for, which on Debian is 127.0.1.1.
    """
    import psutil  # Ray's own copy, which `import ray` puts on the path

    address = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    for name, addresses in psutil.net_if_addrs().items():
        if any(each.address == address for each in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


class GroupSign(Enum):
    """What is heard of the workers beside their records."""

    BEGUN = "begun"
    LOST = "lost"
    """One is lost, and all are started again."""


def train_worker(work: TrainWork, records: Queue) -> SettingsError | None:
    """Train a worker's share.

    Args:
        work: the training.
        records: where the first worker puts a sign that it has begun, the record of each epoch,
            and a collapse.

    Returns:
        What no second attempt can mend; raised here, it would be tried again.
    """
    # Ray Train tells of every report under a name that its own log level does not reach.
    logging.getLogger().setLevel(logging.WARNING)
    context = ray.train.get_context()
    torch.set_num_threads(max(1, num_cpus() // context.get_local_world_size()))
    keep_freed_memory()
    is_first = context.get_world_rank() == 0
    if is_first:
        records.put(GroupSign.BEGUN)
    try:
        training = work.begin(get_device())
        with open_stream(
            work.files,
            work.settings,
            rank=context.get_world_rank(),
            num_workers=context.get_world_size(),
            num_threads=torch.get_num_threads(),
        ) as stream:
            _train(work, training, stream, records if is_first else None)
    except SettingsError as error:
        if not is_first:  # Ray hands on what the first returns, and that one may be waiting
            raise
        return error
    return None


def _train(work: TrainWork, training: Training, stream: PairStream, records: Queue | None) -> None:
    """Train to the end; only the first worker has records to put and checkpoints to write.

    A queue without records is false, so it must not be asked for its truth.
    """
    context = ray.train.get_context()
    while not training.finished:
        batches = stream.batches(len(training.history))
        record = train_epoch(
            training,
            batches,
            held_back=labelled_pairs(
                work.held_back,
                rank=context.get_world_rank(),
                num_workers=context.get_world_size(),
                num_threads=torch.get_num_threads(),
            ),
            sum_over_workers=torch.distributed.all_reduce,
            on_collapse=None if records is None else records.put,
        )
        if records is not None:
            records.put(record)
        if training.checkpoint_due or training.finished or _preempted():
            if records is not None:
                work.keep(training)
            # Every worker waits here for the others, so that none is ahead of the checkpoint. Ray
            # Train looks at reports every two seconds: one for each epoch would hold up short ones.
            ray.train.report(asdict(record))


def _preempted() -> bool:
    """Tell whether a node with a worker is about to be taken away, of which newer Rays know.

    Every worker must ask equally often, and is told the same.
    """
    return hasattr(ray.train, "get_preemption_info") and ray.train.get_preemption_info() is not None
