"""Running steps on a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import ray
from ray.exceptions import RayTaskError

from iem_batch.exec.executor import EngineRoom
from iem_batch.exec.local import LocalExecutor
from iem_batch.exec.ray.cluster import cluster, has_cluster, missing, provide_home, require_cluster
from iem_batch.exec.ray.engines import engines_on_gpus, resolve_on_cluster, room_for_engines
from iem_batch.exec.ray.pipeline import run_on_cluster
from iem_batch.exec.settings import ClusterSettings
from iem_batch.exec.step import Progress, Work
from iem_batch.waiting import waiting
from iem_batch.words import count

Result = TypeVar("Result")

SHARDS_PER_TASK = 64
"""Shards that one task of `reduce_shards` looks through."""

FAN_IN = 8
"""Results that one task merges, so that the driver receives but one."""


class RayExecutor:
    """An `Executor` on the cluster of the settings, which is joined when it is first needed."""

    name = "ray"

    def __init__(self, settings: ClusterSettings) -> None:
        self._settings = settings
        self._joined = ExitStack()

    def __enter__(self) -> Self:
        """Begin; an address where no Ray is must not be found out after hours of planning."""
        provide_home()
        if not ray.is_initialized():
            require_cluster(self._settings)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the cluster."""
        self._joined.close()

    def join(self) -> None:
        """Join or start Ray, once, until the block ends."""
        if not ray.is_initialized():
            self._joined.enter_context(cluster(self._settings))

    def run(self, work: Work, shards: Sequence[int], progress: Progress) -> None:
        """As `Executor.run`."""
        self.join()
        run_on_cluster(work, shards, self._settings, progress)

    def fastest_engine(self) -> str:
        """As `Executor.fastest_engine`."""
        self.join()
        return resolve_on_cluster(self._settings)

    def room(self) -> EngineRoom:
        """As `Executor.room`."""
        self.join()
        return room_for_engines(self._settings)

    def call_beside_engine(self, function: Callable[[], Result]) -> Result:
        """As `Executor.call_beside_engine`."""
        self.join()
        needs: dict[str, Any] = {"num_cpus": 1}
        if engines_on_gpus(self._settings):
            needs = {"num_gpus": 1}
        task: Any = ray.remote(**needs)(_call)
        answers = task.options(name="beside-engine", num_returns="streaming").remote(function)
        with waiting(partial(missing, "GPU" if "num_gpus" in needs else "CPU", 1), "processors"):
            ray.get(next(answers))
        try:
            result: Result = ray.get(next(answers))
        except RayTaskError as error:
            raise error.cause from error  # without the trace that Ray puts into its message
        return result

    def reduce_shards(
        self,
        function: Callable[[Sequence[int], int], Result],
        merge: Callable[[Sequence[Result]], Result],
        num_shards: int,
    ) -> Result:
        """As `Executor.reduce_shards`; it is over in seconds, so no Ray is started for it."""
        if not has_cluster(self._settings):
            return LocalExecutor().reduce_shards(function, merge, num_shards)
        self.join()
        look, put_together = ray.put(function), ray.put(merge)
        found = [
            _look_through.remote(look, range(start, min(start + SHARDS_PER_TASK, num_shards)))
            for start in range(0, num_shards, SHARDS_PER_TASK)
        ]
        while len(found) > 1:
            groups = [found[start : start + FAN_IN] for start in range(0, len(found), FAN_IN)]
            found = [_merge.remote(put_together, *group) for group in groups]
        with waiting(lambda: f"a look through {count(num_shards, 'shard')} by tasks", "shards"):
            result: Result = ray.get(found[0])
        return result


@ray.remote(num_cpus=1, max_retries=3)
def _look_through(function: Callable[[Sequence[int], int], Any], shards: range) -> Any:
    return function(shards, 1)


@ray.remote(num_cpus=1, max_retries=3)
def _merge(merge: Callable[[Sequence[Any]], Any], *parts: Any) -> Any:
    return merge(parts)


def _call(function: Callable[[], Result]) -> Iterator[Result | None]:
    """Give a sign that there is room to work, then the result."""
    yield None
    yield function()
