import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from iem_batch.storage.local_files import SECONDS_TO_WRITE, delete_unfinished_writes, replace_file

WRITE_HALF = """
import os, sys, time
from iem_batch.storage import local_files
local_files.os.fsync = lambda descriptor: (print("half", flush=True), time.sleep(600))
local_files.replace_file(sys.argv[1], b"x")
"""


def hidden(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.rglob(".*.tmp"))


def test_what_a_kill_cut_off_is_deleted_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_HALF, str(tmp_path / "run/deep/x")], stdout=subprocess.PIPE
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == b"half\n"
    [name] = hidden(tmp_path)
    delete_unfinished_writes(str(tmp_path / "run"))
    assert hidden(tmp_path) == [name]
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    delete_unfinished_writes(str(tmp_path / "run"))
    assert hidden(tmp_path) == []


def test_writes_succeed_while_others_are_taken_away(tmp_path: Path) -> None:
    """Catches the second of two commands that start at once, and fails the first."""
    ended = threading.Event()

    def clear() -> None:
        while not ended.is_set():
            delete_unfinished_writes(str(tmp_path))

    thread = threading.Thread(target=clear)
    thread.start()
    try:
        for number in range(300):
            replace_file(str(tmp_path / "x"), b"%d" % number)
    finally:
        ended.set()
        thread.join()
    assert os.listdir(tmp_path) == ["x"]
    assert (tmp_path / "x").read_bytes() == b"299"


@pytest.mark.parametrize("name", [".x.01234567-1-01234567.tmp", ".x\n.y.01234567-1-01234567.tmp"])
def test_what_another_machine_writes_is_deleted_once_it_is_old(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"half")
    for somebodys in ("x.tmp", ".notes.tmp"):
        (tmp_path / somebodys).write_bytes(b"nobody's business")
    delete_unfinished_writes(str(tmp_path))
    assert hidden(tmp_path) == sorted([".notes.tmp", name])
    before = time.time() - SECONDS_TO_WRITE - 1
    for file in tmp_path.iterdir():
        os.utime(file, (before, before))
    delete_unfinished_writes(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [".notes.tmp", "x.tmp"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    delete_unfinished_writes(str(tmp_path / "absent"))
