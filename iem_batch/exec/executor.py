"""Who runs steps: one protocol, for this process (`local`) and a Ray cluster (`ray.executor`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, TypeVar

from iem_batch.exec.step import Progress, Work

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class EngineRoom:
    """What engines have to run on."""

    num_workers: int
    """Engine workers that a step would have now."""
    cpus_per_gpu: float
    """CPUs that decode for a worker with a GPU; 0 where a worker is a CPU that does both."""
    num_threads: int
    """Threads of one engine."""


class Executor(Protocol):
    """Runs steps, for the time of a `with` block; the outcome of a step is the same on all."""

    name: str
    """local or ray."""

    def __enter__(self) -> Self:
        """Begin; nothing is started before it is needed."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave what was joined, and end what was started."""

    def run(self, work: Work, shards: Sequence[int], progress: Progress) -> None:
        """Do shards of a step, and commit them.

        A shard whose attempt raises is tried again, then reported; it does not stop the others,
        unless several in a row fail: then it is the storage, the disk or the source. A shard whose
        process dies is done alone, in a child process, and images that kill are quarantined.

        Args:
            work: the step.
            shards: those to do, in the order in which to start them.
            progress: is told of each shard that ends.

        Raises:
            ShardsFailedError: shards failed in every attempt; everything else is committed.
            BackendUnavailableError: the engine cannot be set up.
        """

    def fastest_engine(self) -> str:
        """Name the fastest IEM backend of the machines that will run it.

        Raises:
            BackendUnavailableError: it is not the same on all of them; one run has one engine.
        """

    def room(self) -> EngineRoom:
        """Tell what engines have to run on now."""

    def call_beside_engine(self, function: Callable[[], Result]) -> Result:
        """Call a function where an engine can run: the head of a cluster may have no GPU."""

    def reduce_shards(
        self,
        function: Callable[[Sequence[int], int], Result],
        merge: Callable[[Sequence[Result]], Result],
        num_shards: int,
    ) -> Result:
        """Call a function on all shards, in parts, and merge the results.

        Args:
            function: takes some shards and a number of threads, and gives what it found.
            merge: makes one result of several.
            num_shards: above 0.
        """
