"""A step's shards over the workers of a Ray cluster.

Load tasks decode, on any node; engine actors compute, rather on the node that has the data; commit
tasks write. What one gives the next goes through Ray's object store, never through the driver,
which holds a bounded window of shards in flight.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import (
    NodeDiedError,
    ObjectLostError,
    RayActorError,
    RayError,
    RayTaskError,
)

from iem_batch.exec.attempts import Attempt, Attempts
from iem_batch.exec.journal import Journal
from iem_batch.exec.ray.cluster import missing
from iem_batch.exec.ray.engines import engines_on_gpus
from iem_batch.exec.ray.metrics import StepMetrics
from iem_batch.exec.ray.same_folder import require_same_folder
from iem_batch.exec.ray.tasks import (
    ENGINE_CPUS,
    IO_CPUS,
    EngineWorker,
    commit_shard_task,
    load_shard_task,
)
from iem_batch.exec.ray.workers import REFRESH_S, Ref, Worker, Workers
from iem_batch.exec.settings import ClusterSettings
from iem_batch.exec.step import Progress, Work, raise_failures
from iem_batch.waiting import AGAIN_S, Wait, waiting

MAX_MOVES = 10
"""How often a shard is started again because a node is gone, which is not its fault."""

STORE_SHARE = 0.5
"""Share of the object stores for loaded shards; from full ones Ray moves objects to disk."""


def run_on_cluster(
    work: Work, shards: Iterable[int], cluster: ClusterSettings, progress: Progress
) -> None:
    """Do shards on the Ray cluster that is joined; see `iem_batch.exec.executor.Executor.run`.

    Args:
        work: the step; it is pickled once and sent to every worker.
        shards: those to do, in the order in which to start them.
        cluster: workers and window.
        progress: is told here of each shard that ends.
    """
    todo = list(shards)
    if not todo:
        return
    step = work.step
    gpus = engines_on_gpus(cluster)
    sent = ray.put(work)
    needs: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1} if gpus else {"num_cpus": ENGINE_CPUS}
    engine: Any = ray.remote(**needs)(EngineWorker)
    workers = Workers(lambda: engine.remote(sent), cluster, gpus=gpus)
    with Journal(step.run, step.place, step.name, in_process=False) as journal:
        require_same_folder(step.run)
        attempts = journal.open_attempts(todo, work.limits.max_attempts)
        flow = _Flow(step.name, sent, workers, cluster, gpus=gpus)
        try:
            with waiting(flow.missing, "shards") as flow.silence:
                _drain(flow, attempts, journal, progress)
        finally:
            workers.stop()
    raise_failures(step, attempts.failures)


def _drain(flow: "_Flow", attempts: Attempts, journal: Journal, progress: Progress) -> None:
    """Do what is to do, until all is done or so many failed that the rest is not tried."""
    moves: Counter[int] = Counter()
    while attempts.unfinished and not attempts.given_up:
        flow.workers.refresh(attempts.num_unfinished)
        while not flow.full and (attempt := attempts.start()):
            flow.start(attempt)
        flow.dispatch()
        for attempt, result in flow.wait():
            if not isinstance(result, RayError):
                mark, phases = result
                attempts.done(attempt.shard)
                journal.done(attempt.shard)
                flow.metrics.done(mark, phases)
                progress.done(mark)
                continue
            moves[attempt.shard] += 1
            if moves[attempt.shard] <= MAX_MOVES and _blameless(result, attempt):
                attempts.again(attempt.shard)
            elif attempts.failed(attempt.shard, _cause(result), lost=_loss(result) is not None):
                journal.failed(attempt, _cause(result), result)
                flow.metrics.failed()
                progress.failed(attempt.shard)
        flow.metrics.at_work(flow.num_in_flight, len(flow.workers.ready))


@dataclass(frozen=True, kw_only=True)
class _Loaded:
    """A shard that is loaded, or is to be done alone and needs no loading."""

    attempt: Attempt
    loaded: Ref[Any] | None = None
    seconds: float = 0.0
    nodes: tuple[str, ...] = ()
    """Where it lies."""


class _Flow:
    """The shards in flight: loading, waiting for a worker, then being computed and written."""

    def __init__(
        self, name: str, work: Ref[Work], workers: Workers, cluster: ClusterSettings, *, gpus: bool
    ) -> None:
        self.workers = workers
        self.metrics = StepMetrics(name)
        self._name, self._work, self._cluster, self._gpus = name, work, cluster, gpus
        self._loading: dict[Ref[float], tuple[Attempt, Ref[Any]]] = {}
        self._waiting: deque[_Loaded] = deque()
        self._computing: dict[Ref[Any], tuple[Attempt, Worker]] = {}
        self._largest_bytes = 0
        self.silence: Wait
        """Since something has happened."""

    @property
    def num_in_flight(self) -> int:
        return len(self._loading) + len(self._waiting) + len(self._computing)

    @property
    def full(self) -> bool:
        """Whether nothing more is to be started now.

        Every worker has its shards; beside GPUs, every CPU decodes one more. All of them fit into
        the object stores, of which each shard takes as much as the largest one so far.
        """
        room = max(1, len(self.workers.ready)) * self._cluster.shards_per_worker
        room += self.workers.num_cpus if self._gpus else 0
        if self._largest_bytes:
            store = int(STORE_SHARE * self.workers.store_bytes / self._largest_bytes)
            room = min(room, max(1, store))
        return self.num_in_flight >= room

    def start(self, attempt: Attempt) -> None:
        """Begin to load a shard."""
        if attempt.alone:
            self._waiting.append(_Loaded(attempt=attempt))
            return
        load: Any = load_shard_task.options(
            name=f"{self._name}: load", num_cpus=1 if self._gpus else IO_CPUS
        )
        loaded, seconds = load.remote(self._work, attempt.shard)
        self._loading[seconds] = (attempt, loaded)

    def dispatch(self) -> None:
        """Give what is loaded to workers that can take it."""
        while self._waiting:
            worker = self.workers.free(self._waiting[0].nodes)
            if worker is None:
                return
            self._compute(self._waiting.popleft(), worker)

    def _compute(self, shard: _Loaded, worker: Worker) -> None:
        attempt = shard.attempt
        if shard.loaded is None:
            alone = worker.actor.do_alone.options(name=f"{self._name}: alone")
            result = alone.remote(attempt.shard, attempt.number)
        else:
            compute = worker.actor.compute.options(name=f"{self._name}: compute")
            output, compute_s = compute.remote(shard.loaded)
            write = commit_shard_task.options(name=f"{self._name}: write")
            result = write.remote(self._work, output, shard.seconds, compute_s, attempt.number)
        worker.load += 1
        self._computing[result] = (attempt, worker)

    def wait(self) -> list[tuple[Attempt, Any]]:
        """Wait until something has changed, at most until the cluster is to be looked at again.

        Returns:
            The attempts that have ended, each with what `commit_shard_task` gave, or its error.
        """
        refs = [*self.workers.answers, *self._loading, *self._computing]
        if not refs:  # every worker is gone
            time.sleep(REFRESH_S)
            return []
        if not ray.wait(refs, num_returns=1, timeout=REFRESH_S)[0]:
            return []
        self.silence.heard()
        happened, _ = ray.wait(refs, num_returns=len(refs), timeout=0)
        answers = self.workers.answers
        ended: list[tuple[Attempt, Any]] = []
        for ref in happened:
            if ref in answers:
                ended += self.workers.answered(ref)
            elif ref in self._loading:
                attempt, loaded = self._loading.pop(ref)
                seconds = _result(ref)
                if isinstance(seconds, RayError):
                    ended.append((attempt, seconds))
                else:
                    self._waiting.append(self._placed(attempt, loaded, seconds))
            else:
                attempt, worker = self._computing.pop(ref)
                worker.load -= 1
                result = _result(ref)
                loss = _loss(result) if isinstance(result, RayError) else None
                if isinstance(loss, RayActorError):
                    result = self.workers.lost(worker, attempt, loss)
                if result is not None:
                    ended.append((attempt, result))
        return ended

    def missing(self) -> str | None:
        """Say why nothing happens: no processor is free, or shards take long."""
        if not self.workers.ready:
            lacks = missing("GPU", 1) if self._gpus else missing("CPU", ENGINE_CPUS)
            return lacks or f"an engine of {self._name} to be set up"
        loads, at_work = len(self._loading), len(self._computing)
        if loads and not at_work and (lacks := missing("CPU", 1 if self._gpus else IO_CPUS)):
            return lacks
        if self.silence.seconds < AGAIN_S:
            return None
        return f"a shard of {self._name}: {loads} are being read, {at_work} computed or written"

    def _placed(self, attempt: Attempt, loaded: Ref[Any], seconds: float) -> _Loaded:
        place: dict[str, Any] = ray.experimental.get_object_locations([loaded])[loaded]
        self._largest_bytes = max(self._largest_bytes, place["object_size"] or 0)
        nodes = tuple(place["node_ids"])
        return _Loaded(attempt=attempt, loaded=loaded, seconds=seconds, nodes=nodes)


def _result(ref: Ref[Any]) -> Any:
    """Fetch the value of a reference, or the error that came instead."""
    try:
        return ray.get(ref)
    except RayError as error:
        return error


def _loss(error: RayError) -> RayError | None:
    """Give the loss of a process or an object that caused an error; None if a step raised it.

    An error about the end of another worker, which a worker passes on, is a loss too.
    """
    if not isinstance(error, RayTaskError):
        return error
    return error.cause if isinstance(error.cause, RayError) else None


def _blameless(error: RayError, attempt: Attempt) -> bool:
    """Tell whether a shard has nothing to do with a loss: its node is gone, or only its worker.

    A shard that is done alone can kill its child process, but not the worker.
    """
    loss = _loss(error)
    if isinstance(loss, NodeDiedError | ObjectLostError):
        return True
    if not isinstance(loss, RayActorError):
        return False
    return attempt.alone or loss.preempted or "its node has died" in str(loss)


def _cause(error: RayError) -> str:
    """Say in one line what happened, from Ray's error."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {cause}"
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
