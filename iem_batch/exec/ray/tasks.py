"""What the workers of a step over shards do, in Ray's terms: two kinds of tasks and an actor."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import ray

from iem_batch.errors import DeviceLostError
from iem_batch.exec.isolate import do_alone
from iem_batch.exec.ray.same_folder import on_this_node
from iem_batch.exec.step import ShardOutput, Work, commit, stopping_after
from iem_batch.run.marks import Mark

# An engine without a GPU leaves part of its CPU to loading and writing, which take about a tenth of
# the time; if it took all, a machine with one worker per CPU would have none to decode with, and
# stand still. Beside a GPU, decoding is what the CPUs are for.
ENGINE_CPUS = 0.75
IO_CPUS = 0.25


# A load or a write whose worker is lost is not repeated by Ray, which cannot tell an image that
# kills from a machine that is gone: the whole shard is done again, alone (exec/isolate.py).
@ray.remote(num_returns=2, max_retries=0, scheduling_strategy="SPREAD")
def load_shard_task(work: Work, shard: int) -> tuple[Any, float]:
    """Load a shard; returns it and the time it took in seconds."""
    started = time.monotonic()
    with on_this_node(work.step.run), stopping_after(work.limits.timeout_s):
        loaded = work.step.load(shard)
    return loaded, time.monotonic() - started


class EngineWorker:
    """An engine, set up once, that computes loaded shards."""

    def __init__(self, work: Work) -> None:
        """Set up the step's engine for one thread: there is a worker for each CPU or GPU."""
        self._work = work
        self._engine: Callable[[Any], ShardOutput] = work.step.open_engine(1)

    def __repr__(self) -> str:
        """Give the name that Ray's dashboard shows."""
        return f"{self._work.step.name}: engine"

    def node(self) -> str:
        """Tell which node this is on."""
        node: str = ray.get_runtime_context().get_node_id()
        return node

    @ray.method(num_returns=2)
    def compute(self, loaded: Any) -> tuple[ShardOutput, float]:
        """Compute a loaded shard; returns the output and the time it took in seconds.

        When its GPU is lost the worker dies, and what it had is done by another.
        """
        started = time.monotonic()
        try:
            with stopping_after(self._work.limits.timeout_s):
                output = self._engine(loaded)
        except DeviceLostError as error:
            # This process can use its GPU no more: another worker is started in a new one.
            print(f"an engine worker ends itself: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        return output, time.monotonic() - started

    def do_alone(self, shard: int, attempt: int) -> tuple[Mark, dict[str, float]]:
        """Do all of a shard in a child process, which may use this worker's GPU."""
        started, work = time.monotonic(), self._work
        with on_this_node(work.step.run):
            mark = do_alone(work, shard, attempt)
        return mark, {"alone": time.monotonic() - started}


@ray.remote(num_cpus=IO_CPUS, max_retries=0)
def commit_shard_task(
    work: Work, output: ShardOutput, load_s: float, compute_s: float, attempt: int
) -> tuple[Mark, dict[str, float]]:
    """Write a computed shard; returns its commit mark, and phase -> seconds."""
    started = time.monotonic()
    with on_this_node(work.step.run), stopping_after(work.limits.timeout_s):
        mark = commit(work.step, output, load_s + compute_s, attempt, work.settings_digest)
    write_s = time.monotonic() - started
    return mark, {"load": load_s, "compute": compute_s, "write": write_s}
