"""Where everything lies in a run folder, on any storage.

RUN/
  README.md  _SUCCESS
  masks/part-00000.parquet  quarantine/part-00000.parquet
  selection/topk.parquet  corpus/part-00000.parquet  segnet/weights.safetensors
  predictions/part-00000.parquet  refined/part-00000.parquet  upscaled/part-00000.parquet
  evaluation/summary.json  report/index.html
  _run/plan.json  _run/manifest/part-00000.parquet  _run/config.yaml
  _run/steps/masks.json               what the step's output depends on
  _run/stats/masks/part-00000.json    the commit mark of a shard, written last
  _run/failures/masks/part-00000.json what became of a shard that could not be done
  _run/killers/part-00000.json        the images of a shard that kill the process that decodes them
  _run/drivers/HOST-PID.json          what a command at work has in flight
  rounds/1/                           an earlier round: its selection/, corpus/, segnet/,
                                      predictions/, refined/, and its own _run/ with their marks
"""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.data.range_file import RangeFile
from iem_batch.data.read_ahead import map_ahead
from iem_batch.data.step_records import VERSIONS, are_versions, changes, refusal
from iem_batch.data.storage import Folder
from iem_batch.data.tables import encode_table
from iem_batch.errors import RunMismatchError, StepMissingError, StorageError

STEPS = ("masks", "selection", "corpus", "segnet", "predictions", "refined", "upscaled")
"""The steps that leave something in a run folder, each named after its folder, in order."""

ROUND_STEPS = STEPS[1:]
"""Those that each round of `run --rounds` has of its own."""

PLAN = "_run/plan.json"
CONFIG = "_run/config.yaml"
README = "README.md"
SUCCESS = "_SUCCESS"
TOPK = "selection/topk.parquet"
WEIGHTS = "segnet/weights.safetensors"
THRESHOLD = "segnet/threshold.json"
HISTORY = "segnet/history.json"
CURVES = "segnet/events.out.tfevents.0.iem_batch"
ESTIMATE = "_run/estimate.json"
TRAIN = "_run/train"
"""Where an unfinished training keeps its checkpoints; gone when it has finished."""

EVALUATION = "evaluation/summary.json"
REPORT = "report/index.html"
DRIVERS = "_run/drivers"

_OF_ROUND = re.compile(
    rf"(?:_run/(?:stats|failures|steps)/)?(?:{'|'.join(ROUND_STEPS)})(?:[/.].*)?"
    rf"|{re.escape(CONFIG)}|{TRAIN}(?:/.*)?"
)
"""Names of what each round has of its own."""

_PART = re.compile(r"part-(\d{5,})\.(?:json|parquet)")


def part(step: str, shard: int) -> str:
    """Name the Parquet file of a shard."""
    return f"{step}/part-{shard:05d}.parquet"


def manifest_part(shard: int) -> str:
    """Name the file that lists the source entries of a shard."""
    return f"_run/manifest/part-{shard:05d}.parquet"


def mark(step: str, shard: int) -> str:
    """Name the commit mark of a shard."""
    return f"_run/stats/{step}/part-{shard:05d}.json"


def failure(step: str, shard: int) -> str:
    """Name the file that says why a shard of a step could not be done."""
    return f"_run/failures/{step}/part-{shard:05d}.json"


def killers(shard: int) -> str:
    """Name the file of the images of a shard that kill the process that works on them."""
    return f"_run/killers/part-{shard:05d}.json"


def shard_of(name: str) -> int | None:
    """Give the shard a file is about, by its base name; None if it is about none."""
    match = _PART.fullmatch(name)
    return int(match[1]) if match else None


def step_record(step: str) -> str:
    """Name the file that says what a step's output depends on."""
    return f"_run/steps/{step}.json"


@dataclass(frozen=True)
class RunFolder(Folder):
    """A run folder; what it holds is in this file's docstring.

    Args:
        url: see `Folder`.
        earlier_round: which of the rounds before the last; what is of a round is read and written
            in rounds/NUMBER then, under its usual names, and all else is the run's. None is the
            last round, which lies in the usual places.
    """

    earlier_round: int | None = None

    @property
    def last_round(self) -> "RunFolder":
        """The run as it is for those who do not care for rounds."""
        return RunFolder(self.url)

    def round(self, number: int) -> "RunFolder":
        """Give an earlier round, which need not exist."""
        return RunFolder(self.url, number)

    def earlier_rounds(self) -> list["RunFolder"]:
        """List the rounds before the last that have been begun, in order."""
        found: list[RunFolder] = []
        while (view := self.round(len(found) + 1)).exists(step_record("selection")):
            found.append(view)
        return found

    def title(self, step: str) -> str:
        """Name a step for people, with its round if that is an earlier one."""
        return self._placed(step)

    def _placed(self, name: str) -> str:
        is_moved = self.earlier_round is not None and _OF_ROUND.fullmatch(name)
        return f"rounds/{self.earlier_round}/{name}" if is_moved else name

    def _locate(self, name: str) -> tuple[Any, str]:
        return super()._locate(self._placed(name))

    def url_of(self, name: str) -> str:
        """Give the URL of something in the folder, without the options of the folder's own."""
        return super().url_of(self._placed(name))

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet file, or only some of its columns.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it is damaged, or cannot be read.
        """
        with self.open(name) as file:
            try:
                # With its own threads pyarrow 26 aborts some processes that end soon after.
                return pq.read_table(file, columns=columns, use_threads=False)
            except (pa.ArrowException, OSError) as error:  # pyarrow raises either
                raise StorageError(f"{self.url_of(name)} is damaged: {error}") from error

    @contextmanager
    def open_table(self, name: str) -> Iterator[pq.ParquetFile]:
        """Open a Parquet file to read single columns, and of the file no more than they take.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it is damaged, or cannot be read.
        """
        source = self.url_of(name) if self.is_local else RangeFile(self, name, 0, self.size(name))
        try:
            with pq.ParquetFile(source, pre_buffer=not self.is_local) as file:
                yield file
        except pa.ArrowException as error:
            raise StorageError(f"{self.url_of(name)} is damaged: {error}") from error

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a Parquet file by `encode_table`; returns its SHA-256 in hexadecimal."""
        return self.write_bytes(name, encode_table(table))

    def read_json(self, name: str) -> Any:
        """Read a JSON file.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it is damaged, or cannot be read.
        """
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise StorageError(f"{self.url_of(name)} is damaged: {error}") from error

    def write_json(self, name: str, value: Any) -> str:
        """Write a JSON file, keys in the order given; returns its SHA-256."""
        return self.write_bytes(name, (json.dumps(value, indent=1) + "\n").encode())

    def committed(self, step: str) -> set[int]:
        """List the shards of a step that are done."""
        names = self.names(f"_run/stats/{step}")
        return {shard for name in names if (shard := shard_of(name)) is not None}

    def marks(self, step: str, shards: Iterable[int]) -> list[dict[str, Any]]:
        """Read the commit marks of some shards, in the order given."""
        return list(self.each_mark(step, shards))

    def each_mark(self, step: str, shards: Iterable[int]) -> Iterator[dict[str, Any]]:
        """Read commit marks in the order given, several at once, and keep only a few in memory."""
        return map_ahead(lambda shard: self.read_json(mark(step, shard)), shards)

    def begin_step(
        self, step: str, depends_on: dict[str, Any], accept_versions: bool = False
    ) -> None:
        """Claim a step for these settings, or check that it is resumed with the same.

        Args:
            step: one of `STEPS`.
            depends_on: everything the output depends on, in JSON types.
            accept_versions: go on with what other versions of this program or of its libraries
                have begun; what they have done is kept.

        Raises:
            RunMismatchError: the step was begun with other settings; the message says which.
        """
        if not self.exists(step_record(step)):
            self.write_json(step_record(step), depends_on)
        record = self.read_json(step_record(step))
        changed = changes(record, depends_on)
        if not changed:
            return
        if not (are_versions(changed) and accept_versions):
            raise RunMismatchError(refusal(self.url_of(step), changed))
        self.write_json(
            step_record(step),
            record | {name: depends_on[name] for name in VERSIONS if name in depends_on},
        )

    def has_begun_after(self, step: str) -> bool:
        """Tell whether any later step has been begun; `convert`'s has none."""
        later = STEPS[STEPS.index(step) + 1 :] if step in STEPS else ()
        return any(self.exists(step_record(name)) for name in later)

    def drop_step(self, step: str) -> None:
        """Delete the output of a step, of every later one, and what was made of all of them.

        All rounds come after the masks; the later rounds come after the steps of an earlier one.
        """
        if step == "masks":
            self.delete(SUCCESS)  # first: a half-dropped run must not look complete
        is_last = self.earlier_round is None
        if not is_last:
            self.last_round._drop(STEPS[1:])
        if not is_last or step == "masks":
            for view in reversed(self.earlier_rounds()[self.earlier_round or 0 :]):
                view._drop(ROUND_STEPS)
                self.delete(f"rounds/{view.earlier_round}")
        steps = STEPS if is_last else ROUND_STEPS
        self._drop(steps[steps.index(step) :])
        for made_of_all in ("evaluation", "report"):
            self.delete(made_of_all)

    def _drop(self, steps: Iterable[str]) -> None:
        for step in steps:
            # Marks first and the record last: dropped by half, a step is neither taken for done nor
            # begun again with other settings.
            self.delete(f"_run/stats/{step}")
            self.delete(f"_run/failures/{step}")
            self.delete(step)
            if step == "segnet":
                self.delete(TRAIN)
            if step == "masks":
                self.delete("quarantine")
                self.delete("_run/killers")
            self.delete(step_record(step))

    def require(self, name: str, command: str) -> None:
        """Check that an earlier step has left its output.

        Raises:
            StepMissingError: `name` is not there; the message names the command to run first.
        """
        if not self.exists(name):
            raise StepMissingError(
                f"{self.url} has no {self._placed(name)}; run `iem-batch {command}` on it first"
            )
