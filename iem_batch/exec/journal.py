"""What a command at work writes into the run folder beside its output: for people, and for others.

RUN/_run/drivers/HOST-PID.json says which shards it has in flight; it is renewed while the command
lives and deleted when it ends, so one that is left over tells of a process that was killed.
RUN/_run/failures/STEP/part-00000.json says why a shard could not be done; it is deleted when the
shard is done after all. Nothing here decides what the output is.
"""

import contextlib
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

from iem_batch.errors import StorageError
from iem_batch.exec.attempts import Attempt, Attempts
from iem_batch.processes import birth
from iem_batch.run import run_folder
from iem_batch.run.run_folder import RunFolder
from iem_batch.storage import local_files

SECONDS_BETWEEN_SIGNS = 10.0
"""How often a command at work gives a sign of life."""

SECONDS_OF_SILENCE = 60.0
"""A command on another machine that gave no sign for so long is taken for dead."""


@dataclass(frozen=True, kw_only=True)
class Driver:
    """A command at work on a run, by its own last sign of life."""

    host: str
    pid: int
    born: str
    """When the process began, as the machine counts; a later one of the same pid has another."""
    seen: float
    """Its last sign of life, in seconds since 1970 by the clock of its machine."""
    step: str
    """Its title, see `RunFolder.title`."""
    in_process: bool
    """Whether the shards are done in its own process, so that they may have killed it."""
    in_flight: dict[str, int]
    """Shard -> number of the attempt."""

    @property
    def name(self) -> str:
        """Name of its file."""
        return f"{run_folder.DRIVERS}/{self.host}-{self.pid}.json"

    @property
    def alive(self) -> bool:
        """Whether it still runs; on other machines, whether it gave a sign lately."""
        if self.host == socket.gethostname():
            return birth(self.pid) == self.born
        # A clock that was set back makes the age negative: then the sign is new.
        return time.time() - self.seen < SECONDS_OF_SILENCE


def drivers(run: RunFolder) -> list[Driver]:
    """Read who is, or was when it was killed, at work on a run."""
    found = []
    for name in run.names(run_folder.DRIVERS):
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            found.append(Driver(**run.read_json(f"{run_folder.DRIVERS}/{name}")))
    return found


def failures(run: RunFolder, step: str) -> dict[int, dict[str, Any]]:
    """Read shard -> account of its failure, for the shards of a step that are not done."""
    shards = {run_folder.shard_of(name) for name in run.names(f"_run/failures/{step}")}
    if not shards:
        return {}
    committed = run.committed(step)
    return {
        shard: run.read_json(run_folder.failure(step, shard))
        for shard in sorted(shard for shard in shards if shard is not None)
        if shard not in committed
    }


class Journal:
    """Keeps the files of one command at one step, for the time of a block."""

    def __init__(self, run: RunFolder, step: str, *, in_process: bool) -> None:
        """Look at what was left by commands before.

        Args:
            run: the run.
            step: name of the step.
            in_process: whether shards are done in this process.
        """
        self._run, self._step, self._in_process = run, step, in_process
        self._attempts: Attempts | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._give_signs, daemon=True)
        self._writing = threading.Lock()
        self._failed = failures(run, step)
        others = drivers(run)
        dead = [driver for driver in others if not driver.alive]
        self.others = [driver for driver in others if driver.alive]
        """Other commands at work on the run."""
        self.suspects = {
            int(shard)
            for driver in dead
            if driver.in_process and driver.step == run.title(step)
            for shard in driver.in_flight
        }
        """Shards in the works in a process that died; one of them may have been the cause."""
        for driver in dead:
            run.delete(driver.name)
        if not self.others:
            delete_unfinished_writes(run, step)

    def open_attempts(self, shards: list[int], max_attempts: int) -> Attempts:
        """Begin the attempts that this journal is about."""
        before = {shard: account["attempts"] for shard, account in self._failed.items()}
        for shard in self.suspects:
            before[shard] = before.get(shard, 0) + 1
        self._attempts = Attempts(shards, max_attempts, self.suspects, before)
        return self._attempts

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take the command's file away: it ended in good order, be it with an error."""
        self._ended.set()
        self._thread.join()
        with _lenient():
            self._run.delete(self._driver().name)

    def started(self) -> None:
        """Note what is in flight at once, where it may kill this process."""
        if self._in_process:
            self._write()

    def done(self, shard: int) -> None:
        """Delete the account of an earlier failure."""
        if self._failed.pop(shard, None) is not None:
            with _lenient():
                self._run.delete(run_folder.failure(self._step, shard))

    def failed(self, attempt: Attempt, cause: str) -> None:
        """Write the account of a failure."""
        account = {
            "shard": attempt.shard,
            "attempts": attempt.number,
            "error": cause,
            "time": round(time.time(), 3),
            "host": socket.gethostname(),
        }
        self._failed[attempt.shard] = account
        with _lenient():
            self._run.write_json(run_folder.failure(self._step, attempt.shard), account)

    def _give_signs(self) -> None:
        self._write()
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
            pid=os.getpid(),
            born=birth(os.getpid()) or "",
            seen=round(time.time(), 3),
            step=self._run.title(self._step),
            in_process=self._in_process,
            in_flight={str(attempt.shard): attempt.number for attempt in in_flight},
        )


def _lenient() -> contextlib.suppress:
    """Go on where the storage fails: the shards themselves will meet it, and say so."""
    return contextlib.suppress(StorageError)


def delete_unfinished_writes(run: RunFolder, step: str) -> None:
    """Delete the hidden files of writes that a kill has cut off; only local folders have them."""
    if not run.is_local:
        return
    for folder in (step, "quarantine", "selection", "segnet", "_run", "rounds"):
        local_files.delete_unfinished_writes(f"{run.url}/{folder}")
