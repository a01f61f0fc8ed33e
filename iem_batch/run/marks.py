"""What a step leaves beside its output: its record, commit marks, failures and summary.

All are written and read here and nowhere else. A place is a run, a round or a corpus elsewhere.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, TypeVar

from iem_batch.errors import IntegrityError, RunMismatchError, ShardsFailedError, StorageError
from iem_batch.run import layout
from iem_batch.run.differences import changes, refusal
from iem_batch.run.folder import RunFolder
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.words import count

Kind = TypeVar("Kind", "Mark", "Failure", "StepRecord", "Summary")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The commit mark of a shard: it is done, and this is what it gave.

    Raises:
        IntegrityError: the counts do not add up, so an image was lost.
    """

    shard: int
    planned: int
    """Images the shard was given; planned = ok + quarantined."""
    ok: int
    """Images with a result."""
    quarantined: int
    """Images that were rejected."""
    files: dict[str, str]
    """File in the place -> its SHA-256 in hexadecimal."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What this step adds, in JSON types."""
    settings_digest: str
    """`StepRecord.digest` of the settings it was done with."""
    attempts: int
    """Number of the attempt that succeeded, counted from 1."""
    seconds: float
    """Time the shard took."""
    finished: float
    """When it was committed, in seconds since 1970."""
    host: str

    def __post_init__(self) -> None:
        if self.planned != self.ok + self.quarantined:
            raise IntegrityError(
                f"shard {self.shard}: {self.planned} planned, {self.ok} ok and "
                f"{self.quarantined} quarantined; they do not add up"
            )


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a shard could not be done, by the last command that tried."""

    shard: int
    attempts: int
    error: str
    time: float
    """In seconds since 1970."""
    host: str
    trace: list[str] = field(default_factory=list)
    """The last lines of where it was raised."""


@dataclass(frozen=True, kw_only=True)
class StepRecord:
    """What a step's output depends on; written before its first shard."""

    num_shards: int
    settings: dict[str, Any]
    """In JSON types."""
    versions: dict[str, str]
    """This program and its libraries -> version; another one may change bytes of the output."""
    is_dropped: bool = False
    """Whether its output is being deleted; a deletion cut off is finished by the next command."""

    @property
    def digest(self) -> str:
        """A hash of the settings, for the commit marks."""
        return hashlib.sha256(json.dumps(self.settings, sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The sums over the commit marks of a finished step, so that these need not be read again."""

    num_shards: int
    planned: int
    ok: int
    quarantined: int
    files: dict[str, str] = field(default_factory=dict)
    """Files about the whole output, beside those of the marks -> SHA-256."""
    outputs_digest: str
    """SHA-256 over the names and checksums of all files."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What the step made of the facts of its shards."""
    seconds: float
    """Sum over the shards."""
    began: float
    """Start of the first shard, in seconds since 1970."""
    finished: float
    """End of the last."""


def committed(place: RunFolder, step: str) -> set[int]:
    """List the shards of a step that are done."""
    return layout.shards_of(place.names(f"_run/stats/{step}"), ".json")


def read_mark(place: RunFolder, step: str, shard: int) -> Mark:
    """Read the commit mark of a shard that is done.

    Raises:
        FileNotFoundError: the shard is not done.
        StorageError: the mark is damaged, or cannot be read.
    """
    return _read(place, layout.mark(step, shard), Mark)


def read_marks(place: RunFolder, step: str, shards: Iterable[int]) -> Iterator[Mark]:
    """Read commit marks in the order given, several at once; only a few are in memory."""
    return map_ahead(partial(read_mark, place, step), shards)


def write_mark(place: RunFolder, step: str, mark: Mark) -> None:
    """Commit a shard."""
    place.write_json(layout.mark(step, mark.shard), asdict(mark))


def read_failures(place: RunFolder, step: str) -> dict[int, Failure]:
    """Read why shards of a step could not be done, for those that still are not."""
    shards = layout.shards_of(place.names(layout.failures(step)), ".json")
    left = sorted(shards - committed(place, step)) if shards else []
    return {shard: _read(place, layout.failure(step, shard), Failure) for shard in left}


def write_failure(place: RunFolder, step: str, failure: Failure) -> None:
    """Say why a shard could not be done."""
    place.write_json(layout.failure(step, failure.shard), asdict(failure))


def read_record(place: RunFolder, step: str) -> StepRecord | None:
    """Read what a step was begun with; None if it was not."""
    try:
        return _read(place, layout.record(step), StepRecord)
    except FileNotFoundError:
        return None


def write_record(place: RunFolder, step: str, record: StepRecord) -> None:
    """Write what a step is begun with."""
    place.write_json(layout.record(step), asdict(record))


def claim(
    place: RunFolder, step: str, record: StepRecord, accept_versions: bool = False
) -> StepRecord:
    """Begin a step, or check that it is resumed with the same settings; gives the record stored.

    Args:
        place: where its output goes.
        step: its name.
        record: what its output depends on now.
        accept_versions: resume what other versions of this program or of its libraries have
            begun; what they have done is kept.

    Raises:
        RunMismatchError: the step was begun with other settings; the message says which.
    """
    before = read_record(place, step)
    if before is None:
        # Of two commands that begin at once the first record stands; both must find theirs.
        place.create_json(layout.record(step), asdict(record))
        before = read_record(place, step) or record
    changed = changes(before.settings, record.settings)
    if changed or before.num_shards != record.num_shards:
        changed = changed or {"num_shards": (before.num_shards, record.num_shards)}
        raise RunMismatchError(refusal(place.url_of(step), changed, "settings"))
    if changed := changes(before.versions, record.versions):
        if not accept_versions:
            raise RunMismatchError(refusal(place.url_of(step), changed, "versions"))
        write_record(place, step, record)
    return record


def read_summary(place: RunFolder, step: str) -> Summary | None:
    """Read the sums over a finished step; None if it has not finished."""
    try:
        return _read(place, layout.summary(step), Summary)
    except FileNotFoundError:
        return None


def require_summary(place: RunFolder, step: str) -> Summary:
    """Read the sums over a step that must have finished.

    Raises:
        StepMissingError: it has not been begun; the message names the command.
        ShardsFailedError: shards of it are missing; the message says how many.
    """
    found = read_summary(place, step)
    if found is not None:
        return found
    place.require(layout.record(step), step)
    record = read_record(place, step)
    num_shards = 0 if record is None else record.num_shards
    missing = sorted(set(range(num_shards)) - committed(place, step))
    lacks = f"{place.url_of(step)} has all shards and was not completed"
    if missing:
        lacks = (
            f"{len(missing)} of {count(num_shards, 'shard')} of {place.url_of(step)} are not done, "
            f"the first is {missing[0]}"
        )
    raise ShardsFailedError(f"{lacks}; run `iem-batch {step}` again")


def settings_of(place: RunFolder, step: str) -> str:
    """Hash what a finished step was made with: what depends on it shard by shard depends on this.

    Raises:
        StepMissingError: it has not been begun.
        ShardsFailedError: shards of it are missing.
    """
    require_summary(place, step)
    record = read_record(place, step)
    assert record is not None
    return record.digest


def add_up(
    place: RunFolder,
    step: str,
    shards: Sequence[int],
    combine: Callable[[list[dict[str, Any]]], dict[str, Any]],
    digest: str | None = None,
) -> Summary:
    """Add up the commit marks of shards that are done.

    Args:
        place: where the step's output is.
        step: its name.
        shards: those to add up, in order.
        combine: makes the facts of the summary of those of the shards.
        digest: of the settings they must have been done with; None does not look.

    Raises:
        RunMismatchError: shards were done by a command with other settings.
    """
    planned = ok = quarantined = 0
    seconds, began, finished = 0.0, float("inf"), 0.0
    foreign: list[int] = []
    facts: list[dict[str, Any]] = []
    outputs = hashlib.sha256()
    for mark in read_marks(place, step, shards):
        planned, ok = planned + mark.planned, ok + mark.ok
        quarantined, seconds = quarantined + mark.quarantined, seconds + mark.seconds
        began, finished = min(began, mark.finished - mark.seconds), max(finished, mark.finished)
        facts.append(mark.facts)
        foreign += [mark.shard] * (digest not in (None, mark.settings_digest))
        for name, checksum in mark.files.items():
            outputs.update(f"{name} {checksum}\n".encode())
    if foreign:
        raise RunMismatchError(
            f"{count(len(foreign), 'shard')} of {place.url_of(step)}, the first is {foreign[0]}, "
            "were done by another command with other settings that was at work at once; do "
            "the step again with --overwrite, by one command"
        )
    return Summary(
        num_shards=len(shards),
        planned=planned,
        ok=ok,
        quarantined=quarantined,
        outputs_digest=outputs.hexdigest(),
        facts=combine(facts),
        seconds=round(seconds, 3),
        began=round(min(began, finished), 3),
        finished=finished,
    )


def write_summary(place: RunFolder, step: str, summary: Summary) -> None:
    """Write the sums over a step whose shards are all done: it has finished."""
    place.write_json(layout.summary(step), asdict(summary))


def _read(place: RunFolder, name: str, kind: type[Kind]) -> Kind:
    try:
        return kind(**place.read_json(name))
    except (TypeError, IntegrityError) as error:
        raise StorageError(f"{place.url_of(name)} cannot be used: {error}") from error
