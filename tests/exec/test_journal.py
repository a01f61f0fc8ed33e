import os
import socket
from pathlib import Path
from typing import Any

import pytest

from iem_batch.errors import StorageError, WorkerKilledError
from iem_batch.exec.attempts import Attempt
from iem_batch.exec.journal import Driver, Journal, drivers
from iem_batch.processes import birth, machine
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_failures

GONE = {
    "host": socket.gethostname(),
    "machine": machine(),
    "pid": 2**22 - 1,
    "born": "0",
    "seen": 0.0,
}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder(str(tmp_path / "run"))


def leave_driver(run: RunFolder, **of: Any) -> Driver:
    """Write what a command leaves that was killed with shard 3 in flight."""
    record = {"step": "segment", "in_process": True, "in_flight": {"3": 2}}
    driver = Driver(**GONE | record | of)
    run.write_json(driver.name, driver.__dict__)
    return driver


def test_its_file_is_there_while_it_is_at_work_and_gone_after(run: RunFolder) -> None:
    with (
        pytest.raises(StorageError, match="no route"),
        Journal(run, run, "segment", in_process=True),
    ):
        raise StorageError("no route")
    assert not run.names(layout.DRIVERS)
    with Journal(run, run, "segment", in_process=True) as journal:
        attempts = journal.open_attempts([4, 5], 3)
        attempts.start()
        journal.started()
        [driver] = drivers(run)
        assert (driver.pid, driver.step, driver.in_flight) == (os.getpid(), "segment", {"4": 1})
        assert driver.alive
    assert not run.names(layout.DRIVERS)


def test_what_was_in_the_works_when_a_process_died_is_suspect(run: RunFolder) -> None:
    """Its shard is tried alone and counts one attempt more; the file of the dead is taken away."""
    leave_driver(run)
    with Journal(run, run, "segment", in_process=True) as journal:
        assert journal.suspects == {3}
        attempt = journal.open_attempts([3], 1).start()
    assert attempt == Attempt(shard=3, number=2, alone=True)
    assert not run.names(layout.DRIVERS)


@pytest.mark.parametrize("of", [{"in_process": False}, {"step": "refine"}])
def test_a_shard_that_was_elsewhere_is_not_suspect(run: RunFolder, of: dict[str, Any]) -> None:
    """On Ray the shard was not in the process that died; another step has other shards."""
    leave_driver(run, **of)
    with Journal(run, run, "segment", in_process=True) as journal:
        assert journal.suspects == set()


def test_unfinished_writes_of_the_dead_are_deleted_and_of_the_living_are_not(
    run: RunFolder,
) -> None:
    """Catches hidden files that stay for ever, and a write cut off from under another command."""
    written_by_dead = f"{machine()}-{GONE['pid']}"
    names = [
        f"{name}.{written_by_dead}-01234567.tmp"
        for name in (
            "segment/.part-00003.parquet",
            "_run/stats/segment/.part-00003.json",
            "_run/steps/.segment.json",
        )
    ]
    for name in names:
        run.write_bytes(name, b"half")
    living = leave_driver(run, pid=os.getppid(), born=birth(os.getppid()) or "")
    with Journal(run, run, "segment", in_process=True) as journal:
        assert [driver.pid for driver in journal.others] == [living.pid]
    assert all(run.exists(name) for name in names)
    run.delete(living.name)
    with Journal(run, run, "segment", in_process=True):
        pass
    assert not any(run.exists(name) for name in names)


def test_a_failure_is_accounted_for_until_its_shard_is_done(run: RunFolder) -> None:
    with Journal(run, run, "segment", in_process=True) as journal:
        journal.failed(
            Attempt(shard=2, number=3, alone=False), "no route to 2", StorageError("no route")
        )
    [account] = read_failures(run, "segment").values()
    assert account.trace == ["iem_batch.errors.StorageError: no route"]
    assert (account.shard, account.attempts, account.error) == (2, 3, "no route to 2")
    with Journal(run, run, "segment", in_process=True) as journal:
        journal.done(2)
    assert not run.exists(layout.failure("segment", 2))


def test_last_words_of_a_child_are_in_the_account(run: RunFolder) -> None:
    """Without what is secret."""
    error = WorkerKilledError("killed its process by SIGSEGV")
    error.add_note("the end of its standard error:\nno memory for https://me:geheim@host/x?Sig=abc")
    with Journal(run, run, "segment", in_process=True) as journal:
        journal.failed(Attempt(shard=2, number=3, alone=True), str(error), error)
    [account] = read_failures(run, "segment").values()
    assert account.trace[1:] == [
        "the end of its standard error:",
        "no memory for https://...@host/x?...",
    ]


def test_a_step_of_a_round_is_another(run: RunFolder) -> None:
    """Catches shards of one round that are suspect in the next, and failures of both mixed."""
    place = run.below("rounds/2")
    leave_driver(run, step="rounds/2/segment")
    with Journal(run, place, "segment", in_process=True) as journal:
        assert journal.suspects == {3}
        assert [driver.step for driver in drivers(run)] in ([], ["rounds/2/segment"])
        journal.failed(
            Attempt(shard=2, number=3, alone=False), "no route to 2", StorageError("no route")
        )
    assert list(read_failures(place, "segment")) == [2]
    assert not read_failures(run, "segment")


def test_a_store_that_cannot_be_written_does_not_stop_the_work(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches the error of a full disk hidden behind one about a file that nobody needs."""

    def full(self: RunFolder, name: str, data: bytes) -> str:
        raise StorageError("No space left on device")

    monkeypatch.setattr(RunFolder, "write_bytes", full)
    with Journal(run, run, "segment", in_process=True) as journal:
        journal.started()
        journal.failed(
            Attempt(shard=1, number=1, alone=False),
            "No space left on device",
            StorageError("no route"),
        )
