"""The step `convert`: the images of any source in shards, byte for byte.

OUT/
  part-00000.parquet  or  part-00000.tar     the images of a shard of the plan, with their ids
  _run/                                      the plan, commit marks and quarantine, as in a run

Nothing but `_run/` lies beside the shards, so that OUT is a source, a WebDataset or a Hugging Face
data set as it is.
"""

import io
import json
import tarfile
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.exec.step import ShardOutput
from iem_batch.images.first_bytes import image_extension
from iem_batch.job import Job
from iem_batch.run import layout, schema
from iem_batch.run.file_names import safe_stem
from iem_batch.run.load import read_entries, require_planned
from iem_batch.run.marks import Summary
from iem_batch.run.plan import shard_entries
from iem_batch.sources import RawImage, UnreadableImage
from iem_batch.sources.protocol import NO_COLUMNS
from iem_batch.sources.tar_members import ID_COMMENT
from iem_batch.steps.convert.settings import ConvertSettings
from iem_batch.steps.image_step import ImageStep
from iem_batch.words import count

ROWS_IN_A_GROUP = 64
"""Few, so that a reader of some images of a file reads not much more than these."""

BYTES_IN_A_GROUP = 32 << 20
"""A row group with as many has no further image."""

QUARANTINE = "_run/quarantine"


def build(job: Job) -> "ConvertStep":
    """Make the step of a job at OUT, which is planned."""
    return ConvertStep.of(job, job.run, convert=job.settings.convert)


def finish(job: Job, built: "ConvertStep", summary: Summary) -> None:
    """Say what came out."""
    print(f"convert: {count(summary.ok, 'image')} -> {job.run.url_of(built.part_name(0))} ...")
    if summary.quarantined:
        print(f"convert: {summary.quarantined:,} not readable -> {job.run.url_of(QUARANTINE)}")


@dataclass(frozen=True, kw_only=True)
class RawShard:
    """The images of a shard as they lie in the source."""

    shard: int
    images: list[RawImage]
    rejected: list[UnreadableImage]


@dataclass(frozen=True, kw_only=True)
class ConvertStep(ImageStep):
    """A shard of a source as one file; see `iem_batch.exec.step.ShardStep`."""

    convert: ConvertSettings
    name: str = "convert"
    carries_kept: ClassVar[bool] = True

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {"plan": self.plan.digest, "to": self.convert.to}

    def part_name(self, shard: int) -> str:
        """Name the file of a shard."""
        return f"part-{shard:05d}.{self.convert.to}"

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> RawShard:
        """Read the images of a shard.

        Raises:
            IntegrityError: the source gave another number of images than planned.
        """
        entries = shard_entries(self.run, shard)
        items = list(read_entries(self.open_source(), entries, wanted))
        if wanted is None:
            require_planned(shard, entries, len(items))
        return RawShard(
            shard=shard,
            images=[item for item in items if isinstance(item, RawImage)],
            rejected=[item for item in items if isinstance(item, UnreadableImage)],
        )

    def open_engine(self, num_threads: int) -> Callable[[RawShard], ShardOutput]:
        """Nothing to set up: images are only laid out."""
        return self._compute

    def _compute(self, raw: RawShard) -> ShardOutput:
        encode = parquet_bytes if self.convert.to == "parquet" else tar_bytes
        num_images = len(raw.images)
        return ShardOutput(
            shard=raw.shard,
            tables={
                self.part_name(raw.shard): encode(raw.images, self.kept),
                layout.part(QUARANTINE, raw.shard): _quarantine(raw.rejected),
            },
            planned=num_images + len(raw.rejected),
            ok=num_images,
            quarantined=len(raw.rejected),
        )


def parquet_bytes(images: list[RawImage], kept: pa.Schema = NO_COLUMNS) -> bytes:
    """Encode images as a Parquet file of schema IMAGES; nothing is compressed again.

    Args:
        images: is emptied, so that no image is in memory twice.
        kept: further columns, of `RawImage.kept`.
    """
    sink = io.BytesIO()
    with pq.ParquetWriter(
        sink,
        _table([], kept).schema,
        compression="none",
        use_dictionary=False,
        write_statistics=["image_id"],
    ) as writer:
        for group in _row_groups(images):
            writer.write_table(_table(group, kept))
    return sink.getvalue()


def _table(images: list[RawImage], kept: pa.Schema) -> pa.Table:
    columns = {
        "image_id": [image.image_id for image in images],
        "image": schema.image_column([image.data for image in images]),
    }
    table = pa.table(columns, schema=schema.IMAGES)
    return schema.add_kept(table, kept, [image.kept for image in images])


def _row_groups(images: list[RawImage]) -> Iterator[list[RawImage]]:
    """Take the images from their list, so many at a time."""
    images.reverse()
    while images:
        group = [images.pop()]
        num_bytes = len(group[0].data)
        while images and len(group) < ROWS_IN_A_GROUP and num_bytes < BYTES_IN_A_GROUP:
            group.append(images.pop())
            num_bytes += len(group[-1].data)
        yield group


def tar_bytes(images: list[RawImage], kept: pa.Schema = NO_COLUMNS) -> bytes:
    """Encode images as a tar in WebDataset's naming; each member carries its image's id.

    Args:
        images: is emptied, so that no image is in memory twice.
        kept: names of `RawImage.kept`, which KEY.json has.
    """
    sink = io.BytesIO()
    images.reverse()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.PAX_FORMAT) as tar:
        while images:
            image = images.pop()
            extension = image_extension(image.data[:16]) or "bin"
            # WebDataset takes a name up to its first dot for the key.
            key = safe_stem(image.image_id, ".")
            info = tarfile.TarInfo(f"{key}.{extension}")
            info.size = len(image.data)
            info.pax_headers = {"comment": ID_COMMENT + image.image_id}
            tar.addfile(info, io.BytesIO(image.data))
            if kept.names:
                about = dict(zip(kept.names, image.kept, strict=True))
                data = json.dumps(about, default=str).encode()
                info = tarfile.TarInfo(f"{key}.json")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return sink.getvalue()


def _quarantine(rejected: list[UnreadableImage]) -> pa.Table | None:
    rows = [
        schema.quarantine_row(item.image_id, item.uri, item.reason, item.message)
        for item in rejected
    ]
    return pa.Table.from_pylist(rows, schema=schema.QUARANTINE) if rows else None
