"""Who wants a command to end: Ctrl-C, SIGTERM, a reader that has gone.

It ends in good order, or at once when asked again.
"""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from iem_batch.processes import descendants

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Interrupt(KeyboardInterrupt):
    """Somebody wants this process to end.

    Args:
        number: the signal that said so.
    """

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(number)
        self.number = number

    @property
    def status(self) -> int:
        """The exit status by which a shell knows the signal: 130 or 143."""
        return 128 + self.number

    def __str__(self) -> str:
        """Say what happened, for a person."""
        return (
            f"{_WORDS[self.number]}; what is done is kept, run the same command again to do the "
            "rest"
        )


@contextmanager
def raising_interrupts() -> Iterator[None]:
    """Raise `Interrupt` in the block at the first signal; end the process at the second.

    What is in flight is dropped: files appear whole or not at all, so there is nothing to finish.
    A signal that this process was started to ignore stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _WORDS}
    received: list[signal.Signals] = []

    def first(number: int, frame: FrameType | None) -> NoReturn:
        received.append(signal.Signals(number))
        for other in _WORDS:
            if signal.getsignal(other) is not signal.SIG_IGN:
                signal.signal(other, _second)
        raise Interrupt(received[0])

    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, first)
    try:
        yield
    except KeyboardInterrupt as raised:
        # Ray raises one of its own instead, which does not say which signal it was.
        raise Interrupt(received[0] if received else signal.SIGINT) from raised
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def for_the_reader() -> Iterator[None]:
    """Write in the block what its reader can read, and end as others do where nobody reads on.

    Raises:
        SystemExit: of status 141, that of SIGPIPE: the reader has gone, as after `| head`.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # not in a notebook
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        for number in (1, 2):  # Python writes there as it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
        sys.exit(128 + signal.SIGPIPE)


def _second(number: int, frame: FrameType | None) -> NoReturn:
    # Most processes of Ray die with this one; its agents would stay for a minute.
    for pid in descendants(os.getpid()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os.write(2, b"\niem-batch: ended at once; run the same command again to do the rest\n")
    os._exit(128 + number)
