"""Copying the images of any source into shards, byte for byte: the command `convert`.

OUT/
  part-00000.parquet  or  part-00000.tar     the images of a shard of the plan, with their ids
  _run/                                      the plan, commit marks and quarantine, as in a run

Nothing but `_run/` lies beside the shards, so that OUT is a source, a WebDataset or a Hugging Face
data set as it is. It is no step of `iem_batch.exec`: nothing is decoded or computed, and
one pass in order is what a disk with an LMDB wants.
"""

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.run import schema
from iem_batch.run.file_names import safe_file_name
from iem_batch.run.folder import RunFolder, mark
from iem_batch.run.load import read_entries
from iem_batch.run.plan import shard_entries
from iem_batch.sources import RawImage, Source, UnreadableImage
from iem_batch.sources.formats import image_extension
from iem_batch.sources.tar_members import ID_COMMENT

Target = Literal["parquet", "tar"]

STEP = "images"
"""Name of the step in the commit marks."""

ROWS_IN_A_GROUP = 64
"""Few, so that a reader of some images of a file reads not much more than these."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """Images that went into shards, and those that could not be read."""

    ok: int
    quarantined: int


def part_name(shard: int, to: Target) -> str:
    """Name the file of a shard in OUT."""
    return f"part-{shard:05d}.{to}"


def convert(
    out: RunFolder,
    num_shards: int,
    source: Source,
    to: Target,
    progress: Callable[[dict[str, Any]], None],
) -> Converted:
    """Write the shards that have no commit mark yet, one after another.

    Args:
        out: a planned run folder.
        num_shards: shards of its plan.
        source: the source it was planned from.
        to: format of the shards.
        progress: called with the commit mark of each shard.

    Raises:
        StorageError: something could not be read or written; what was done is kept.
        SourceError: the source has vanished or is not what was planned.
    """
    committed = out.committed(STEP)
    for shard in range(num_shards):
        if shard not in committed:
            progress(_convert_shard(out, shard, source, to))
    marks = out.each_mark(STEP, range(num_shards))
    ok, quarantined = 0, 0
    for done in marks:
        ok += done["ok"]
        quarantined += done["quarantined"]
    return Converted(ok=ok, quarantined=quarantined)


def _convert_shard(out: RunFolder, shard: int, source: Source, to: Target) -> dict[str, Any]:
    images: list[RawImage] = []
    rejected: list[UnreadableImage] = []
    entries = shard_entries(out, shard)
    for item in read_entries(source, entries):
        if isinstance(item, RawImage):
            images.append(item)
        else:
            rejected.append(item)
    if all(entry.count == "exact" for entry in entries):
        in_plan = sum(entry.stop - entry.start for entry in entries)
        assert len(images) + len(rejected) == in_plan, f"shard {shard}: the source lost images"
    data = parquet_bytes(images) if to == "parquet" else tar_bytes(images)
    files = {part_name(shard, to): out.write_bytes(part_name(shard, to), data)}
    name = f"_run/quarantine/part-{shard:05d}.parquet"
    if rejected:
        files[name] = out.write_table(name, _quarantine(rejected))
    else:
        out.delete(name)
    done = {
        "shard": shard,
        "planned": len(images) + len(rejected),
        "ok": len(images),
        "quarantined": len(rejected),
        "files": files,
    }
    out.write_json(mark(STEP, shard), done)
    return done


def parquet_bytes(images: list[RawImage]) -> bytes:
    """Encode images as a Parquet file of schema IMAGES; nothing is compressed again."""
    columns = {
        "image_id": [image.image_id for image in images],
        "image": schema.image_column([image.data for image in images]),
    }
    sink = pa.BufferOutputStream()
    pq.write_table(
        pa.table(columns, schema=schema.IMAGES),
        sink,
        row_group_size=ROWS_IN_A_GROUP,
        compression="none",
        use_dictionary=False,
        write_statistics=["image_id"],
    )
    encoded: bytes = sink.getvalue().to_pybytes()
    return encoded


def tar_bytes(images: list[RawImage]) -> bytes:
    """Encode images as a tar in WebDataset's naming; each member carries its image's id."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for image in images:
            extension = image_extension(image.data[:16]) or "bin"
            info = tarfile.TarInfo(safe_file_name(image.image_id, extension))
            info.size = len(image.data)
            info.pax_headers = {"comment": ID_COMMENT + image.image_id}
            tar.addfile(info, io.BytesIO(image.data))
    return sink.getvalue()


def _quarantine(rejected: list[UnreadableImage]) -> pa.Table:
    rows = [
        schema.quarantine_row(item.image_id, item.uri, item.reason, item.message)
        for item in rejected
    ]
    return pa.Table.from_pylist(rows, schema=schema.QUARANTINE)
