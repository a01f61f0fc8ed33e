"""The plan of a run: which images make which shard. Written before anything runs."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields

from iem_batch.errors import RunMismatchError, SourceError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.manifest import append_manifest, shard_entries
from iem_batch.run.sampling import chosen
from iem_batch.run.schema import VERSION, require_free
from iem_batch.run.settings import PlanSettings, names_in
from iem_batch.sources import Entry, IgnoredFile, Source
from iem_batch.sources.moved import without_was
from iem_batch.sources.protocol import without_format

__all__ = ["Plan", "read_plan", "require_same_settings", "shard_entries", "write_plan"]

NUM_EXAMPLES = 3
"""How many names are given where many could be."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do.

    Args:
        source_url: the collection, with its format, and where it lay before.
        shard_size: images in a shard, at most.
        limit: as in `PlanSettings`.
        sample: as in `PlanSettings`.
        include: as in `PlanSettings`.
        exclude: as in `PlanSettings`.
        keep: as in `PlanSettings`.
        seed: as in `PlanSettings`.
        num_images: images in all shards.
        is_exact: whether `num_images` was counted; else it is estimated.
        num_repeats: those of them whose id an earlier image has; they become quarantine rows.
        num_shards: shards, numbered from 0.
        num_bytes: encoded size of all images; 0 where it is not known.
        is_exact_bytes: whether `num_bytes` was counted; else it is estimated.
        num_ignored: what the source holds beside images.
        ignored_examples: the first names of those.
        num_unreadable: pieces that cannot be read at all; each counts as an image.
        unreadable_examples: the first names of those.
        digest: SHA-256 over all entries as they were planned first, in hexadecimal; an extension
            leaves it as it is, since it leaves their shards so.
        extents: the number of shards as it was planned first, and after each extension; the
            entries of each are in the order of the source.
        num_gone: images that the source no longer had when it was looked at last.
        fingerprint: as `Source.fingerprint` gave it then.
        schema_version: of the tables of the run folder.
    """

    source_url: str
    shard_size: int
    limit: int | None
    sample: float | None
    include: str | None
    exclude: str | None
    keep: str | None
    seed: int
    num_images: int
    is_exact: bool
    num_repeats: int
    num_shards: int
    num_bytes: int
    is_exact_bytes: bool
    num_ignored: int
    ignored_examples: list[str]
    num_unreadable: int
    unreadable_examples: list[str]
    digest: str
    extents: list[int]
    num_gone: int
    fingerprint: str | None
    schema_version: str

    @property
    def kept_columns(self) -> tuple[str, ...]:
        """The names in `keep`."""
        return names_in(self.keep)


class _Listing:
    """Iterates over the entries to plan and counts them."""

    def __init__(self, source: Source, settings: PlanSettings) -> None:
        self.source = source
        self.settings = settings
        self.num_images = 0
        self.is_exact = True
        self.num_repeats = 0
        self.num_bytes = 0
        self.num_ignored = 0
        self.ignored_examples: list[str] = []
        self.num_unreadable = 0
        self.unreadable_examples: list[str] = []
        self._sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[Entry]:
        for item in chosen(self.source, self.settings):
            if isinstance(item, IgnoredFile):
                self.num_ignored += 1
                add_example(self.ignored_examples, item.uri)
                continue
            self._count(item)
            yield item

    def _count(self, entry: Entry) -> None:
        self.num_images += entry.stop - entry.start
        self.is_exact = self.is_exact and entry.count == "exact"
        self.num_repeats += len(entry.repeats)
        self.num_bytes += entry.num_bytes
        if entry.problem is not None:
            self.num_unreadable += 1
            add_example(self.unreadable_examples, f"{entry.uri} ({entry.problem})")
        self._sha256.update(_serialised(entry))

    def digest(self) -> str:
        return self._sha256.hexdigest()


def _serialised(entry: Entry) -> bytes:
    # JSON, because a name may hold any separator.
    key = None if entry.first_key is None else entry.first_key.hex()
    places = [entry.uri, entry.start, entry.stop, entry.num_bytes, entry.offset, entry.end, key]
    return json.dumps([*places, entry.codec, entry.count, entry.repeats, entry.problem]).encode()


def write_plan(run: RunFolder, source: Source, settings: PlanSettings) -> Plan:
    """Plan a run that has no plan yet.

    The manifest is written while the source is listed, `plan.json` last: without it there is no
    plan.

    Raises:
        SourceError: the source cannot be listed, holds no image, or has no column to keep.
        SettingsError: columns that are kept have names or types that cannot be.
        StorageError: the run folder cannot be written.
    """
    if settings.keep:
        require_free(source.kept.names)
    fingerprint = source.fingerprint()  # first: what is added meanwhile is found the next time
    listing = _Listing(source, settings)
    num_shards = append_manifest(run, 0, cut_into_shards(iter(listing), settings.shard_size))
    if listing.num_images == 0:
        raise SourceError(_no_images(source, listing, settings))
    plan = Plan(
        source_url=source.url,
        **asdict(settings),
        num_images=listing.num_images,
        is_exact=listing.is_exact,
        num_repeats=listing.num_repeats,
        num_shards=num_shards,
        num_bytes=listing.num_bytes,
        is_exact_bytes=source.exact_bytes,
        num_ignored=listing.num_ignored,
        ignored_examples=listing.ignored_examples,
        num_unreadable=listing.num_unreadable,
        unreadable_examples=listing.unreadable_examples,
        digest=listing.digest(),
        extents=[num_shards],
        num_gone=0,
        fingerprint=fingerprint,
        schema_version=VERSION,
    )
    run.write_json(layout.PLAN, asdict(plan))
    return plan


def read_plan(run: RunFolder) -> Plan:
    """Read the plan of a run.

    Raises:
        StepMissingError: the run has not been planned.
        RunMismatchError: it was planned by another version of this program.
    """
    run.require(layout.PLAN, "plan")
    record = run.read_json(layout.PLAN)
    if record.keys() != {field.name for field in fields(Plan)}:
        raise RunMismatchError(
            f"{run.url} was planned by another version of iem_batch; use that, or a new run folder"
        )
    return Plan(**record)


def require_same_settings(run: RunFolder, source: Source, settings: PlanSettings) -> None:
    """Check that a run was planned from this source with these settings, without listing it again.

    Raises:
        StepMissingError: the run has not been planned.
        RunMismatchError: it was planned otherwise; the message says what differs.
    """
    before = read_plan(run)
    now = {
        "source": (without_was(before.source_url), without_was(source.url)),
        **{name: (getattr(before, name), value) for name, value in asdict(settings).items()},
        "schema_version": (before.schema_version, VERSION),
    }
    changed = [
        f"  {name}: {old!r} before, {new!r} now" for name, (old, new) in now.items() if old != new
    ]
    if changed:
        raise RunMismatchError(
            f"{run.url} was planned differently:\n"
            + "\n".join(changed)
            + "\nUse a new run folder, or what it was planned with."
        )


def cut_into_shards(entries: Iterator[Entry], shard_size: int) -> Iterator[list[Entry]]:
    """Group entries; an entry is never cut, so a source must not give larger ones than a shard."""
    shard: list[Entry] = []
    size = 0
    for entry in entries:
        count = entry.stop - entry.start
        if shard and size + count > shard_size:
            yield shard
            shard, size = [], 0
        shard.append(entry)
        size += count
    if shard:
        yield shard


def _no_images(source: Source, listing: _Listing, settings: PlanSettings) -> str:
    place, names = without_format(source.url), ", ".join(listing.ignored_examples)
    if not listing.num_ignored:
        return f"{place} is empty"
    if settings.include or settings.exclude:
        return f"plan.include and plan.exclude leave nothing of {place}, such as {names}"
    return f"{place} holds no images, but {listing.num_ignored} other files, such as {names}"


def add_example(examples: list[str], name: str) -> None:
    """Keep the first names, with what would break a line or a terminal escaped."""
    if len(examples) < NUM_EXAMPLES:
        examples.append(
            "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
        )
