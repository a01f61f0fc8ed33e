"""What has changed in a source since a run was planned, and planning what is new.

New images become new shards with new numbers: the entries of finished shards stay as they are. The
manifest is written first and `plan.json` last, so that a crash leaves the old plan or the new one.

The old listing and the new one are compared piece by piece, side by side; both come in the order of
their names, so nothing is held but the entries of one piece.
"""

import heapq
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from operator import attrgetter, itemgetter

import pyarrow as pa

from iem_batch.errors import RunMismatchError, SourceError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.manifest import all_entries, append_manifest
from iem_batch.run.plan import Plan, add_example, cut_into_shards, read_plan
from iem_batch.run.schema import GONE
from iem_batch.sources import Entry, Source
from iem_batch.sources.protocol import without_format
from iem_batch.words import count

GONE_TABLE = "_run/gone.parquet"
"""The pieces of the plan that the source no longer has."""


@dataclass(kw_only=True)
class SourceChange:
    """How a source differs from what was planned; counts are of images, examples are pieces."""

    num_new: int = 0
    num_gone: int = 0
    num_gone_before: int = 0
    """Those of them that an earlier extension has noted."""
    num_changed: int = 0
    """Pieces of the same name that hold something else."""
    num_repeated: int = 0
    """Images of the plan whose ids new pieces have as well, before them in the order of names."""
    repeated_examples: list[str] = field(default_factory=list)
    """Pieces of the plan with such images."""
    examples: dict[str, list[str]] = field(
        default_factory=lambda: {"new": [], "gone": [], "changed": []}
    )

    def __bool__(self) -> bool:
        return (self.num_new, self.num_gone - self.num_gone_before, self.num_changed) != (0, 0, 0)

    def __str__(self) -> str:
        """Say it in a line, e.g. "50 new images (a.jpg, ...), 3 are gone (b.jpg, ...)"."""
        counts = {
            "new": count(self.num_new, "new image"),
            "gone": f"{self.num_gone - self.num_gone_before:,} are gone",
            "changed": f"{self.num_changed:,} have changed",
        }
        return ", ".join(
            f"{counts[kind]} ({', '.join(names)})" for kind, names in self.examples.items() if names
        )

    def note(self, kind: str, uri: str) -> None:
        """Keep the name of a piece as an example."""
        add_example(self.examples[kind], uri)


def find_change(run: RunFolder, source: Source) -> SourceChange | None:
    """Compare a source with the plan of a run; None where nothing has changed.

    What the names and sizes of archives and tables tell is not looked into. A run of a sample or of
    the first images is not compared.

    Raises:
        SourceError: the source cannot be listed, or has nothing of what was planned.
    """
    plan = read_plan(run)
    if _is_partial(plan):
        return None
    fingerprint = source.fingerprint()
    if fingerprint is not None and fingerprint == plan.fingerprint:
        return None
    comparison = _Comparison(run, plan, source)
    for _ in comparison.new_entries():
        pass
    return comparison.change or None


def extend_plan(run: RunFolder, source: Source) -> tuple[Plan, SourceChange | None]:
    """Plan the images that a source has now and a run has not.

    Doing it twice is doing it once. Images that are gone keep their rows; their pieces are listed
    in `_run/gone.parquet`.

    Returns:
        The plan, and what has changed; None where nothing has.

    Raises:
        RunMismatchError: images have changed, which new shards cannot make good, or the run is one
            of a sample; the plan stays as it is.
        SourceError: the source cannot be listed, or has nothing of what was planned.
        StorageError: the run folder cannot be written.
    """
    plan = read_plan(run)
    if _is_partial(plan):
        raise RunMismatchError(
            f"{run.url} was planned with plan.limit or plan.sample and cannot be extended; use a "
            "new run folder"
        )
    fingerprint = source.fingerprint()  # first: what is added meanwhile is found the next time
    if fingerprint is not None and fingerprint == plan.fingerprint:
        return plan, None
    comparison = _Comparison(run, plan, source)
    change, extents = comparison.change, list(plan.extents)
    # Each extent is in the order of names; a plan.json without them does not know them.
    for entries in (comparison.new_entries, comparison.tail_entries):
        shards = cut_into_shards(entries(), plan.shard_size)
        extents.append(append_manifest(run, extents[-1], shards))
    if change.num_changed or change.num_repeated:
        raise RunMismatchError(_refusal(run, source, change))
    if not change and change.num_gone == plan.num_gone:
        return plan, None
    rows = [{"uri": e.uri, "start": e.start, "stop": e.stop} for e in comparison.gone]
    run.write_table(GONE_TABLE, pa.Table.from_pylist(rows, schema=GONE))
    extended = replace(
        plan,
        num_images=plan.num_images + change.num_new,
        is_exact=plan.is_exact and comparison.is_exact,
        num_repeats=plan.num_repeats + comparison.new_repeats,
        num_shards=extents[-1],
        num_bytes=plan.num_bytes + comparison.new_bytes,
        num_unreadable=plan.num_unreadable + comparison.new_unreadable,
        num_gone=change.num_gone,
        extents=sorted(set(extents)),
        fingerprint=fingerprint,
    )
    run.write_json(layout.PLAN, asdict(extended))
    return extended, change or None


def _is_partial(plan: Plan) -> bool:
    return plan.limit is not None or plan.sample is not None


class _Comparison:
    """The plan of a run and the listing of its source, side by side."""

    def __init__(self, run: RunFolder, plan: Plan, source: Source) -> None:
        self._run, self._plan, self._source = run, plan, source
        self.change = SourceChange()
        self.gone: list[Entry] = []
        """The entries that only the plan has."""
        self.new_bytes = self.new_repeats = self.new_unreadable = 0
        self.is_exact = True
        """Whether the new images were counted; else they are estimated."""
        self._tails: dict[str, range] = {}
        """Piece that has grown -> its new images up to the next entry that is new as a whole."""

    def new_entries(self) -> Iterator[Entry]:
        """Give the entries of new images alone, and count what differs.

        Raises:
            SourceError: the source has nothing of the plan.
        """
        extents = [0, *self._plan.extents]
        old = [
            (((entry.uri, entry.start, 0), entry) for entry in all_entries(self._run, first, stop))
            for first, stop in zip(extents, extents[1:], strict=False)
        ]
        listing = (e for e in self._source.entries(self._plan.shard_size) if isinstance(e, Entry))
        new = (((entry.uri, entry.start, 1), entry) for entry in listing)
        noted = _noted_as_gone(self._run, self._plan)
        is_any_left = False
        for uri, group in groupby(
            heapq.merge(*old, new, key=itemgetter(0)), lambda item: item[0][0]
        ):
            was: list[Entry] = []
            now: list[Entry] = []
            for (_, _, side), entry in group:
                (now if side else was).append(entry)
            if now:
                is_any_left |= bool(was)
                yield from self._compare(uri, was, now)
                continue
            self.gone += was
            num_gone = sum(entry.stop - entry.start for entry in was)
            self.change.num_gone += num_gone
            if uri in noted:
                self.change.num_gone_before += num_gone
            else:
                self.change.note("gone", uri)
        if self.gone and not is_any_left:  # a disk that is not mounted is no change
            raise SourceError(
                f"{without_format(self._source.url)} is gone or empty: it has nothing of what was "
                "planned"
            )

    def _compare(self, uri: str, was: list[Entry], now: list[Entry]) -> Iterator[Entry]:
        """Compare a piece that the source has, and give its new entries."""
        end = max((entry.stop for entry in was), default=0)
        if was and not _holds(was, now, exact_bytes=self._source.exact_bytes):
            self.change.num_changed += 1
            self.change.note("changed", uri)
            return
        before = {index for entry in was for index in entry.repeats}
        repeats = (index for entry in now for index in entry.repeats)
        num_repeated = sum(index < end and index not in before for index in repeats)
        if num_repeated:
            self.change.num_repeated += num_repeated
            add_example(self.change.repeated_examples, uri)
        if now[-1].stop == end:
            return
        self.change.num_new += now[-1].stop - end
        self.change.note("new", uri)
        for entry in now:
            if entry.start >= end:
                yield self._counted(entry)
            elif entry.stop > end:
                self._tails[uri] = range(end, entry.stop)

    def tail_entries(self) -> Iterator[Entry]:
        """Give the new images that share an entry of the listing with planned ones.

        Only for them is the source listed again, image by image.
        """
        if not self._tails:
            return
        singles = (entry for entry in self._source.entries(1) if isinstance(entry, Entry))
        for uri, group in groupby(singles, attrgetter("uri")):
            tail = [entry for entry in group if entry.start in self._tails.get(uri, ())]
            if tail:
                whole = replace(
                    tail[0],
                    stop=tail[-1].stop,
                    end=tail[-1].end,
                    num_bytes=sum(entry.num_bytes for entry in tail),
                    repeats=tuple(index for entry in tail for index in entry.repeats),
                )
                yield self._counted(whole)

    def _counted(self, entry: Entry) -> Entry:
        """Count a new entry and give it."""
        self.new_bytes += entry.num_bytes
        self.new_repeats += len(entry.repeats)
        self.new_unreadable += entry.problem is not None
        self.is_exact = self.is_exact and entry.count == "exact"
        return entry


def _noted_as_gone(run: RunFolder, plan: Plan) -> set[str]:
    """Read the pieces that an earlier extension has found gone.

    The plan is written after them, so other numbers tell of an extension that was cut off.
    """
    try:
        noted = run.read_table(GONE_TABLE).to_pylist()
    except FileNotFoundError:
        return set()
    if sum(row["stop"] - row["start"] for row in noted) != plan.num_gone:
        return set()
    return {row["uri"] for row in noted}


def _holds(was: list[Entry], now: list[Entry], *, exact_bytes: bool) -> bool:
    """Tell whether a piece still has the images that were planned, in the same places."""
    if now[-1].stop < max(entry.stop for entry in was):
        return False
    at = {entry.start: entry for entry in now}
    for entry in was:
        other = at.get(entry.start)
        if other is None:
            continue  # of an extension, whose entries begin elsewhere
        if (entry.offset, entry.first_key) != (other.offset, other.first_key):
            return False
        if entry.offset is None and entry.end != other.end:
            return False  # a table is written anew as a whole
        if entry.stop != other.stop:
            continue
        if (entry.end, entry.problem) != (other.end, other.problem):
            return False
        if exact_bytes and entry.num_bytes != other.num_bytes:
            return False
    return True


def _refusal(run: RunFolder, source: Source, change: SourceChange) -> str:
    place = without_format(source.url)
    if change.num_repeated:
        return (
            f"{place} has new pieces with the ids of {count(change.num_repeated, 'image')} of "
            f"{run.url} (of {', '.join(change.repeated_examples)}), which are done; give them "
            "other ids, or use a new run folder"
        )
    return (
        f"{place} has changed since {run.url} was planned: {change}. Images that have changed are "
        "not made again; put them back, or use a new run folder"
    )
