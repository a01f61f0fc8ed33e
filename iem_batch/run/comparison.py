"""A plan and what its source has now, side by side.

Both come in the order of their names, piece by piece, so nothing is held but the entries of one
piece.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import groupby, pairwise
from operator import attrgetter, itemgetter

from iem_batch.errors import SourceError
from iem_batch.run.folder import RunFolder
from iem_batch.run.manifest import Row, all_rows, entry_of, row_of
from iem_batch.run.plan import Plan, add_example
from iem_batch.run.sampling import chosen
from iem_batch.run.schema import MANIFEST
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Entry, Source
from iem_batch.sources.moved import MovedSource
from iem_batch.sources.protocol import without_format
from iem_batch.words import count

GONE_TABLE = "_run/gone.parquet"
"""The pieces of the plan that the source no longer has."""

_PLACE = itemgetter(MANIFEST.names.index("uri"), MANIFEST.names.index("start"))
"""Of a row: by what the plan and the listing are in order."""


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


class Comparison:
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
        listing = (e for e in chosen(self._source, self._settings()) if isinstance(e, Entry))
        noted = {self._here(uri) for uri in _noted_as_gone(self._run, self._plan)}
        is_any_left = False
        for uri, rows, now in _side_by_side(self._planned(), listing):
            if rows == list(map(row_of, now)):  # as nearly always: no entries are made
                is_any_left = True
                continue
            was = [entry_of(row) for row in rows]
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

    def _planned(self) -> Iterator[Row]:
        """Read the plan in the order of the listing, pieces named by where they lie now."""
        extents = pairwise([0, *self._plan.extents])
        parts = [all_rows(self._run, first, stop) for first, stop in extents]
        if isinstance(self._source, MovedSource):
            parts = [((self._here(uri), *row) for uri, *row in part) for part in parts]
        return parts[0] if len(parts) == 1 else heapq.merge(*parts, key=_PLACE)

    def _here(self, uri: str) -> str:
        return self._source.here(uri) if isinstance(self._source, MovedSource) else uri

    def _settings(self) -> PlanSettings:
        names = [field.name for field in fields(PlanSettings)]
        return PlanSettings(**{name: getattr(self._plan, name) for name in names})

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


def _side_by_side(
    planned: Iterator[Row], listing: Iterator[Entry]
) -> Iterator[tuple[str, list[Row], list[Entry]]]:
    """Give each piece in order, with what the plan and what the listing has of it."""
    row, entry = next(planned, None), next(listing, None)
    while row is not None or entry is not None:
        if entry is None or (row is not None and row[0] < entry.uri):
            assert row is not None
            uri: str = row[0]
        else:
            uri = entry.uri
        rows: list[Row] = []
        entries: list[Entry] = []
        while row is not None and row[0] == uri:
            rows.append(row)
            row = next(planned, None)
        while entry is not None and entry.uri == uri:
            entries.append(entry)
            entry = next(listing, None)
        yield uri, rows, entries


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
