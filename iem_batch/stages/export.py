"""The step `export`: the selected (image, mask) pairs as a corpus that other tools open."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import iem_batch
from iem_batch.data import run_folder, schema
from iem_batch.data.load import LoadedShard, load_shard
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.settings import DecodeSettings
from iem_batch.data.sources import open_source
from iem_batch.stages.settings import ExportSettings
from iem_batch.stages.shards import ShardOutput


@dataclass(frozen=True, kw_only=True)
class SelectedPairs:
    """The selected images of one corpus file, with the source shards they come from."""

    part: int
    rows: pa.Table
    """Schema SELECTION, in the order of the corpus."""
    images: list[LoadedShard]
    mask_png: dict[str, bytes]
    """image_id -> mask."""


@dataclass(frozen=True, kw_only=True)
class ExportStep:
    """One Parquet file of the corpus; see `iem_batch.stages.shards.ShardStep`.

    A "shard" of this step is a file of the corpus, not a shard of the plan.
    """

    run: RunFolder
    source_url: str
    decode: DecodeSettings
    export: ExportSettings
    name: str = "corpus"

    def load(self, shard: int) -> SelectedPairs:
        """Read the images of one corpus file again from the source, and their masks."""
        rows = corpus_order(self.run.read_table(run_folder.TOPK))
        rows = rows.slice(shard * self.export.pairs_per_file, self.export.pairs_per_file)
        source = open_source(self.source_url)
        images: list[LoadedShard] = []
        mask_png: dict[str, bytes] = {}
        for source_shard in rows["shard"].unique().to_pylist():
            selected = rows.filter(pc.equal(rows["shard"], source_shard))
            wanted = frozenset(selected["image_id"].to_pylist())
            images.append(load_shard(self.run, source_shard, source, self.decode, wanted))
            mask_png |= self._masks(source_shard, selected)
        return SelectedPairs(part=shard, rows=rows, images=images, mask_png=mask_png)

    def _masks(self, source_shard: int, selected: pa.Table) -> dict[str, bytes]:
        columns = ["image_id", "init_side", "mask"]
        table = self.run.read_table(run_folder.part("masks", source_shard), columns=columns)
        wanted = set(_tuples(selected, "image_id", "init_side"))
        return {
            image_id: mask["bytes"]
            for image_id, side, mask in _tuples(table, *columns)
            if (image_id, side) in wanted
        }

    def open_engine(self, num_threads: int) -> Callable[[SelectedPairs], ShardOutput]:
        """Nothing to set up: pairs are only encoded."""
        return self._compute

    def _compute(self, pairs: SelectedPairs) -> ShardOutput:
        pixels, uri = _by_id(pairs.images)
        rows = pairs.rows.filter(pc.is_in(pairs.rows["image_id"], pa.array(pixels, pa.string())))
        ids = rows["image_id"].to_pylist()
        columns = {
            "image_id": ids,
            "uri": [uri[image_id] for image_id in ids],
            "image": schema.image_column([schema.encode_pixels(pixels[key]) for key in ids]),
            "mask": schema.image_column([pairs.mask_png[key] for key in ids]),
            "error": rows["error"],
            "rank": rows["rank"],
        }
        rejected = [row for images in pairs.images for row in images.rejected]
        return ShardOutput(
            shard=pairs.part,
            tables={
                run_folder.part(self.name, pairs.part): pa.table(columns, schema=schema.CORPUS)
            },
            planned=len(pairs.rows),
            ok=len(rows),
            quarantined=len(pairs.rows) - len(rows),
            facts={"rejected": rejected},
        )


def corpus_order(selection: pa.Table) -> pa.Table:
    """Order the selection by shard, as the corpus has it, so that each piece is read once."""
    return selection.sort_by([("shard", "ascending"), ("rank", "ascending")])


def corpus_depends_on(step: ExportStep, selection: bytes) -> dict[str, Any]:
    """List what corpus/ depends on, for `RunFolder.begin_step`.

    Args:
        step: the step.
        selection: selection/topk.parquet, as stored.
    """
    return {
        "version": iem_batch.__version__,
        "schema": schema.VERSION,
        "decode": asdict(step.decode),
        "export": asdict(step.export),
        "selection": schema.checksum(selection),
    }


def num_corpus_files(num_selected: int, settings: ExportSettings) -> int:
    """Count the files of a corpus."""
    return -(-num_selected // settings.pairs_per_file)


def _tuples(table: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[column].to_pylist() for column in columns), strict=True)


def _by_id(shards: list[LoadedShard]) -> tuple[dict[str, NDArray[np.uint8]], dict[str, str]]:
    pixels: dict[str, NDArray[np.uint8]] = {}
    uri: dict[str, str] = {}
    for images in shards:
        pixels |= dict(zip(images.image_id, images.image_BHW3, strict=True))
        uri |= dict(zip(images.image_id, images.uri, strict=True))
    return pixels, uri
