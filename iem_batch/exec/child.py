"""A child process for work that may kill the process that does it.

If the child dies, the parent sees how and starts another. If the parent dies, so does the child.
What the child writes to standard error goes to that of the parent, who remembers the end of it.
"""

import contextlib
import ctypes
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from types import TracebackType
from typing import IO, Any, ParamSpec, Self, TypeVar, cast

from iem_batch.errors import DeviceLostError, WorkerKilledError

P = ParamSpec("P")
T = TypeVar("T")

LAST_WORDS_BYTES = 4096
"""Of the standard error of a child that died, so much is in the notes of the error."""

_PR_SET_PDEATHSIG = 1
_CODE = "from iem_batch.exec.child import serve; serve()"


class Child:
    """Calls functions in a child process, which is started when it is needed.

    The functions and their arguments are pickled, so they must be importable there; the child has
    the search path of this process.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._words = bytearray()
        self._listener: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the child, in the middle of a call if there is one."""
        if self._process is not None:
            self._end(self._process)

    def call(
        self, timeout_s: float | None, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Call a function in the child.

        Args:
            timeout_s: seconds after which the child is killed; None waits for ever.
            function: what to call.
            args: its arguments.
            kwargs: its keyword arguments.

        Returns:
            What the function returned. What it raised is raised here.

        Raises:
            WorkerKilledError: the child died, is of no use any more (`DeviceLostError`), or did
                not answer in time; says how.
        """
        process = self._process or self._start()
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            pickle.dump((function, args, kwargs), process.stdin)
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], timeout_s)
            if not ready:
                self._end(process)
                raise self._death(f"gave no result within {timeout_s:g} s")
            succeeded, value = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            raise self._death(_how_it_ended(self._end(process))) from error
        if isinstance(value, DeviceLostError):
            self._end(process)
            raise self._death(str(value)) from value
        if not succeeded:
            raise value
        return cast(T, value)

    def _start(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )
        self._words = bytearray()
        arguments = process.stderr, self._words
        self._listener = threading.Thread(target=_pass_on, args=arguments, daemon=True)
        self._listener.start()
        return process

    def _death(self, message: str) -> WorkerKilledError:
        """Make the error for a child that has ended."""
        error = WorkerKilledError(message)
        if self._listener is not None:
            self._listener.join(1)  # what the child has started itself may still write
        if words := self._words.decode(errors="replace").strip():
            error.add_note(f"the end of its standard error:\n{words}")
        return error

    def _end(self, process: subprocess.Popen[bytes]) -> int:
        """Kill the child if it is alive; returns how it ended, as `Popen.returncode`."""
        self._process = None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            # A child that has closed its end is about to die by itself; its status says how.
            status = process.wait(1 if process.stdout.closed or _at_end(process.stdout) else 0)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        process.stdout.close()
        with contextlib.suppress(BrokenPipeError):  # the last message is still in the buffer
            process.stdin.close()
        return status


def serve() -> None:
    """Answer calls on standard input, in the child, until there are no more."""
    _die_with_the_parent()
    # Ctrl-C goes to all processes of a terminal; the parent decides what becomes of the child.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    calls = os.fdopen(os.dup(0), "rb")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not get among the answers
    while True:
        try:
            function, args, kwargs = pickle.load(calls)
        except EOFError:
            return
        answer: tuple[bool, Any]
        try:
            answer = True, function(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - raised again in the parent
            answer = False, error
        pickle.dump(answer, answers)
        answers.flush()


def _pass_on(stream: IO[bytes], words: bytearray) -> None:
    """Copy to standard error what a child writes, and keep the end of it."""
    with stream:
        while chunk := os.read(stream.fileno(), LAST_WORDS_BYTES):
            words += chunk
            del words[:-LAST_WORDS_BYTES]
            with contextlib.suppress(OSError):  # nobody reads it
                os.write(2, chunk)


def _die_with_the_parent() -> None:
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died meanwhile
            os.kill(os.getpid(), signal.SIGKILL)


def _at_end(stream: IO[bytes]) -> bool:
    ready, _, _ = select.select([stream], [], [], 0)
    return bool(ready)


def _how_it_ended(status: int) -> str:
    if status < 0:
        return f"killed its process by {signal.Signals(-status).name}"
    return f"ended its process with status {status}"
