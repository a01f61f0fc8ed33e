"""A step's shards over the workers of a Ray cluster.

Load tasks decode, engine actors compute, commit tasks write. What one gives the next goes through
Ray's object store, never through the driver, which holds a bounded window of shards in flight.
"""

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from iem_batch.distributed.settings import ClusterSettings
from iem_batch.stages.shards import (
    MAX_FAILURES_IN_A_ROW,
    Progress,
    ShardOutput,
    ShardStep,
    commit,
    raise_failures,
)

# An engine leaves part of its CPU to loading and writing, which take about a tenth of the time; if
# it took all, a machine with one worker per CPU would have none to decode with, and stand still.
_ENGINE_CPUS = 0.75
_IO_CPUS = 0.25


@ray.remote(num_cpus=_IO_CPUS, max_retries=3)
def load_shard_task(step: ShardStep[Any], shard: int) -> tuple[Any, float]:
    """Load a shard; returns it and the time it took in seconds."""
    started = time.monotonic()
    loaded = step.load(shard)
    return loaded, time.monotonic() - started


class EngineWorker:
    """An engine, set up once, that computes loaded shards."""

    def __init__(self, step: ShardStep[Any]) -> None:
        """Set up the step's engine for one thread: there is a worker for each CPU."""
        self._engine: Callable[[Any], ShardOutput] = step.open_engine(1)

    def compute(self, loaded: tuple[Any, float]) -> tuple[ShardOutput, float]:
        """Compute a loaded shard; returns the output and the seconds spent so far."""
        started = time.monotonic()
        output = self._engine(loaded[0])
        return output, loaded[1] + time.monotonic() - started


@ray.remote(num_cpus=_IO_CPUS, max_retries=3)
def commit_shard_task(step: ShardStep[Any], computed: tuple[ShardOutput, float]) -> dict[str, Any]:
    """Write a computed shard; returns its commit mark."""
    output, seconds = computed
    return commit(step, output, seconds)


def run_on_cluster(
    step: ShardStep[Any], shards: Iterable[int], settings: ClusterSettings, progress: Progress
) -> None:
    """Do shards on the Ray cluster that `iem_batch.distributed.cluster` has joined.

    Args:
        step: the step; it is pickled once and sent to every worker.
        shards: those to do, in the order in which to start them.
        settings: workers, window and attempts.
        progress: called here with the commit mark of each shard as it is done.

    Raises:
        ShardsFailedError: shards failed in every attempt; everything else is committed, unless
            several failed in a row, which ends the run: then it is the storage or the disk.
    """
    todo = deque(shards)
    if not todo:
        return
    workers = _start_workers(step, settings.num_workers, len(todo))
    try:
        failures = _drain(todo, _Window(ray.put(step), workers), settings, progress)
    finally:
        for worker in workers:  # the next step needs their processors
            ray.kill(worker)
    raise_failures(step, failures)


def _drain(
    todo: deque[int], window: "_Window", settings: ClusterSettings, progress: Progress
) -> dict[int, str]:
    """Do what is to do.

    Returns:
        What happened to each shard that failed in every attempt.
    """
    failures: dict[int, str] = {}
    attempts: Counter[int] = Counter()
    in_a_row = 0
    while todo or window.in_flight:
        while todo and len(window.in_flight) < len(window.workers) * settings.shards_per_worker:
            window.start(todo.popleft())
        shard, result = window.wait()
        try:
            progress(ray.get(result))
            in_a_row = 0
        except RayError as error:
            attempts[shard] += 1
            if attempts[shard] < settings.max_attempts:
                todo.appendleft(shard)
                continue
            failures[shard] = _cause(error)
            in_a_row += 1
            if in_a_row == MAX_FAILURES_IN_A_ROW:
                break
    return failures


def _start_workers(step: ShardStep[Any], num_workers: int, num_shards: int) -> list[Any]:
    """Start the engine actors: one per GPU, or one per CPU where there is no GPU."""
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    num_gpus = int(resources.get("GPU", 0))
    needs = {"num_gpus": 1.0} if num_gpus else {"num_cpus": _ENGINE_CPUS}
    as_actor: Any = ray.remote(max_restarts=-1, **needs)  # type: ignore[call-overload]
    worker = as_actor(EngineWorker)
    count = min(num_workers or num_gpus or int(resources["CPU"]), num_shards)
    return [worker.remote(step) for _ in range(count)]


@dataclass
class _Window:
    """The shards in flight, each with the worker that computes it."""

    step: ray.ObjectRef[Any]
    workers: list[Any]
    in_flight: dict[ray.ObjectRef[Any], tuple[int, int]] = field(default_factory=dict)

    def start(self, shard: int) -> None:
        """Give a shard to the worker that has the fewest."""
        load = Counter(worker for _, worker in self.in_flight.values())
        worker = min(range(len(self.workers)), key=lambda index: load[index])
        loaded = load_shard_task.options(name=f"load-{shard:05d}").remote(self.step, shard)
        computed = self.workers[worker].compute.remote(loaded)
        name = f"commit-{shard:05d}"
        result = commit_shard_task.options(name=name).remote(self.step, computed)
        self.in_flight[result] = (shard, worker)

    def wait(self) -> tuple[int, ray.ObjectRef[Any]]:
        """Wait until some shard is done or has failed, and take it out."""
        (result, *_), _ = ray.wait(list(self.in_flight), num_returns=1)
        shard, _ = self.in_flight.pop(result)
        return shard, result


def _cause(error: RayError) -> str:
    """Give the one line that says what happened, out of Ray's account of it."""
    cause = getattr(error, "cause", None)
    if cause is not None:
        return f"{type(cause).__name__}: {cause}"
    lines = str(error).strip().splitlines()
    # An engine that could not be set up: its own error stands last, below the trace.
    return lines[-1] if "creation task" in lines[0] else f"{type(error).__name__}: {lines[0]}"
