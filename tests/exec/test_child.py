import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iem_batch.errors import StorageError, WorkerKilledError
from iem_batch.exec.child import Child
from iem_batch.processes import birth


def double(value: int) -> int:
    print("a library that prints")
    return 2 * value


def process_id() -> int:
    return os.getpid()


def refuse() -> None:
    raise StorageError("no route")


def die(number: int) -> None:
    os.kill(os.getpid(), number)


def say_and_die(words: str) -> None:
    os.write(2, words.encode())
    os.kill(os.getpid(), signal.SIGSEGV)


def leave(status: int) -> None:
    os._exit(status)


def test_answers_and_is_kept_for_the_next_call() -> None:
    with Child() as child:
        assert child.call(None, double, 21) == 42
        first = child.call(None, process_id)
        assert first == child.call(None, process_id) != os.getpid()


def test_what_is_raised_there_is_raised_here_and_the_child_lives() -> None:
    with Child() as child:
        before = child.call(None, process_id)
        with pytest.raises(StorageError, match="no route"):
            child.call(None, refuse)
        assert child.call(None, process_id) == before


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGKILL, signal.SIGABRT])
def test_says_what_killed_it_and_goes_on_with_another(number: signal.Signals) -> None:
    with Child() as child:
        with pytest.raises(WorkerKilledError, match=f"killed its process by {number.name}"):
            child.call(None, die, number)
        with pytest.raises(WorkerKilledError, match="ended its process with status 3"):
            child.call(None, leave, 3)
        assert child.call(None, double, 1) == 2


def test_one_that_does_not_answer_is_stopped() -> None:
    with Child() as child:
        with pytest.raises(WorkerKilledError, match="gave no result within 0.2 s"):
            child.call(0.2, time.sleep, 60)
        assert child.call(None, double, 1) == 2


def test_last_words_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    """The end of them, 4 kB; and they are shown as they come."""
    with Child() as child:
        with pytest.raises(WorkerKilledError) as caught:
            child.call(None, say_and_die, "begin" + "x" * 5000 + "\nno memory\n")
        (note,) = caught.value.__notes__
        assert note.startswith("the end of its standard error:\nxxx")
        assert note.endswith("x\nno memory")
        assert len(note) < 4200
        with pytest.raises(WorkerKilledError) as caught:
            child.call(None, leave, 3)
        assert not hasattr(caught.value, "__notes__")
    assert capfd.readouterr().err.startswith("beginxxx")


def test_dies_with_its_parent(tmp_path: Path) -> None:
    """Catches children that go on computing, and writing, after their worker was killed."""
    code = (
        "import os, time\n"
        "from iem_batch.exec.child import Child\n"
        "from tests.exec.test_child import process_id\n"
        "child = Child()\n"
        "print(child.call(None, process_id), flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while birth(child) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
