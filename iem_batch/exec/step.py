"""What an executor needs to know of steps: their phases, their output and its commit.

A step over shards has three phases, so that decoding, computing and writing can be done by
different workers: `load` reads and decodes (CPU and storage), the engine computes (set up once per
worker), and `commit` writes. A whole step is done at once, in the process of the command.
"""

import faulthandler
import socket
import time
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

import pyarrow as pa

from iem_batch.errors import IntegrityError, ShardsFailedError
from iem_batch.exec.settings import LimitSettings
from iem_batch.run import layout
from iem_batch.run.deletion import delete_own
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Mark, Summary, write_mark
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.words import count

MAX_FAILURES_SHOWN = 5

Loaded = TypeVar("Loaded")

Content: TypeAlias = pa.Table | bytes | Callable[[], pa.Table | bytes] | None


@dataclass(frozen=True, kw_only=True)
class ShardOutput:
    """What one shard of a step gives.

    Raises:
        IntegrityError: the counts do not add up, so an image was lost.
    """

    shard: int
    tables: dict[str, Content]
    """Name inside the place -> rows, or the bytes of a file that is no table; all written before
    the commit mark. A function is called where its file is written, so that encoding
    masks does not hold up an engine. None deletes the file, which an earlier attempt may have left.
    """
    planned: int
    """Images the shard was given."""
    ok: int
    """Images with a result."""
    quarantined: int
    """Images that were rejected; planned = ok + quarantined."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Further entries of the commit mark, in JSON types."""
    written: dict[str, str] = field(default_factory=dict)
    """Files that are written already -> their SHA-256."""

    def __post_init__(self) -> None:
        if self.planned != self.ok + self.quarantined:
            raise IntegrityError(
                f"shard {self.shard} was given {self.planned} images and has {self.ok} results and "
                f"{self.quarantined} rejections"
            )


class ShardStep(Protocol[Loaded]):
    """A step over shards; it is pickled to every worker, so it holds settings and no data."""

    @property
    def name(self) -> str:
        """Name of the step."""

    @property
    def run(self) -> RunFolder:
        """The run it belongs to, with the plan."""

    @property
    def place(self) -> RunFolder:
        """Where its output and its marks go."""

    @property
    def num_shards(self) -> int:
        """How many there are."""

    @property
    def depends_on(self) -> dict[str, Any]:
        """All settings and inputs that the output depends on, in JSON types."""

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> Loaded:
        """Read and decode what the shard needs, or only the images of the ids wanted."""

    def image_ids(self, shard: int) -> list[str]:
        """List the images of a shard, in order, without decoding any."""

    def largest_images(self, shard: int) -> str:
        """Name the largest images of a shard with their sizes, without decoding any."""

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        """Write down images of a shard that kill, image_id -> how; `load` leaves them out then."""

    def open_engine(self, num_threads: int) -> Callable[[Loaded], ShardOutput]:
        """Set up, once per worker, the function that computes a loaded shard."""

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """Make the facts of the summary from those of all shards, in order."""

    def complete(self, summary: Summary) -> dict[str, str]:
        """Write files about the whole output, such as a card; returns their SHA-256 by name.

        Raises:
            IntegrityError: the output is not whole.
        """


@dataclass(frozen=True, kw_only=True)
class WholeStep:
    """A step that is done at once, by the process of the command; it has one mark."""

    name: str
    run: RunFolder
    place: RunFolder
    depends_on: dict[str, Any]
    compute: Callable[[], ShardOutput]
    num_shards: int = 1

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """Give the facts of the one mark."""
        return facts[0]

    def complete(self, summary: Summary) -> dict[str, str]:
        """Nothing to write: its own files are the whole output."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Work:
    """A step over shards and how it is done; every worker is given it once."""

    step: ShardStep[Any]
    settings_digest: str
    """Of the step's record, for the commit marks."""
    limits: LimitSettings


class Progress(Protocol):
    """Is told of the shards of a step, in the order in which they end."""

    def done(self, mark: Mark) -> None:
        """Count a shard that is committed."""

    def failed(self, shard: int) -> None:
        """Count a shard that is not tried again."""


def commit(
    step: ShardStep[Any] | WholeStep,
    output: ShardOutput,
    seconds: float,
    attempt: int = 1,
    settings_digest: str = "",
) -> Mark:
    """Write the files of a shard and then its commit mark.

    Files depend on the plan and the settings alone, so doing a shard twice does no harm. Only the
    mark knows of time and host.

    Args:
        step: the step the output is of.
        output: what the engine gave.
        seconds: time the shard has taken.
        attempt: number of the attempt that succeeded, counted from 1.
        settings_digest: of the step's record.
    """
    # A corpus may have thousands of small files, and on an object store each is a round trip.
    write = partial(_write, step.place)
    checksums = list(map_ahead(write, output.tables, output.tables.values()))
    files = {name: sha for name, sha in zip(output.tables, checksums, strict=True) if sha}
    mark = Mark(
        shard=output.shard,
        planned=output.planned,
        ok=output.ok,
        quarantined=output.quarantined,
        files=output.written | files,
        facts=output.facts,
        settings_digest=settings_digest,
        attempts=attempt,
        seconds=round(seconds, 3),
        finished=round(time.time(), 3),
        host=socket.gethostname(),
    )
    write_mark(step.place, step.name, mark)
    return mark


def _write(place: RunFolder, name: str, content: Content) -> str | None:
    """Write or delete one file; returns its SHA-256 if there is one."""
    if content is None:
        delete_own(place, name)
        return None
    made = content() if callable(content) else content
    if isinstance(made, bytes):
        return place.write_bytes(name, made)
    return place.write_table(name, made)


def do_shard(
    work: Work,
    engine: Callable[[Any], ShardOutput],
    shard: int,
    attempt: int,
    num_threads: int = 1,
) -> Mark:
    """Load, compute and commit a shard; the engine has its own number of threads."""
    started = time.monotonic()
    output = engine(work.step.load(shard, num_threads=num_threads))
    return commit(work.step, output, time.monotonic() - started, attempt, work.settings_digest)


@contextmanager
def stopping_after(timeout_s: float | None) -> Iterator[None]:
    """End this process, with a stack on standard error, if the block takes longer.

    A decoder or an engine may hang without releasing Python's lock, so a thread could not do this.
    """
    if timeout_s is None:
        yield
        return
    faulthandler.dump_traceback_later(timeout_s, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


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
        f"{count(len(failures), 'shard')} of {step.name} failed:\n"
        + "\n".join(shown)
        + f"\nWhere: {step.place.url_of(layout.failures(step.name))}"
        + "\nWhat was done is kept; run the same command again to do the rest."
    )
