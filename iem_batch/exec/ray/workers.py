"""The engine workers of a step: actors that come with the nodes of the cluster and go with them.

A worker that is asked for and has no node yet is what tells an autoscaler to bring one.
"""

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, NodeDiedError, RayActorError, RayError

from iem_batch.errors import BackendUnavailableError
from iem_batch.exec.attempts import Attempt
from iem_batch.exec.settings import ClusterSettings

REFRESH_S = 2.0
"""How often the cluster is asked what it has."""

ASK_AGAIN_S = 0.1
"""Between two questions to a worker that cannot be reached."""

MAX_FAILED_STARTS = 3
"""If so many workers in a row cannot set up their engine, the step is given up."""

Ref = ray.ObjectRef


@dataclass(eq=False)
class Worker:
    """An engine actor."""

    actor: Any
    answer: "Ref[str] | None"
    """What it will answer when it is set up: its node. None once it has answered."""
    node: str = ""
    """Where it is; empty until it is set up."""
    load: int = 0
    """Shards it was given that are not written yet."""
    in_doubt: list[Attempt] = field(default_factory=list)
    """Attempts that ended because it could not be reached; what is gone is not known yet."""
    end: RayError | None = None
    """What became of it, once that is known; None as long as it may live."""


class Workers:
    """Keeps as many engine actors as the cluster has room for."""

    def __init__(self, start: Callable[[], Any], settings: ClusterSettings, *, gpus: bool) -> None:
        """Begin without any.

        Args:
            start: starts an actor with a method `node`, and with what `gpus` says.
            settings: how many, and how much each is given.
            gpus: whether each has a GPU, else it has a CPU.
        """
        self._start, self._settings, self._gpus = start, settings, gpus
        self._workers: list[Worker] = []
        self._refreshed = -math.inf
        self._failed_starts = 0
        self.num_cpus = 0
        """CPUs of the cluster."""
        self.store_bytes = 0.0
        """Memory of the cluster's object stores."""

    @property
    def ready(self) -> list[Worker]:
        """Those set up."""
        return [worker for worker in self._workers if worker.answer is None]

    @property
    def answers(self) -> "dict[Ref[str], Worker]":
        """Those not set up yet, by the reference to wait for."""
        return {worker.answer: worker for worker in self._workers if worker.answer is not None}

    def refresh(self, num_shards: int) -> None:
        """Look from time to time what the cluster has, and start workers for it.

        Args:
            num_shards: how many are unfinished: more workers are of no use.
        """
        now = time.monotonic()
        if now - self._refreshed < REFRESH_S:
            return
        self._refreshed = now
        resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self.num_cpus = int(resources.get("CPU", 0))
        self.store_bytes = resources.get("object_store_memory", 0.0)
        wanted = self._wanted(int(resources.get("GPU", 0)), num_shards)
        while len(self._workers) < wanted:
            actor = self._start()
            self._workers.append(Worker(actor=actor, answer=actor.node.remote()))
        new = [worker for worker in self._workers if not worker.node]
        for worker in new[: max(0, len(self._workers) - wanted)]:
            self._drop(worker)

    def _wanted(self, num_gpus: int, num_shards: int) -> int:
        """Tell how many workers there should be.

        A GPU is a whole one, so workers may be asked for before there are GPUs. CPUs they share
        with loading and writing, which need some that no engine takes.
        """
        limit = self._settings.num_workers
        room = limit or num_gpus if self._gpus else min(limit or self.num_cpus, self.num_cpus)
        return min(max(1, room), num_shards)

    def answered(self, answer: "Ref[str]") -> list[tuple[Attempt, RayError]]:
        """Take a worker into use, or drop it if it is gone or could not be set up.

        Returns:
            The attempts that were in doubt, each with what became of the worker.

        Raises:
            BackendUnavailableError: one after another could not be set up.
        """
        worker = self.answers[answer]
        in_doubt, worker.in_doubt = worker.in_doubt, []
        try:
            worker.node = ray.get(answer)
        except ActorUnavailableError:
            # Ray does not know yet what has become of it: of the worker alone, or of its node.
            time.sleep(ASK_AGAIN_S)
            worker.in_doubt = in_doubt
            worker.answer = worker.actor.node.remote()
            return []
        except RayError as error:
            worker.end = error
            self._drop(worker)
            self._count_failed_start(error)
            return [(attempt, error) for attempt in in_doubt]
        self._failed_starts = 0
        worker.answer = None
        # It lives: the network failed for a moment, which is no fault of the shard either.
        unreachable = NodeDiedError("the network failed")  # type: ignore[no-untyped-call]
        return [(attempt, unreachable) for attempt in in_doubt]

    def _count_failed_start(self, error: RayError) -> None:
        if "creation task" not in str(error).partition("\n")[0]:
            return
        self._failed_starts += 1
        if self._failed_starts == MAX_FAILED_STARTS:
            # The engine's own error is last, below the trace.
            cause = str(error).strip().splitlines()[-1]
            raise BackendUnavailableError(f"no engine could be set up: {cause}") from error

    def lost(self, worker: Worker, attempt: Attempt, loss: RayActorError) -> RayError | None:
        """Stop giving work to a worker that did not finish an attempt, until it has answered.

        Returns:
            What to judge the attempt by; None if that will turn out (see `answered`).
        """
        unreachable = isinstance(loss, ActorUnavailableError)
        if worker.end is not None:
            # A write may tell of a worker that was out of reach long after its end is known.
            return worker.end if unreachable else loss
        if worker.answer is None:
            worker.answer = worker.actor.node.remote()
        if not unreachable:
            return loss
        worker.in_doubt.append(attempt)
        return None

    def free(self, nodes: Collection[str]) -> Worker | None:
        """Find a worker for a shard, rather on one of some nodes; None if all are full.

        Args:
            nodes: those that have the data.
        """
        free = [worker for worker in self.ready if worker.load < self._settings.shards_per_worker]
        # One that has nothing to do gets what there is, near or not.
        return min(
            free,
            key=lambda worker: (worker.load > 0, worker.node not in nodes, worker.load),
            default=None,
        )

    def stop(self) -> None:
        """End all: the next step needs what they have."""
        for worker in self._workers:
            ray.kill(worker.actor)

    def _drop(self, worker: Worker) -> None:
        self._workers.remove(worker)
        ray.kill(worker.actor)
