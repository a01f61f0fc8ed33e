import os
import subprocess
import sys
import time

from iem_batch.processes import birth


def test_a_process_that_runs_has_one_birth_and_one_that_ended_has_none() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = birth(process.pid)
    assert born
    assert birth(process.pid) == born
    assert int(born) >= int(birth(os.getpid()) or "")
    process.communicate(b"\n")
    assert birth(process.pid) is None


def test_what_is_left_of_a_killed_process_is_not_alive() -> None:
    """Catches a run that is at work for ever in a container without an init."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process.kill()
    deadline = time.monotonic() + 20
    while birth(process.pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, 0)  # it is still in the table of processes: nobody has waited for it
    process.communicate()
