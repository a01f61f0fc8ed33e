"""What the steps that go over shards have in common, and how to run one in this process.

A step has three phases, so that decoding, computing and writing can be done by different workers:
`load` reads and decodes (CPU and storage), the engine computes (set up once per worker), and
`commit` writes. `iem_batch.distributed.pipeline` runs the same phases on a Ray cluster.
"""

import faulthandler
import hashlib
import socket
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from iem_batch.data import run_folder
from iem_batch.data.read_ahead import LARGE_REQUESTS, map_ahead
from iem_batch.data.run_folder import RunFolder
from iem_batch.errors import RunMismatchError, ShardsFailedError

MAX_FAILURES_SHOWN = 5

Loaded = TypeVar("Loaded")


@dataclass(frozen=True, kw_only=True)
class ShardOutput:
    """What one shard of one step gives."""

    shard: int
    tables: dict[str, pa.Table | bytes | Callable[[], pa.Table] | None]
    """Name inside the run folder -> rows, or the bytes of a file that is no table; all written
    before the commit mark. What is called for the rows is called where they are written, so that
    encoding masks does not hold up an engine. None is a file that must not be there: an attempt
    before may have left one."""
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

    def load(self, shard: int, wanted: Container[str] | None = None) -> Loaded:
        """Read and decode what the shard needs, or only the images of the ids wanted."""

    def image_ids(self, shard: int) -> list[str]:
        """List the images of a shard, in order, without decoding any."""

    def largest_images(self, shard: int) -> str:
        """Name the largest images of a shard with their sizes, without decoding any."""

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        """Write down images of a shard that kill, image_id -> how; `load` leaves them out then."""

    def open_engine(self, num_threads: int) -> Callable[[Loaded], ShardOutput]:
        """Set up, once per worker, the function that computes a loaded shard."""


Progress = Callable[[dict[str, Any]], None]
"""Called with the commit mark of each shard, in the order in which they finish."""


def commit(
    step: ShardStep[Any], output: ShardOutput, seconds: float, attempt: int = 1, begun: str = ""
) -> dict[str, Any]:
    """Write the tables of a shard and then its commit mark.

    Tables depend on the plan and the settings alone, so doing a shard twice does no harm. Only the
    mark knows of time and host.

    Args:
        step: the step the output is of.
        output: what the engine gave.
        seconds: time the shard has taken.
        attempt: number of the attempt that succeeded, counted from 1.
        begun: what `iem_batch.job.Job.begin` gave for the step's settings.

    Returns:
        The commit mark.
    """
    assert output.planned == output.ok + output.quarantined, output
    # A corpus may have thousands of small files, and on an object store each is a round trip.
    write, tables = partial(_write, step.run), output.tables
    checksums = list(map_ahead(write, tables, tables.values(), num_threads=LARGE_REQUESTS))
    files = {name: sha for name, sha in zip(output.tables, checksums, strict=True) if sha}
    mark = {
        "shard": output.shard,
        "planned": output.planned,
        "ok": output.ok,
        "quarantined": output.quarantined,
        **output.facts,
        "files": files,
        "begun": begun,
        "attempts": attempt,
        "seconds": round(seconds, 3),
        "finished": round(time.time(), 3),
        "host": socket.gethostname(),
    }
    step.run.write_json(run_folder.mark(step.name, output.shard), mark)
    return mark


def _write(
    run: RunFolder, name: str, content: pa.Table | bytes | Callable[[], pa.Table] | None
) -> str | None:
    """Write or delete one file; returns its SHA-256 if there is one."""
    if content is None:
        run.delete(name)
        return None
    if isinstance(content, bytes):
        return run.write_bytes(name, content)
    return run.write_table(name, content() if callable(content) else content)


def do_shard(
    step: ShardStep[Any],
    engine: Callable[[Any], ShardOutput],
    shard: int,
    attempt: int,
    begun: str,
) -> dict[str, Any]:
    """Load, compute and commit a shard; returns its commit mark."""
    started = time.monotonic()
    output = engine(step.load(shard))
    return commit(step, output, time.monotonic() - started, attempt, begun)


@contextmanager
def stopping_after(timeout_s: float | None) -> Iterator[None]:
    """End this process, with a stack on standard error, if the block takes longer.

    What hangs is a decoder or an engine, so the watch must need neither its help nor Python's.
    """
    if timeout_s is None:
        yield
        return
    faulthandler.dump_traceback_later(timeout_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def raise_failures(step: str, failures: dict[int, str]) -> None:
    """End a step in which shards failed.

    Args:
        step: its name.
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
        f"{len(failures)} shards of {step} failed:\n"
        + "\n".join(shown)
        + "\nWhat was done is kept; run the same command again to do the rest."
    )


@dataclass(frozen=True, kw_only=True)
class Totals:
    """The sums over the commit marks of a finished step."""

    planned: int
    ok: int
    quarantined: int


def totals(run: RunFolder, step: str, num_shards: int, begun: str | None = None) -> Totals:
    """Add up the commit marks of a finished step.

    Args:
        run: the run.
        step: name of the step.
        num_shards: how many it has.
        begun: what the marks must say that they were begun with; None does not look.

    Raises:
        RunMismatchError: shards were done by a command with other settings.
    """
    planned = ok = quarantined = 0
    foreign = []
    for mark in run.each_mark(step, range(num_shards)):
        planned, ok = planned + mark["planned"], ok + mark["ok"]
        quarantined += mark["quarantined"]
        if begun is not None and mark["begun"] != begun:
            foreign.append(mark["shard"])
    if foreign:
        raise RunMismatchError(
            f"{len(foreign)} shards of {run.url_of(step)}, the first is {foreign[0]}, were done by "
            "another command with other settings that was at work at the same time; do the step "
            "again with --overwrite, by one command"
        )
    return Totals(planned=planned, ok=ok, quarantined=quarantined)


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
    for mark in run.each_mark(step, range(num_shards)):
        for name, checksum in mark["files"].items():
            digest.update(f"{name} {checksum}\n".encode())
    return digest.hexdigest()
