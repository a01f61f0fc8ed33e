"""Which shard is to be tried next, how, and what has become of each: decisions without any I/O.

A shard whose attempt raises an error is tried again, so many times. A shard whose worker was lost
is tried again alone in a child process, where it can be seen whether it is the one that kills.
"""

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

MAX_FAILURES_IN_A_ROW = 3
"""After so many failed shards in a row the command ends: the storage, the disk or the source is to
blame."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One try at one shard."""

    shard: int
    number: int
    """Counted from 1, over all commands that have tried."""
    alone: bool
    """Whether it is to be done in a child process of its own."""


class Attempts:
    """The attempts of one command at the shards of one step."""

    def __init__(
        self,
        shards: Iterable[int],
        max_attempts: int,
        suspects: Collection[int] = (),
        before: Mapping[int, int] | None = None,
    ) -> None:
        """Begin.

        Args:
            shards: those to do, in the order in which to start them.
            max_attempts: how often each is tried by this command.
            suspects: shards that were in flight when their process died.
            before: shard -> attempts of earlier commands, where there were any.
        """
        before = before or {}
        self._todo = deque(
            Attempt(shard=shard, number=before.get(shard, 0) + 1, alone=shard in suspects)
            for shard in shards
        )
        self._last = {
            attempt.shard: attempt.number - 1 + max_attempts
            for attempt in self._todo
            if attempt.number > 1
        }
        self._max_attempts = max_attempts
        self._in_a_row = 0
        self.in_flight: dict[int, Attempt] = {}
        """Shard -> the attempt at work."""
        self.failures: dict[int, str] = {}
        """Shard -> why it could not be done."""

    @property
    def unfinished(self) -> bool:
        """Whether there is anything to start or to wait for."""
        return bool(self.in_flight) or bool(self._todo and not self.given_up)

    @property
    def given_up(self) -> bool:
        """Whether so many shards have failed in a row that the others are not tried."""
        return self._in_a_row >= MAX_FAILURES_IN_A_ROW

    @property
    def num_unfinished(self) -> int:
        """How many shards are in flight or to be tried."""
        return len(self.in_flight) + len(self._todo)

    def start(self) -> Attempt | None:
        """Take the next attempt into flight; None if there is none now."""
        if not self._todo or self.given_up:
            return None
        attempt = self._todo.popleft()
        self.in_flight[attempt.shard] = attempt
        return attempt

    def done(self, shard: int) -> None:
        """Note that a shard is committed."""
        del self.in_flight[shard]
        self._in_a_row = 0

    def again(self, shard: int) -> None:
        """Try a shard again as if it had not been tried: the loss was not its fault."""
        self._todo.appendleft(self.in_flight.pop(shard))

    def failed(self, shard: int, cause: str, *, lost: bool = False) -> bool:
        """Note that an attempt failed.

        Args:
            shard: whose.
            cause: why, in one line.
            lost: whether its worker died, so that the next attempt is made alone.

        Returns:
            Whether it was the last attempt of this command.
        """
        attempt = self.in_flight.pop(shard)
        if attempt.number < self._last.get(shard, self._max_attempts):
            alone = attempt.alone or lost
            self._todo.appendleft(Attempt(shard=shard, number=attempt.number + 1, alone=alone))
            return False
        self.failures[shard] = cause
        self._in_a_row += 1
        return True
