"""Checking one shard of one step of a run against its commit mark and the plan."""

import hashlib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iem_batch.errors import SourceError, StorageError
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import read_entries
from iem_batch.run.marks import Mark, Summary, read_mark
from iem_batch.run.plan import shard_entries
from iem_batch.run.tables import ALONE
from iem_batch.sources import Source
from iem_batch.steps.places import StartedStep
from iem_batch.steps.quarantine import without_label

DUPLICATE = "duplicate"
"""Why an image is in the quarantine whose id belongs to an earlier one, which is kept."""


DAMAGES = frozenset(("mark", "missing file", "checksum"))
"""Kinds of findings that `iem-batch retry --damaged` mends."""


@dataclass(frozen=True, kw_only=True)
class CheckedShard:
    """What was found in a shard."""

    files: dict[str, int] = field(default_factory=dict)
    """Files that the commit mark names -> size in bytes."""
    findings: list[tuple[str, str]] = field(default_factory=list)
    """Kind and message of what is wrong."""
    id_hashes: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))
    """Of masks: of the ids of all its images, those in the quarantine too."""

    @property
    def is_damaged(self) -> bool:
        """Whether a file is not what was written."""
        return any(kind in DAMAGES for kind, _ in self.findings)


def check_shard(started: StartedStep, source: Source | None, shard: int) -> CheckedShard:
    """Read everything a shard has written and compare it with its mark and the plan.

    Args:
        started: the step.
        source: as for `iem_batch.tools.verify.check`.
        shard: a committed shard.
    """
    place, step = started.place, started.step
    name = layout.mark(step.name, shard)
    found = CheckedShard()
    try:
        mark = read_mark(place, step.name, shard)
    except (StorageError, FileNotFoundError) as error:
        found.findings.append(("mark", f"{name} cannot be used: {error}"))
        return found
    tables = {file: _read(place, file, checksum, found) for file, checksum in mark.files.items()}
    if not step.of_plan or not step.of_run:
        return found
    rows = tables.get(layout.part(step.name, shard))
    if layout.part(step.name, shard) not in tables:
        message = f"{name} does not name {layout.part(step.name, shard)}"
        found.findings.append(("mark", message))
    if rows is not None:
        _check_rows(started, mark, rows, found)
    if step.name == "segment":
        quarantine = tables.get(layout.part(layout.QUARANTINE, shard))
        return _check_images(started.job.run, source, mark, rows, quarantine, found)
    return found


def check_whole(place: RunFolder, summary: Summary) -> CheckedShard:
    """Read the files about the whole output of a finished step, and hash them again."""
    found = CheckedShard()
    for name, checksum in summary.files.items():
        _read(place, name, checksum, found)
    return found


def _read(place: RunFolder, name: str, checksum: str, found: CheckedShard) -> pa.Table | None:
    """Hash a file; returns its ids and places if it is a table."""
    try:
        data = place.read_bytes(name)
    except FileNotFoundError:
        found.findings.append(("missing file", f"{name} is gone, its commit mark names it"))
        return None
    except StorageError as error:
        found.findings.append(("unreadable", f"{name}: {error}"))
        return None
    found.files[name] = len(data)
    if schema.checksum(data) != checksum:
        found.findings.append(("checksum", f"{name} is not what was written: its bytes differ"))
        return None  # a Parquet reader may not survive what is in it
    if not name.endswith(".parquet"):
        return None
    try:
        file = pq.ParquetFile(pa.BufferReader(data), **ALONE)
        columns = ("image_id", "uri", "error_class", "init_side")
        known = [column for column in file.schema_arrow.names if column in columns]
        return file.read(known, use_threads=False)
    except (pa.ArrowException, OSError) as error:  # pyarrow raises either
        found.findings.append(("unreadable", f"{name} is no Parquet file: {error}"))
        return None


def _check_rows(started: StartedStep, mark: Mark, rows: pa.Table, found: CheckedShard) -> None:
    """Compare rows and images of a data file with the mark and with the masks."""
    name = layout.part(started.step.name, mark.shard)
    ids = rows["image_id"].to_pylist()
    sides = max(1, len(mark.facts.get("sides", ())))
    if len(set(ids)) != mark.ok or len(ids) != sides * mark.ok:
        message = (
            f"{name} has {len(ids)} rows of {len(set(ids))} images, its mark says {mark.ok} "
            f"images with {sides} each"
        )
        found.findings.append(("counts", message))
    if started.step.name != "segment":
        masks = layout.part("segment", mark.shard)
        try:
            table = started.job.run.read_table(masks, columns=["image_id"])
            known = {*table["image_id"].to_pylist(), *without_label(started.job.run, mark.shard)}
        except (FileNotFoundError, StorageError):
            return  # told of where masks are checked
        for image_id in sorted(set(ids) - known):
            message = f"{name} has a row of {image_id}, which has no mask in its shard"
            found.findings.append(("extra image", message))


def _check_images(
    run: RunFolder,
    source: Source | None,
    mark: Mark,
    rows: pa.Table | None,
    quarantine: pa.Table | None,
    found: CheckedShard,
) -> CheckedShard:
    """Compare the images with masks and those in the quarantine with the plan."""
    num_rejected = 0 if quarantine is None else len(quarantine)
    if num_rejected != mark.quarantined:
        message = (
            f"{layout.part(layout.QUARANTINE, mark.shard)} has {num_rejected} rows, the mark of "
            f"its shard says {mark.quarantined}"
        )
        found.findings.append(("counts", message))
    if rows is None:
        return found
    ids, places = _images(rows, quarantine)
    for kind, message in _against_the_plan(run, source, mark, ids, places):
        found.findings.append((kind, message))
    return CheckedShard(
        files=found.files, findings=found.findings, id_hashes=id_hashes(list(ids.elements()))
    )


def _images(rows: pa.Table, quarantine: pa.Table | None) -> tuple[Counter[str], set[str]]:
    """Give the ids of the images of a shard, each as often as it comes, and their places."""
    ids = Counter(set(rows["image_id"].to_pylist()))
    places = set(rows["uri"].to_pylist())
    if quarantine is not None:
        places |= set(quarantine["uri"].to_pylist())
        reasons = quarantine["error_class"].to_pylist()
        every = zip(quarantine["image_id"].to_pylist(), reasons, strict=True)
        ids.update(image_id for image_id, reason in every if reason != DUPLICATE)
    return ids, places


def _against_the_plan(
    run: RunFolder,
    source: Source | None,
    mark: Mark,
    ids: Counter[str],
    places: set[str],
) -> list[tuple[str, str]]:
    try:
        entries = shard_entries(run, mark.shard)
    except StorageError as error:
        return [("plan", str(error))]
    found = []
    in_plan = sum(entry.stop - entry.start for entry in entries)
    if all(entry.count == "exact" for entry in entries) and mark.planned != in_plan:
        message = f"shard {mark.shard} was planned with {in_plan} images and has {mark.planned}"
        found.append(("counts", message))
    single = all(entry.stop - entry.start == 1 and entry.offset is None for entry in entries)
    if source is not None:
        try:
            expected = {item.image_id for item in read_entries(source, entries)}
        except (StorageError, SourceError) as error:
            return [*found, ("unreadable", f"shard {mark.shard} of the source: {error}")]
        there = set(ids)
    elif single and not any(entry.first_key for entry in entries):
        expected, there = {entry.uri for entry in entries}, places
    else:
        return found
    for name in sorted(expected - there):
        found.append(("missing image", f"{name} of shard {mark.shard} has neither mask nor reason"))
    for name in sorted(there - expected):
        found.append(("extra image", f"{name} is in shard {mark.shard}, but not in its plan"))
    return found


def image_ids(run: RunFolder, shard: int) -> list[str]:
    """List the ids of a shard's images, those in the quarantine too, each as often as it comes."""
    rows = run.read_table(layout.part("segment", shard), columns=["image_id", "uri"])
    name = layout.part(layout.QUARANTINE, shard)
    ids, _ = _images(rows, run.read_table(name) if run.exists(name) else None)
    return list(ids.elements())


def id_hashes(ids: list[str]) -> NDArray[np.uint64]:
    """Hash ids to 64 bits."""
    digests = b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in ids)
    return np.frombuffer(digests, np.uint64)
