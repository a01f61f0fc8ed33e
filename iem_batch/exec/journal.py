"""What a command at work writes into the run folder for people and for other commands.

RUN/_run/drivers/HOST-MACHINE-PID.json says which shards it has in flight; it is renewed while the
command lives and deleted when it ends, so one that is left over tells of a process that was killed.
RUN/_run/failures/STEP/part-00000.json says why a shard could not be done; it is deleted when the
shard is done after all. Nothing here decides what the output is.
"""

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from traceback import format_exception
from types import TracebackType
from typing import Self

from iem_batch.errors import StorageError
from iem_batch.exec.attempts import Attempt, Attempts
from iem_batch.processes import birth, machine
from iem_batch.run import layout
from iem_batch.run.deletion import delete_leniently, delete_own, delete_unfinished_writes
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marker import kind_of
from iem_batch.run.marks import Failure, read_failures, write_failure
from iem_batch.storage.object_store import redacted

SECONDS_BETWEEN_SIGNS = 10.0
"""How often a command at work gives a sign of life."""

SECONDS_OF_SILENCE = 60.0
"""A command on another machine that gave no sign for so long is taken for dead."""


TRACE_LINES, MAX_LINE = 60, 500
"""Lines of a trace that are kept, and characters of each."""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A command at work on a run, by its own last sign of life."""

    host: str
    machine: str
    """Where the pid counts, see `iem_batch.processes.machine`."""
    pid: int
    born: str
    """When the process began, as the machine counts; a later one of the same pid has another."""
    seen: float
    """Its last sign of life, in seconds since 1970 by the clock of its machine."""
    step: str
    """Its title, see `iem_batch.run.folder.title`."""
    in_process: bool
    """Whether the shards are done in its own process, so that they may have killed it."""
    in_flight: dict[str, int]
    """Shard -> number of the attempt."""

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{layout.DRIVERS}/{self.host}-{self.machine}-{self.pid}.json"

    @property
    def alive(self) -> bool:
        """Whether it still runs; on other machines, whether it gave a sign lately."""
        if self.machine == machine():
            return birth(self.pid) == self.born
        # A clock that was set back makes the age negative: then the sign is new.
        return time.time() - self.seen < SECONDS_OF_SILENCE

    @property
    def is_this_process(self) -> bool:
        """Whether it is the process that asks."""
        return (self.machine, self.pid) == (machine(), os.getpid())


def drivers(run: RunFolder) -> list[Driver]:
    """Read who is, or was when it was killed, at work on a run."""
    found = []
    for name in run.names(layout.DRIVERS):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            data = run.read_bytes(f"{layout.DRIVERS}/{name}")
            with contextlib.suppress(ValueError, TypeError):  # a file of somebody else
                found.append(Driver(**json.loads(data)))
    return found


class Journal:
    """Keeps the files of one command at one step, for the time of a block."""

    def __init__(self, run: RunFolder, place: RunFolder, step: str, *, in_process: bool) -> None:
        """Look at what was left by commands before.

        Args:
            run: the run.
            place: where the step's output goes.
            step: name of the step.
            in_process: whether shards are done in this process.
        """
        self._run, self._place, self._step, self._in_process = run, place, step, in_process
        self._title = title(run, place, step)
        self._attempts: Attempts | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._give_signs, daemon=True)
        self._writing = threading.Lock()
        self._failed = read_failures(place, step)
        others = drivers(run)
        dead = [driver for driver in others if not driver.alive]
        self.others = [driver for driver in others if driver.alive]
        """Other commands at work on the run."""
        self.suspects = {
            int(shard)
            for driver in dead
            if driver.in_process and driver.step == self._title
            for shard in driver.in_flight
        }
        """Shards in flight in a process that died; one of them may have been the cause."""
        delete_own(run, *(driver.name for driver in dead))
        if not self.others:
            # A folder that a step has for itself holds files of it everywhere.
            of_step = (
                (step, layout.QUARANTINE, "_run") if kind_of(place) in (None, "run") else ("",)
            )
            delete_unfinished_writes(place, of_step)
            delete_unfinished_writes(run, ("_run",))

    def open_attempts(self, shards: list[int], max_attempts: int) -> Attempts:
        """Begin the attempts that this journal is about."""
        before = {shard: failure.attempts for shard, failure in self._failed.items()}
        for shard in self.suspects:
            before[shard] = before.get(shard, 0) + 1
        self._attempts = Attempts(shards, max_attempts, self.suspects, before)
        return self._attempts

    def __enter__(self) -> Self:
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Delete the command's file: it has ended, with or without an error."""
        self._ended.set()
        self._thread.join()
        delete_leniently(self._run, self._driver().name)

    def started(self) -> None:
        """Note what is in flight at once, where it may kill this process."""
        if self._in_process:
            self._write()

    def done(self, shard: int) -> None:
        """Delete the file about an earlier failure."""
        if self._failed.pop(shard, None) is not None:
            delete_leniently(self._place, layout.failure(self._step, shard))

    def failed(self, attempt: Attempt, cause: str, error: BaseException) -> None:
        """Write why a shard failed, and where."""
        trace = redacted("".join(format_exception(error))).splitlines()
        failure = Failure(
            shard=attempt.shard,
            attempts=attempt.number,
            error=cause,
            time=round(time.time(), 3),
            host=socket.gethostname(),
            trace=[line[:MAX_LINE] for line in trace[-TRACE_LINES:]],
        )
        self._failed[attempt.shard] = failure
        with _lenient():
            write_failure(self._place, self._step, failure)

    def _give_signs(self) -> None:
        while not self._ended.wait(SECONDS_BETWEEN_SIGNS):
            self._write()

    def _write(self) -> None:
        with self._writing, _lenient():
            driver = self._driver()
            self._run.write_json(driver.name, asdict(driver))

    def _driver(self) -> Driver:
        # A copy in one step: the main thread changes it meanwhile.
        in_flight = list(self._attempts.in_flight.values()) if self._attempts else []
        return Driver(
            host=socket.gethostname(),
            machine=machine(),
            pid=os.getpid(),
            born=birth(os.getpid()) or "",
            seen=round(time.time(), 3),
            step=self._title,
            in_process=self._in_process,
            in_flight={str(attempt.shard): attempt.number for attempt in in_flight},
        )


def _lenient() -> contextlib.suppress:
    """Ignore failures of the storage: the shards will meet and report them."""
    return contextlib.suppress(StorageError)
