"""What the steps that go over shards have in common, and how to run one in this process.

A step has three phases, so that decoding, computing and writing can be done by different workers:
`load` reads and decodes (CPU and storage), the engine computes (set up once per worker), and
`commit` writes. `iem_batch.distributed.pipeline` runs the same phases on a Ray cluster.
"""

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from iem_batch.data import run_folder
from iem_batch.data.run_folder import RunFolder
from iem_batch.errors import IEMBatchError, ShardsFailedError

MAX_FAILURES_IN_A_ROW = 3
MAX_FAILURES_SHOWN = 5

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, kw_only=True)
class ShardOutput:
    """What one shard of one step gives."""

    shard: int
    tables: dict[str, pa.Table]
    """Name inside the run folder -> rows; written in this order, before the commit mark."""
    planned: int
    """Images the shard was given."""
    ok: int
    """Images with a result."""
    quarantined: int
    """Images that were rejected; planned = ok + quarantined."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Further entries of the commit mark, in JSON types."""


class ShardStep(Protocol[Loaded]):
    """A step over shards; it is pickled to every worker, so it holds settings and no data."""

    @property
    def name(self) -> str:
        """Name of the step, one of `run_folder.STEPS`."""

    @property
    def run(self) -> RunFolder:
        """Where the output goes."""

    def load(self, shard: int) -> Loaded:
        """Read and decode what the shard needs."""

    def open_engine(self, num_threads: int) -> Callable[[Loaded], ShardOutput]:
        """Set up, once per worker, the function that computes a loaded shard."""


Progress = Callable[[dict[str, Any]], None]
"""Called with the commit mark of each shard, in the order in which they finish."""


def commit(step: ShardStep[Any], output: ShardOutput, seconds: float) -> dict[str, Any]:
    """Write the tables of a shard and then its commit mark.

    Tables depend on the plan and the settings alone, so doing a shard twice does no harm. Only the
    mark knows of time and host.

    Args:
        step: the step the output is of.
        output: what the engine gave.
        seconds: time the shard has taken.

    Returns:
        The commit mark.
    """
    assert output.planned == output.ok + output.quarantined, output
    mark = {
        "shard": output.shard,
        "planned": output.planned,
        "ok": output.ok,
        "quarantined": output.quarantined,
        **output.facts,
        "files": {name: step.run.write_table(name, table) for name, table in output.tables.items()},
        "seconds": round(seconds, 3),
        "finished": round(time.time(), 3),
        "host": socket.gethostname(),
    }
    step.run.write_json(run_folder.mark(step.name, output.shard), mark)
    return mark


def run_in_process(step: ShardStep[Any], shards: Iterable[int], progress: Progress) -> None:
    """Do the shards one after another in this process.

    A shard that fails does not stop the others, unless several in a row fail: then it is the
    storage or the disk, and going on would only cost time.

    Raises:
        ShardsFailedError: shards failed; everything else is committed.
    """
    engine = step.open_engine(os.cpu_count() or 1)
    failures: dict[int, str] = {}
    in_a_row = 0
    for shard in shards:
        started = time.monotonic()
        try:
            output = engine(step.load(shard))
            mark = commit(step, output, time.monotonic() - started)
        except (IEMBatchError, OSError, pa.ArrowException) as error:
            failures[shard] = f"{type(error).__name__}: {error}"
            in_a_row += 1
            if in_a_row == MAX_FAILURES_IN_A_ROW:
                break
        else:
            in_a_row = 0
            progress(mark)
    raise_failures(step, failures)


def raise_failures(step: ShardStep[Any], failures: dict[int, str]) -> None:
    """End a step in which shards failed.

    Args:
        step: the step.
        failures: what happened to each failed shard.

    Raises:
        ShardsFailedError: there are failures; the message has the first of them.
    """
    if not failures:
        return
    shown = [
        f"  shard {shard}: {failures[shard]}" for shard in sorted(failures)[:MAX_FAILURES_SHOWN]
    ]
    raise ShardsFailedError(
        f"{len(failures)} shards of {step.name} failed:\n"
        + "\n".join(shown)
        + "\nWhat was done is kept; run the same command again to do the rest."
    )


def outputs_digest(run: RunFolder, step: str, num_shards: int) -> str:
    """Hash the checksums of everything a finished step has written.

    Raises:
        ShardsFailedError: shards of the step are missing.
    """
    missing = sorted(set(range(num_shards)) - run.committed(step))
    if missing:
        raise ShardsFailedError(
            f"{len(missing)} of {num_shards} shards of {step} are not done, the first is "
            f"{missing[0]}; run the same command again to do them"
        )
    digest = hashlib.sha256()
    for mark in run.marks(step, range(num_shards)):
        for name, checksum in mark["files"].items():
            digest.update(f"{name} {checksum}\n".encode())
    return digest.hexdigest()
