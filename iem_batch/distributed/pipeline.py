"""A step's shards over the workers of a Ray cluster.

Load tasks decode, engine actors compute, commit tasks write. What one gives the next goes through
Ray's object store, never through the driver, which holds a bounded window of shards in flight.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from iem_batch.distributed.settings import ClusterSettings
from iem_batch.errors import DeviceLostError
from iem_batch.stages.attempts import Attempt, Attempts
from iem_batch.stages.isolate import do_alone
from iem_batch.stages.journal import Journal
from iem_batch.stages.settings import ShardSettings
from iem_batch.stages.shards import (
    Progress,
    ShardOutput,
    ShardStep,
    commit,
    raise_failures,
    stopping_after,
)

# An engine leaves part of its CPU to loading and writing, which take about a tenth of the time; if
# it took all, a machine with one worker per CPU would have none to decode with, and stand still.
_ENGINE_CPUS = 0.75
_IO_CPUS = 0.25


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What every worker is given, once."""

    step: ShardStep[Any]
    begun: str
    settings: ShardSettings


# A load or a write whose worker is lost is not repeated by Ray, which cannot tell an image that
# kills from a machine that is gone: the whole shard is done again, alone (stages/isolate.py).
@ray.remote(num_cpus=_IO_CPUS, max_retries=0)
def load_shard_task(work: _Work, shard: int) -> tuple[Any, float]:
    """Load a shard; returns it and the time it took in seconds."""
    started = time.monotonic()
    with stopping_after(work.settings.timeout_s):
        loaded = work.step.load(shard)
    return loaded, time.monotonic() - started


class EngineWorker:
    """An engine, set up once, that computes loaded shards."""

    def __init__(self, work: _Work) -> None:
        """Set up the step's engine for one thread: there is a worker for each CPU."""
        self._work = work
        self._engine: Callable[[Any], ShardOutput] = work.step.open_engine(1)

    def compute(self, loaded: tuple[Any, float]) -> tuple[ShardOutput, float]:
        """Compute a loaded shard; returns the output and the seconds spent so far.

        When its GPU is lost the worker dies, and what it had is done by another.
        """
        started = time.monotonic()
        try:
            with stopping_after(self._work.settings.timeout_s):
                output = self._engine(loaded[0])
        except DeviceLostError as error:
            # This process can use its GPU no more: Ray starts the worker again in a new one.
            print(f"an engine worker ends itself: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        return output, loaded[1] + time.monotonic() - started

    # What a shard does, it does to the child; where this worker is lost, it was not by the shard.
    @ray.method(max_task_retries=-1)
    def do_alone(self, shard: int, attempt: int) -> dict[str, Any]:
        """Do all of a shard in a child process, which may use this worker's GPU."""
        work = self._work
        return do_alone(work.step, shard, attempt, work.begun, work.settings)


@ray.remote(num_cpus=_IO_CPUS, max_retries=0)
def commit_shard_task(
    work: _Work, computed: tuple[ShardOutput, float], attempt: int
) -> dict[str, Any]:
    """Write a computed shard; returns its commit mark."""
    output, seconds = computed
    with stopping_after(work.settings.timeout_s):
        return commit(work.step, output, seconds, attempt, work.begun)


def run_on_cluster(
    step: ShardStep[Any],
    shards: Iterable[int],
    cluster: ClusterSettings,
    progress: Progress,
    settings: ShardSettings | None = None,
    begun: str = "",
) -> None:
    """Do shards on the Ray cluster that `iem_batch.distributed.cluster` has joined.

    Args:
        step: the step; it is pickled once and sent to every worker.
        shards: those to do, in the order in which to start them.
        cluster: workers and window.
        progress: called here with the commit mark of each shard as it is done.
        settings: attempts and time limits; None takes the defaults.
        begun: as for `iem_batch.stages.shards.commit`.

    Raises:
        ShardsFailedError: shards failed in every attempt; everything else is committed, unless
            several failed in a row, which ends the run: then it is the storage or the disk.
    """
    todo = list(shards)
    if not todo:
        return
    settings = settings or ShardSettings()
    work = _Work(step=step, begun=begun, settings=settings)
    workers = _start_workers(work, cluster.num_workers, len(todo))
    try:
        with Journal(step.run, step.name, in_process=False) as journal:
            attempts = journal.open_attempts(todo, settings.max_attempts)
            window = _Window(ray.put(work), workers, len(workers) * cluster.shards_per_worker)
            _drain(attempts, window, journal, progress)
    finally:
        for worker in workers:  # the next step needs their processors
            ray.kill(worker)
    raise_failures(step.name, attempts.failures)


def _drain(attempts: Attempts, window: "_Window", journal: Journal, progress: Progress) -> None:
    """Do what is to do, until all is done or so many failed that the rest is not tried."""
    while attempts.unfinished and not attempts.given_up:
        while not window.full and (attempt := attempts.start()):
            window.start(attempt)
        attempt, result = window.wait()
        try:
            mark = ray.get(result)
        except RayError as error:
            cause = _cause(error)
            # What a worker itself raised is no loss; what it was told of another worker's end is.
            lost = not isinstance(error, RayTaskError) or isinstance(error.cause, RayError)
            if attempts.failed(attempt.shard, cause, lost=lost):
                journal.failed(attempt, cause)
        else:
            attempts.done(attempt.shard)
            journal.done(attempt.shard)
            progress(mark)


def _start_workers(work: _Work, num_workers: int, num_shards: int) -> list[Any]:
    """Start the engine actors: one per GPU, or one per CPU where there is no GPU."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    num_gpus = int(resources.get("GPU", 0))
    needs = {"num_gpus": 1.0} if num_gpus else {"num_cpus": _ENGINE_CPUS}
    as_actor: Any = ray.remote(max_restarts=-1, **needs)  # type: ignore[call-overload]
    worker = as_actor(EngineWorker)
    count = min(num_workers or num_gpus or int(resources["CPU"]), num_shards)
    return [worker.remote(work) for _ in range(count)]


@dataclass
class _Window:
    """The shards in flight, each with the worker that computes it."""

    work: ray.ObjectRef[Any]
    workers: list[Any]
    size: int
    in_flight: dict[ray.ObjectRef[Any], tuple[Attempt, int]] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """Whether nothing more is to be started now."""
        return len(self.in_flight) >= self.size

    def start(self, attempt: Attempt) -> None:
        """Give a shard to the worker that has the fewest."""
        load = Counter(worker for _, worker in self.in_flight.values())
        index = min(range(len(self.workers)), key=lambda index: load[index])
        worker, shard = self.workers[index], attempt.shard
        if attempt.alone:
            result = worker.do_alone.options(name=f"alone-{shard:05d}").remote(
                shard, attempt.number
            )
        else:
            loaded = load_shard_task.options(name=f"load-{shard:05d}").remote(self.work, shard)
            computed = worker.compute.remote(loaded)
            result = commit_shard_task.options(name=f"commit-{shard:05d}").remote(
                self.work, computed, attempt.number
            )
        self.in_flight[result] = (attempt, index)

    def wait(self) -> tuple[Attempt, ray.ObjectRef[Any]]:
        """Wait until some shard is done or has failed, and take it out."""
        (result, *_), _ = ray.wait(list(self.in_flight), num_returns=1)
        attempt, _ = self.in_flight.pop(result)
        return attempt, result


def _cause(error: RayError) -> str:
    """Give the one line that says what happened, out of Ray's account of it."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {cause}"
    lines = str(error).strip().splitlines()
    # An engine that could not be set up: its own error stands last, below the trace.
    return lines[-1] if "creation task" in lines[0] else f"{type(error).__name__}: {lines[0]}"
