from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from iem_batch.data.run_folder import RunFolder, mark, part
from iem_batch.errors import ShardsFailedError, StorageError
from iem_batch.stages.shards import ShardOutput, commit, outputs_digest, run_in_process


@dataclass(frozen=True)
class CountingStep:
    """Writes the number of the shard; fails for some shards."""

    run: RunFolder
    failing: frozenset[int] = frozenset()
    loaded: list[int] = field(default_factory=list)
    name: str = "masks"

    def load(self, shard: int) -> int:
        self.loaded.append(shard)
        if shard in self.failing:
            raise StorageError(f"no route to shard {shard}")
        return shard

    def open_engine(self, num_threads: int) -> Callable[[int], ShardOutput]:
        def compute(shard: int) -> ShardOutput:
            table = pa.table({"shard": [shard]})
            tables = {part(self.name, shard): table}
            return ShardOutput(shard=shard, tables=tables, planned=3, ok=2, quarantined=1)

        return compute


def ignore(mark: dict[str, Any]) -> None:
    pass


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def test_every_shard_is_written_and_marked(run: RunFolder) -> None:
    seen: list[int] = []
    run_in_process(CountingStep(run), range(4), lambda mark: seen.append(mark["shard"]))
    assert seen == [0, 1, 2, 3]
    assert run.committed("masks") == {0, 1, 2, 3}
    assert run.read_table(part("masks", 2)).to_pylist() == [{"shard": 2}]


def test_the_mark_comes_after_the_tables(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a mark that promises a file which a crash has kept from being written."""
    written: list[str] = []
    write_bytes = RunFolder.write_bytes

    def recording(self: RunFolder, name: str, data: bytes) -> str:
        written.append(name)
        return write_bytes(self, name, data)

    monkeypatch.setattr(RunFolder, "write_bytes", recording)
    run_in_process(CountingStep(run), [0], ignore)
    assert written == [part("masks", 0), mark("masks", 0)]


def test_counts_that_do_not_add_up_are_not_committed(run: RunFolder) -> None:
    output = ShardOutput(shard=0, tables={}, planned=3, ok=1, quarantined=1)
    with pytest.raises(AssertionError):
        commit(CountingStep(run), output, 0.0)
    assert run.committed("masks") == set()


def test_a_failed_shard_does_not_stop_the_others(run: RunFolder) -> None:
    step = CountingStep(run, failing=frozenset({1}))
    with pytest.raises(ShardsFailedError, match="shard 1: StorageError: no route to shard 1"):
        run_in_process(step, range(4), ignore)
    assert run.committed("masks") == {0, 2, 3}


def test_failures_in_a_row_end_the_run(run: RunFolder) -> None:
    """Catches hours of computing whose results cannot be written because the disk is full."""
    step = CountingStep(run, failing=frozenset(range(2, 100)))
    with pytest.raises(ShardsFailedError, match="3 shards of masks failed"):
        run_in_process(step, range(100), ignore)
    assert step.loaded == [0, 1, 2, 3, 4]


def test_digest_depends_on_the_files_and_not_on_the_clock(tmp_path: Path) -> None:
    first, second = (RunFolder(str(tmp_path / name)) for name in ("first", "second"))
    for run in (first, second):
        run_in_process(CountingStep(run), range(3), ignore)
    assert outputs_digest(first, "masks", 3) == outputs_digest(second, "masks", 3)
    with pytest.raises(ShardsFailedError, match="1 of 4 shards of masks are not done"):
        outputs_digest(first, "masks", 4)
