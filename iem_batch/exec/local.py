"""Running steps in this process, one shard after another."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

from iem_batch.errors import DeviceLostError
from iem_batch.exec.executor import EngineRoom
from iem_batch.exec.isolate import do_alone
from iem_batch.exec.journal import Journal
from iem_batch.exec.step import Progress, Work, do_shard, raise_failures, stopping_after
from iem_batch.iem.backends import resolve
from iem_batch.processes import num_cpus

Result = TypeVar("Result")


class LocalExecutor:
    """An `Executor` without Ray.

    A shard that was in flight when a process died is done in a child process by the next call.
    """

    name = "local"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """There is nothing to end."""

    def run(self, work: Work, shards: Sequence[int], progress: Progress) -> None:
        """As `Executor.run`."""
        step, limits = work.step, work.limits
        with Journal(step.run, step.place, step.name, in_process=True) as journal:
            attempts = journal.open_attempts(list(shards), limits.max_attempts)
            num_threads = num_cpus()
            engine = step.open_engine(num_threads)
            while attempt := attempts.start():
                journal.started()
                try:
                    if attempt.alone:
                        mark = do_alone(work, attempt.shard, attempt.number)
                    else:
                        with stopping_after(limits.timeout_s):
                            mark = do_shard(
                                work, engine, attempt.shard, attempt.number, num_threads
                            )
                except Exception as error:  # noqa: BLE001 - whatever a step raises is its shard's
                    cause = f"{type(error).__name__}: {error}"
                    lost = isinstance(error, DeviceLostError)
                    if attempts.failed(attempt.shard, cause, lost=lost):
                        journal.failed(attempt, cause, error)
                        progress.failed(attempt.shard)
                else:
                    attempts.done(attempt.shard)
                    journal.done(attempt.shard)
                    progress.done(mark)
        raise_failures(step, attempts.failures)

    def fastest_engine(self) -> str:
        """As `Executor.fastest_engine`."""
        return resolve("auto")

    def room(self) -> EngineRoom:
        """As `Executor.room`."""
        return EngineRoom(num_workers=1, cpus_per_gpu=0.0, num_threads=num_cpus())

    def call_beside_engine(self, function: Callable[[], Result]) -> Result:
        """As `Executor.call_beside_engine`."""
        return function()

    def reduce_shards(
        self,
        function: Callable[[Sequence[int], int], Result],
        merge: Callable[[Sequence[Result]], Result],
        num_shards: int,
    ) -> Result:
        """As `Executor.reduce_shards`."""
        return function(range(num_shards), num_cpus())
