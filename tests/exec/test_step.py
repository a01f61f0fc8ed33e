from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from iem_batch.exec.in_process import run_in_process
from iem_batch.run.folder import RunFolder, failure, mark, part

from iem_batch.errors import RunMismatchError, ShardsFailedError, StorageError
from iem_batch.exec.settings import LimitSettings
from iem_batch.exec.step import ShardOutput, commit, outputs_digest, totals


@dataclass(frozen=True)
class CountingStep:
    """Writes the number of the shard; fails for some shards."""

    run: RunFolder
    failing: frozenset[int] = frozenset()
    loaded: list[int] = field(default_factory=list)
    name: str = "masks"

    def load(self, shard: int, wanted: Container[str] | None = None) -> int:
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
    of_shards = [name for name in written if "drivers" not in name]
    assert of_shards == [part("masks", 0), mark("masks", 0)]


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
    assert step.loaded == [0, 1, *[2] * 3, *[3] * 3, *[4] * 3]


def test_digest_depends_on_the_files_and_not_on_the_clock(tmp_path: Path) -> None:
    first, second = (RunFolder(str(tmp_path / name)) for name in ("first", "second"))
    for run in (first, second):
        run_in_process(CountingStep(run), range(3), ignore)
    assert outputs_digest(first, "masks", 3) == outputs_digest(second, "masks", 3)
    with pytest.raises(ShardsFailedError, match="1 of 4 shards of masks are not done"):
        outputs_digest(first, "masks", 4)


def test_a_shard_that_fails_at_first_is_tried_again_and_its_mark_says_so(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = CountingStep(run)
    load = CountingStep.load

    def flaky(self: CountingStep, shard: int, wanted: Container[str] | None = None) -> int:
        load(self, shard)
        if self.loaded.count(shard) < 3:
            raise StorageError("slow down")
        return shard

    monkeypatch.setattr(CountingStep, "load", flaky)
    run_in_process(step, [7], ignore, LimitSettings(max_attempts=3))
    [done] = run.marks("masks", [7])
    assert done["attempts"] == 3
    assert not run.names("_run/failures/masks")


def test_attempts_are_counted_over_commands(run: RunFolder) -> None:
    """Two commands of two attempts each, then one that succeeds: the fifth."""
    for _ in range(2):
        with pytest.raises(ShardsFailedError):
            run_in_process(
                CountingStep(run, frozenset({1})), [1], ignore, LimitSettings(max_attempts=2)
            )
    account = run.read_json(failure("masks", 1))
    assert (account["attempts"], account["error"]) == (4, "StorageError: no route to shard 1")
    run_in_process(CountingStep(run), [1], ignore)
    assert run.marks("masks", [1])[0]["attempts"] == 5
    assert not run.exists(failure("masks", 1))


def test_a_file_that_must_not_be_there_is_deleted_before_the_mark(run: RunFolder) -> None:
    """Catches the quarantine row of an attempt before, of an image that could be read at last."""
    run.write_bytes(part("quarantine", 0), b"of an attempt that was killed before its mark")
    tables = {part("masks", 0): pa.table({"shard": [0]}), part("quarantine", 0): None}
    output = ShardOutput(shard=0, tables=tables, planned=1, ok=1, quarantined=0)
    done = commit(CountingStep(run), output, 0.0)
    assert not run.exists(part("quarantine", 0))
    assert list(done["files"]) == [part("masks", 0)]


def test_marks_of_a_command_with_other_settings_are_refused(run: RunFolder) -> None:
    """Catches two commands begun at the same instant with different settings, whose shards mix."""
    run_in_process(CountingStep(run), [0, 2], ignore, begun="ours")
    run_in_process(CountingStep(run), [1], ignore, begun="theirs")
    assert totals(run, "masks", 3).planned == 9
    with pytest.raises(RunMismatchError, match="1 shards of .*, the first is 1"):
        totals(run, "masks", 3, "ours")
