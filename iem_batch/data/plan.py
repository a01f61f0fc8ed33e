"""The plan of a run: which images make which shard. Written once, before anything runs."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import pyarrow as pa

from iem_batch.data import run_folder
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.schema import MANIFEST, VERSION
from iem_batch.data.settings import PlanSettings
from iem_batch.data.sources import Entry, IgnoredFile, Source
from iem_batch.errors import RunMismatchError, SourceError, StorageError

NUM_EXAMPLES = 3
"""How many names are given where many could be."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run will do.

    Args:
        source_url: the collection.
        shard_size: images in a shard, at most.
        limit: as in `PlanSettings`.
        num_images: images in all shards.
        num_shards: shards, numbered from 0.
        num_bytes: encoded size of all images.
        num_ignored: what the source holds beside images.
        ignored_examples: the first names of those.
        digest: SHA-256 over all entries in order, in hexadecimal.
        schema_version: of the tables of the run folder.
    """

    source_url: str
    shard_size: int
    limit: int | None
    num_images: int
    num_shards: int
    num_bytes: int
    num_ignored: int
    ignored_examples: list[str]
    digest: str
    schema_version: str


class _Listing:
    """Iterates over the entries to plan and keeps count of what went by."""

    def __init__(self, source: Source, limit: int | None) -> None:
        self.source = source
        self.limit = limit
        self.num_images = 0
        self.num_bytes = 0
        self.num_ignored = 0
        self.ignored_examples: list[str] = []
        self._sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[Entry]:
        for item in self.source.entries():
            if isinstance(item, IgnoredFile):
                self._ignore(item)
                continue
            if self.limit is not None:
                left = self.limit - self.num_images
                if left == 0:
                    return
                item = replace(item, stop=min(item.stop, item.start + left))
            self.num_images += item.stop - item.start
            self.num_bytes += item.num_bytes
            # JSON, because a name may hold any separator.
            fields = [item.uri, item.start, item.stop, item.num_bytes]
            self._sha256.update(json.dumps(fields).encode())
            yield item

    def digest(self) -> str:
        return self._sha256.hexdigest()

    def _ignore(self, item: IgnoredFile) -> None:
        self.num_ignored += 1
        if len(self.ignored_examples) < NUM_EXAMPLES:
            self.ignored_examples.append(_printable(item.uri))


def write_plan(run: RunFolder, source: Source, settings: PlanSettings) -> Plan:
    """Plan a run, or check that it is planned already in just this way.

    The manifest is written shard by shard while the source is listed, `plan.json` last: without
    it there is no plan.

    Raises:
        SourceError: the source cannot be listed or holds no image.
        RunMismatchError: the run was planned from another source or with other settings; the
            message says what differs.
        StorageError: the run folder cannot be written.
    """
    before = read_plan(run) if run.exists(run_folder.PLAN) else None
    if before is not None:
        require_same_settings(run, source, settings)
    listing = _Listing(source, settings.limit)
    num_shards = 0
    for entries in _shards(iter(listing), settings.shard_size):
        if before is None:
            run.write_table(run_folder.manifest_part(num_shards), _table(entries))
        num_shards += 1
    if listing.num_images == 0:
        raise SourceError(_no_images(source, listing))
    if before is not None:
        if before.digest != listing.digest():
            raise RunMismatchError(_difference(run, before, source))
        return before
    plan = Plan(
        source_url=source.url,
        shard_size=settings.shard_size,
        limit=settings.limit,
        num_images=listing.num_images,
        num_shards=num_shards,
        num_bytes=listing.num_bytes,
        num_ignored=listing.num_ignored,
        ignored_examples=listing.ignored_examples,
        digest=listing.digest(),
        schema_version=VERSION,
    )
    _delete_parts_beyond(run, num_shards)
    run.write_json(run_folder.PLAN, asdict(plan))
    return plan


def read_plan(run: RunFolder) -> Plan:
    """Read the plan of a run.

    Raises:
        StepMissingError: the run has not been planned.
    """
    run.require(run_folder.PLAN, "plan")
    return Plan(**run.read_json(run_folder.PLAN))


def require_same_settings(run: RunFolder, source: Source, settings: PlanSettings) -> None:
    """Check that a run was planned so; the source is not listed again.

    Raises:
        StepMissingError: the run has not been planned.
        RunMismatchError: it was planned otherwise; the message says what differs.
    """
    before = read_plan(run)
    now = {
        "source": (before.source_url, source.url),
        "shard_size": (before.shard_size, settings.shard_size),
        "limit": (before.limit, settings.limit),
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


def shard_entries(run: RunFolder, shard: int) -> list[Entry]:
    """Read which pieces of the source make a shard, in order.

    Raises:
        StorageError: the manifest has no such shard.
    """
    try:
        table = run.read_table(run_folder.manifest_part(shard))
    except FileNotFoundError as error:
        raise StorageError(f"the manifest of {run.url} has no shard {shard}") from error
    return [Entry(**row) for row in table.to_pylist()]


def _shards(entries: Iterator[Entry], shard_size: int) -> Iterator[list[Entry]]:
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


def _table(entries: list[Entry]) -> pa.Table:
    return pa.Table.from_pylist([asdict(entry) for entry in entries], schema=MANIFEST)


def _delete_parts_beyond(run: RunFolder, num_shards: int) -> None:
    """Clear what an interrupted plan of a larger source has left."""
    wanted = {run_folder.manifest_part(shard).rpartition("/")[2] for shard in range(num_shards)}
    folder = run_folder.manifest_part(0).rpartition("/")[0]
    for name in run.names(folder):
        if name not in wanted:
            run.delete(f"{folder}/{name}")


def _no_images(source: Source, listing: _Listing) -> str:
    if not listing.num_ignored:
        return f"{source.url} is empty"
    names = ", ".join(listing.ignored_examples)
    return f"{source.url} holds no images, but {listing.num_ignored} other files, such as {names}"


def _difference(run: RunFolder, before: Plan, source: Source) -> str:
    old = {
        entry.uri: entry
        for shard in range(before.num_shards)
        for entry in shard_entries(run, shard)
    }
    new = {entry.uri: entry for entry in _Listing(source, before.limit)}
    parts = [
        _counted("added", sorted(new.keys() - old.keys())),
        _counted("removed", sorted(old.keys() - new.keys())),
        _counted("of another size", sorted(u for u in old.keys() & new.keys() if old[u] != new[u])),
    ]
    return (
        f"{source.url} has changed since {run.url} was planned: "
        + "; ".join(part for part in parts if part)
        + ". Use a new run folder, or put the source back as it was."
    )


def _counted(what: str, uris: list[str]) -> str:
    if not uris:
        return ""
    examples = ", ".join(_printable(uri) for uri in uris[:NUM_EXAMPLES]) + (
        ", ..." if len(uris) > NUM_EXAMPLES else ""
    )
    return f"{len(uris)} files {what} ({examples})"


def _printable(name: str) -> str:
    """Escape what would break a line or a terminal, and bytes that are not UTF-8."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in name
    )
