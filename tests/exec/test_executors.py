"""What every executor must do alike, whatever happens to a shard."""

import re
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from iem_batch.errors import BackendUnavailableError, ShardsFailedError
from iem_batch.exec.executor import Executor
from iem_batch.exec.local import LocalExecutor
from iem_batch.exec.settings import ClusterSettings
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import resolve
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import read_killers
from iem_batch.run.marks import Mark, add_up, committed, read_failures, read_mark, read_marks
from iem_batch.steps.registry import up_to
from tests.exec.test_isolate import do_shards_in_a_process
from tests.steps.jobs import Told, work_of
from tests.steps.poisoned import PoisonedStep

SHARDS = range(4)


@pytest.fixture(params=["local", pytest.param("ray", marks=pytest.mark.ray)])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    if request.param == "local":
        with LocalExecutor() as local:
            yield local
        return
    request.getfixturevalue("local_ray")
    from iem_batch.exec.ray.executor import RayExecutor

    with RayExecutor(ClusterSettings(num_workers=2, shards_per_worker=2)) as ray:
        yield ray


@dataclass(frozen=True)
class FaultyStep(PoisonedStep):
    """Fails at shard 1, in a phase of one's choice."""

    phase: str = ""

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> tuple[int, list[str], int]:
        if shard == 1 and self.phase == "load":
            raise ValueError("no such colour")
        if shard == 1 and self.phase == "interrupt":
            raise KeyboardInterrupt
        return super().load(shard, wanted, num_threads)

    def open_engine(self, num_threads: int) -> Callable[[tuple[int, list[str], int]], ShardOutput]:
        if self.phase == "start":
            raise BackendUnavailableError("no compiler")
        engine = super().open_engine(num_threads)

        def compute(loaded: tuple[int, list[str], int]) -> ShardOutput:
            if loaded[0] == 1 and self.phase == "engine":
                raise ZeroDivisionError("an empty mask")
            return engine(loaded)

        return compute


@pytest.fixture
def step(tmp_path: Path) -> FaultyStep:
    (tmp_path / "trouble").mkdir()
    return FaultyStep(RunFolder(str(tmp_path / "run")), tmp_path / "trouble")


def run(
    executor: Executor, step: PoisonedStep, shards: Sequence[int] = SHARDS, **limits: Any
) -> Told:
    told = Told()
    executor.run(work_of(step, **limits), shards, told)
    return told


def assert_only_shard_1_failed(executor: Executor, step: FaultyStep, error: str) -> None:
    told = Told()
    with pytest.raises(ShardsFailedError, match=f"1 shard of segment failed:\n  shard 1: {error}"):
        executor.run(work_of(step), SHARDS, told)
    assert committed(step.run, step.name) == {0, 2, 3}
    assert sorted(mark.shard for mark in told.marks) == [0, 2, 3]
    assert told.lost == [1]
    failures = read_failures(step.run, step.name)
    assert {shard: (each.error, each.attempts) for shard, each in failures.items()} == {
        1: (error, 3)
    }
    assert not step.run.names(layout.DRIVERS)


def test_every_shard_is_done_once_and_told(executor: Executor, step: FaultyStep) -> None:
    told = run(executor, step)
    assert sorted(mark.shard for mark in told.marks) == list(SHARDS)
    by_shard = sorted(told.marks, key=lambda mark: mark.shard)
    assert by_shard == list(read_marks(step.run, step.name, SHARDS))
    assert (told.lost, step.run.names(layout.DRIVERS)) == ([], [])


def test_the_bytes_are_those_of_any_other_executor(
    executor: Executor, step: FaultyStep, tmp_path: Path
) -> None:
    """Catches an output under the name of another shard, and one that depends on where it ran."""
    run(executor, step)
    other = replace(step, run=RunFolder(str(tmp_path / "other")))
    run(LocalExecutor(), other)
    for name in (layout.part(step.name, shard) for shard in SHARDS):
        assert step.run.read_bytes(name) == other.run.read_bytes(name)

    def what_was_done(mark: Mark) -> Mark:
        return replace(mark, seconds=0.0, finished=0.0)

    marks, others = (
        [what_was_done(mark) for mark in read_marks(each.run, step.name, SHARDS)]
        for each in (step, other)
    )
    assert marks == others
    digests = {
        add_up(each.run, step.name, SHARDS, step.summarize).outputs_digest for each in (step, other)
    }
    assert len(digests) == 1


def test_a_load_that_raises_is_its_shards_failure(executor: Executor, step: FaultyStep) -> None:
    """Catches an error of Python's own that ends the command, and the shards after it undone."""
    step = replace(step, phase="load")
    assert_only_shard_1_failed(executor, step, "ValueError: no such colour")


def test_an_engine_that_raises_is_the_shards_failure(executor: Executor, step: FaultyStep) -> None:
    step = replace(step, phase="engine")
    assert_only_shard_1_failed(executor, step, "ZeroDivisionError: an empty mask")


def test_what_failed_is_done_by_the_next_command(executor: Executor, step: FaultyStep) -> None:
    """Attempts are counted over both, and the account of the failure goes."""
    with pytest.raises(ShardsFailedError):
        run(executor, replace(step, phase="load"), max_attempts=1)
    assert read_failures(step.run, step.name)[1].attempts == 1
    run(executor, step, [1])
    assert read_mark(step.run, step.name, 1).attempts == 2
    assert not step.run.names(f"_run/failures/{step.name}")


def test_a_shard_that_fails_at_first_is_tried_again(executor: Executor, step: FaultyStep) -> None:
    (step.trouble / "flaky-2.0").touch()
    run(executor, step)
    attempts = [mark.attempts for mark in read_marks(step.run, step.name, SHARDS)]
    assert attempts == [1, 1, 2, 1]


def test_an_engine_that_cannot_be_set_up_ends_the_step(
    executor: Executor, step: FaultyStep
) -> None:
    """Catches a step that blames its shards, one after another, for a missing compiler."""
    with pytest.raises(BackendUnavailableError, match="no compiler"):
        run(executor, replace(step, phase="start"))
    assert committed(step.run, step.name) == set()
    assert not read_failures(step.run, step.name)
    assert not step.run.names(layout.DRIVERS)


def test_a_store_that_refuses_writes_ends_the_step_early(
    executor: Executor, step: FaultyStep
) -> None:
    """Catches marks of shards that lie nowhere, and hours against a disk that takes nothing."""
    step.run.write_bytes(step.name, b"a file where the folder should be")
    with pytest.raises(ShardsFailedError) as failed:
        run(executor, step, range(50), max_attempts=1)
    # The third ends the step; on Ray others are at work by then.
    assert re.match(r"[3-9] shards of segment failed", str(failed.value))
    assert "StorageError: cannot write" in str(failed.value)
    assert committed(step.run, step.name) == set()
    failures = read_failures(step.run, step.name)
    assert 3 <= len(failures) < 10
    assert all(each.error.startswith("StorageError: cannot write") for each in failures.values())


def test_an_image_that_kills_its_process_is_a_row_and_its_neighbours_are_done(
    executor: Executor, step: FaultyStep
) -> None:
    """In the process of the command it takes that along; then the next one knows."""
    plain = PoisonedStep(step.run, step.trouble)
    (step.trouble / "segfault-1.3").touch()
    if executor.name == "local":
        assert do_shards_in_a_process(plain) != 0
    left = sorted(set(range(3)) - committed(plain.run, plain.name))
    run(executor, plain, left)
    marks = list(read_marks(plain.run, plain.name, range(3)))
    assert [(mark.ok, mark.quarantined) for mark in marks] == [(6, 0), (5, 1), (6, 0)]
    killer = {"1.3": "killed its process by SIGSEGV"}
    assert read_killers(plain.run, up_to(plain.name), 1) == killer
    assert not plain.run.names(layout.DRIVERS)


class Impatient(Told):
    """Presses Ctrl-C when two shards are done."""

    def done(self, mark: Mark) -> None:
        super().done(mark)
        if len(self.marks) == 2:
            raise KeyboardInterrupt


def test_an_interrupt_goes_through_and_what_is_done_is_kept(
    executor: Executor, step: FaultyStep
) -> None:
    """Catches Ctrl-C taken for a failed shard, and a command that looks as if it were at work."""
    told = Impatient()
    with pytest.raises(KeyboardInterrupt):
        executor.run(work_of(step), range(20), told)
    done = committed(step.run, step.name)
    assert {mark.shard for mark in told.marks} <= done != set(range(20))
    assert not read_failures(step.run, step.name)
    assert not step.run.names(layout.DRIVERS)
    run(executor, step, sorted(set(range(20)) - done))
    assert committed(step.run, step.name) == set(range(20))


def test_an_interrupt_within_a_shard_goes_through(step: FaultyStep) -> None:
    """Where the shard is done by the process of the command, which the terminal tells."""
    with pytest.raises(KeyboardInterrupt):
        run(LocalExecutor(), replace(step, phase="interrupt"))
    assert committed(step.run, step.name) == {0}
    assert not read_failures(step.run, step.name)
    assert not step.run.names(layout.DRIVERS)


def test_nothing_to_do_does_nothing(executor: Executor, step: FaultyStep) -> None:
    assert run(executor, step, []) == Told()
    assert not step.run.exists(layout.part(step.name, 0))


def test_all_shards_are_looked_through_once(executor: Executor) -> None:
    """More of them than one task looks through, and more tasks than one merges."""

    def numbers(shards: Sequence[int], num_threads: int) -> list[int]:
        assert num_threads > 0
        return list(shards)

    def together(parts: Sequence[list[int]]) -> list[int]:
        return sorted(number for part in parts for number in part)

    for num_shards in (1, 700):
        found = executor.reduce_shards(numbers, together, num_shards)
        assert found == list(range(num_shards))


def test_there_is_room_for_an_engine(executor: Executor) -> None:
    assert executor.call_beside_engine(lambda: 6 * 7) == 42
    assert executor.fastest_engine() == resolve("auto")
    room = executor.room()
    assert room.num_workers >= 1
    assert room.num_threads >= 1
    assert room.cpus_per_gpu >= 0
