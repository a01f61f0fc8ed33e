import os
import subprocess
import sys
import time

import pytest

from iem_batch.processes import birth, machine


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


def test_containers_of_one_name_are_told_apart() -> None:
    """Catches a command that is taken for dead, as its pid means another process here."""
    ask = [sys.executable, "-c", "from iem_batch.processes import machine; print(machine())"]
    assert subprocess.check_output(ask, text=True).strip() == machine()
    apart = ["unshare", "--pid", "--fork", *ask]
    done = subprocess.run(apart, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no namespace can be made here: {done.stderr.strip()}")
    assert done.stdout.strip() != machine()
