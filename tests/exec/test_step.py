"""How shards are committed, and what this process does with those that fail."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from iem_batch.errors import IntegrityError, ShardsFailedError, StorageError
from iem_batch.exec.step import ShardOutput, commit
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import failure, part
from iem_batch.run.marks import Summary, committed, read_failures, read_mark
from tests.steps.jobs import run_in_process


@dataclass(frozen=True)
class CountingStep:
    """Writes the number of the shard; fails for some shards."""

    run: RunFolder
    failing: frozenset[int] = frozenset()
    loaded: list[int] = field(default_factory=list)
    name: str = "segment"
    num_shards: int = 100
    depends_on: dict[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> RunFolder:
        return self.run

    def load(self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1) -> int:
        self.loaded.append(shard)
        if shard in self.failing:
            raise StorageError(f"no route to shard {shard}")
        return shard

    def image_ids(self, shard: int) -> list[str]:
        return []

    def largest_images(self, shard: int) -> str:
        return ""

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        raise AssertionError("nothing kills here")

    def open_engine(self, num_threads: int) -> Callable[[int], ShardOutput]:
        def compute(shard: int) -> ShardOutput:
            table = pa.table({"shard": [shard]})
            tables = {part(self.name, shard): table}
            return ShardOutput(shard=shard, tables=tables, planned=3, ok=2, quarantined=1)

        return compute

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        return {}

    def complete(self, summary: Summary) -> dict[str, str]:
        return {}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def test_every_shard_is_written_and_marked(run: RunFolder) -> None:
    seen = run_in_process(CountingStep(run), range(4))
    assert [mark.shard for mark in seen] == [0, 1, 2, 3]
    assert committed(run, "segment") == {0, 1, 2, 3}
    assert run.read_table(part("segment", 2)).to_pylist() == [{"shard": 2}]


def test_the_mark_comes_after_the_tables(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a mark that promises a file which a crash has kept from being written."""
    written: list[str] = []
    write_bytes = RunFolder.write_bytes

    def recording(self: RunFolder, name: str, data: bytes) -> str:
        written.append(name)
        return write_bytes(self, name, data)

    monkeypatch.setattr(RunFolder, "write_bytes", recording)
    run_in_process(CountingStep(run), [0])
    of_shards = [name for name in written if "drivers" not in name]
    assert of_shards == [part("segment", 0), layout.mark("segment", 0)]


def test_counts_that_do_not_add_up_are_not_committed(run: RunFolder) -> None:
    with pytest.raises(IntegrityError, match="was given 3 images and has 1 results and 1 reject"):
        commit(
            CountingStep(run),
            ShardOutput(shard=0, tables={}, planned=3, ok=1, quarantined=1),
            0.0,
        )
    assert committed(run, "segment") == set()


def test_a_failed_shard_does_not_stop_the_others(run: RunFolder) -> None:
    step = CountingStep(run, failing=frozenset({1}))
    with pytest.raises(ShardsFailedError, match="shard 1: StorageError: no route to shard 1"):
        run_in_process(step, range(4))
    assert committed(run, "segment") == {0, 2, 3}


def test_failures_in_a_row_end_the_run(run: RunFolder) -> None:
    """Catches hours of computing whose results cannot be written because the disk is full."""
    step = CountingStep(run, failing=frozenset(range(2, 100)))
    with pytest.raises(ShardsFailedError, match="3 shards of segment failed"):
        run_in_process(step, range(100))
    assert step.loaded == [0, 1, *[2] * 3, *[3] * 3, *[4] * 3]


def test_a_shard_that_fails_at_first_is_tried_again_and_its_mark_says_so(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = CountingStep(run)
    load = CountingStep.load

    def flaky(self: CountingStep, shard: int, **how: Any) -> int:
        load(self, shard)
        if self.loaded.count(shard) < 3:
            raise StorageError("slow down")
        return shard

    monkeypatch.setattr(CountingStep, "load", flaky)
    run_in_process(step, [7], max_attempts=3)
    assert read_mark(run, "segment", 7).attempts == 3
    assert not run.names("_run/failures/masks")


def test_attempts_are_counted_over_commands(run: RunFolder) -> None:
    """Two commands of two attempts each, then one that succeeds: the fifth."""
    for _ in range(2):
        with pytest.raises(ShardsFailedError):
            run_in_process(CountingStep(run, frozenset({1})), [1], max_attempts=2)
    [account] = read_failures(run, "segment").values()
    assert (account.attempts, account.error) == (4, "StorageError: no route to shard 1")
    run_in_process(CountingStep(run), [1])
    assert read_mark(run, "segment", 1).attempts == 5
    assert not run.exists(failure("segment", 1))


def test_a_file_that_must_not_be_there_is_deleted_before_the_mark(run: RunFolder) -> None:
    """Catches the quarantine row of an attempt before, of an image that could be read at last."""
    run.write_bytes(part("quarantine", 0), b"of an attempt that was killed before its mark")
    tables = {part("segment", 0): pa.table({"shard": [0]}), part("quarantine", 0): None}
    output = ShardOutput(shard=0, tables=tables, planned=1, ok=1, quarantined=0)
    done = commit(CountingStep(run), output, 0.0)
    assert not run.exists(part("quarantine", 0))
    assert list(done.files) == [part("segment", 0)]
