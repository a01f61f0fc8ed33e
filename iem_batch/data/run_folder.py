"""Where everything lies in a run folder, on any storage.

RUN/
  README.md  _SUCCESS
  masks/part-00000.parquet  quarantine/part-00000.parquet
  selection/topk.parquet  corpus/part-00000.parquet  segnet/weights.safetensors
  predictions/part-00000.parquet  refined/part-00000.parquet
  evaluation/summary.json  report/index.html
  _run/plan.json  _run/manifest/part-00000.parquet  _run/config.yaml
  _run/steps/masks.json               what the step's output depends on
  _run/stats/masks/part-00000.json    the commit mark of a shard, written last
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.data.storage import Folder
from iem_batch.errors import RunMismatchError, StepMissingError

STEPS = ("masks", "selection", "corpus", "segnet", "predictions", "refined")
"""The steps that leave something in a run folder, each named after its folder, in order."""

PLAN = "_run/plan.json"
CONFIG = "_run/config.yaml"
README = "README.md"
SUCCESS = "_SUCCESS"
TOPK = "selection/topk.parquet"
WEIGHTS = "segnet/weights.safetensors"
THRESHOLD = "segnet/threshold.json"
HISTORY = "segnet/history.json"
EVALUATION = "evaluation/summary.json"
REPORT = "report/index.html"


def part(step: str, shard: int) -> str:
    """Name the Parquet file of a shard."""
    return f"{step}/part-{shard:05d}.parquet"


def manifest_part(shard: int) -> str:
    """Name the file that lists the source entries of a shard."""
    return f"_run/manifest/part-{shard:05d}.parquet"


def mark(step: str, shard: int) -> str:
    """Name the commit mark of a shard."""
    return f"_run/stats/{step}/part-{shard:05d}.json"


def step_record(step: str) -> str:
    """Name the file that says what a step's output depends on."""
    return f"_run/steps/{step}.json"


@dataclass(frozen=True)
class RunFolder(Folder):
    """A run folder; what it holds is in this file's docstring."""

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet file, or only some of its columns."""
        with self.open(name) as file:
            return pq.read_table(file, columns=columns)

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a Parquet file whose bytes depend on the rows alone.

        Returns:
            The SHA-256 of the file, in hexadecimal.
        """
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_statistics=True)
        return self.write_bytes(name, sink.getvalue().to_pybytes())

    def read_json(self, name: str) -> Any:
        """Read a JSON file."""
        return json.loads(self.read_bytes(name))

    def write_json(self, name: str, value: Any) -> str:
        """Write a JSON file, keys in the order given; returns its SHA-256."""
        return self.write_bytes(name, (json.dumps(value, indent=1) + "\n").encode())

    def committed(self, step: str) -> set[int]:
        """List the shards of a step that are done."""
        names = self.names(f"_run/stats/{step}")
        return {int(name.removeprefix("part-").removesuffix(".json")) for name in names}

    def marks(self, step: str, shards: Iterable[int]) -> list[dict[str, Any]]:
        """Read the commit marks of some shards, in the order given."""
        return [self.read_json(mark(step, shard)) for shard in shards]

    def begin_step(self, step: str, depends_on: dict[str, Any]) -> None:
        """Claim a step for these settings, or check that it is resumed with the same.

        Args:
            step: one of `STEPS`.
            depends_on: everything the output depends on, in JSON types.

        Raises:
            RunMismatchError: the step was begun with other settings; the message says which.
        """
        if not self.exists(step_record(step)):
            self.write_json(step_record(step), depends_on)
            return
        before = _flatten(self.read_json(step_record(step)))
        now = _flatten(depends_on)
        changed = sorted(key for key in before | now if before.get(key) != now.get(key))
        if changed:
            lines = [
                f"  {key}: {before.get(key)!r} before, {now.get(key)!r} now" for key in changed
            ]
            raise RunMismatchError(
                f"{self.url}/{step} was begun with other settings:\n"
                + "\n".join(lines)
                + "\nUse a new run folder, the settings of before, or --overwrite to drop this "
                "step and the later ones and do them again."
            )

    def drop_step(self, step: str) -> None:
        """Delete the output of a step and of every later one."""
        for later in STEPS[STEPS.index(step) :]:
            self.delete(step_record(later))
            self.delete(f"_run/stats/{later}")
            self.delete(later)
        if step == "masks":
            self.delete("quarantine")
            self.delete(SUCCESS)

    def require(self, name: str, command: str) -> None:
        """Check that an earlier step has left its output.

        Raises:
            StepMissingError: `name` is not there; the message names the command to run first.
        """
        if not self.exists(name):
            raise StepMissingError(
                f"{self.url} has no {name}; run `iem-batch {command}` on it first"
            )


def _flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
