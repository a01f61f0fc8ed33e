"""One call of the command line: where it works, with which settings, and who runs its steps."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

from iem_batch.config import Settings, settings_to_yaml
from iem_batch.errors import BackendUnavailableError, RunMismatchError
from iem_batch.exec.executor import Executor
from iem_batch.exec.journal import drivers
from iem_batch.iem.backends import FAST, not_taken
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a step needs to know to be built and done."""

    run: RunFolder
    settings: Settings
    executor: Executor
    overwrite: bool = False
    """Whether output that was made with other settings is dropped and made again."""
    accept_versions: bool = False
    """Whether a step that other versions of the code have begun is resumed."""
    shards: range | None = None
    """The shards this call may do; None is all."""
    against: Sequence[str] = ()
    """Other runs, which evaluate and report show beside this one."""
    number: int | None = None
    """The round it works in; None is the last one of the settings."""

    @property
    def round(self) -> int:
        """The round it works in, counted from 1."""
        return self.number or self.settings.topk.rounds

    @property
    def place(self) -> RunFolder:
        """Where the steps of its round lie."""
        return self.place_of(self.round)

    def place_of(self, number: int) -> RunFolder:
        """Tell where the steps of a round lie."""
        return self.run if number == 1 else self.run.below(layout.round_folder(number))

    def in_round(self, number: int) -> "Job":
        """Give the job that works in another round."""
        return replace(self, number=number)

    def with_engine(self) -> "Job":
        """Give the job with segment.backend=auto replaced, once for the run, by an engine's name.

        Raises:
            BackendUnavailableError: the machines that would run it differ, or the engine that is
                named does not take images of this size.
        """
        chosen = self.settings.segment.backend
        name = self.executor.fastest_engine() if chosen == "auto" else chosen
        reason = not_taken(name, self.settings.decode.size_px, self.settings.iem)
        if chosen != "auto":
            if reason is not None:
                raise BackendUnavailableError(
                    f"the engine {name} does not run this: {reason}; say --segment.backend=torch"
                )
            return self
        if reason is not None:
            print(f"the engine is torch, not {name}: {reason}", file=sys.stderr)
            name = "torch"
        segment = replace(self.settings.segment, backend=name)
        if reason is None and segment.backend not in FAST:
            print(
                f"the engine is {segment.backend}, many times slower than native, for all of this "
                "run: install a C++ compiler, then iem_batch again (iem-batch doctor says more), "
                "and begin with --overwrite --segment.backend=auto",
                file=sys.stderr,
            )
        return replace(self, settings=replace(self.settings, segment=segment))

    def require_alone(self) -> None:
        """Check that no other command is at work on the run.

        Raises:
            RunMismatchError: one is.
        """
        for driver in drivers(self.run):
            if driver.alive:
                raise RunMismatchError(
                    f"{self.run.url} cannot be overwritten: process {driver.pid} on {driver.host} "
                    f"is at work on it ({driver.step}); stop that first"
                )

    def store_settings(self) -> None:
        """Write the resolved settings into the run folder."""
        self.run.write_bytes(layout.CONFIG, settings_to_yaml(self.settings))
