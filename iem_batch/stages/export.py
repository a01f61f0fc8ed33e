"""The step `export`: the selected (image, mask) pairs as a corpus that other tools open."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

import iem_batch
from iem_batch.data import run_folder, schema
from iem_batch.data.killers import add_killers, guard, largest_images
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
    memory_bytes: int | None = None
    """Memory that decoding one image may take; None is no limit."""
    name: str = "corpus"

    def load(self, shard: int, chosen: Container[str] | None = None) -> SelectedPairs:
        """Read the images of one corpus file again from the source, and their masks."""
        rows = self._rows(shard)
        if chosen is not None:
            ids = rows["image_id"].to_pylist()
            rows = rows.filter(pa.array([key in chosen for key in ids], pa.bool_()))
        opened = open_source(self.source_url)
        images: list[LoadedShard] = []
        mask_png: dict[str, bytes] = {}
        for source_shard in rows["shard"].unique().to_pylist():
            selected = rows.filter(pc.equal(rows["shard"], source_shard))
            wanted = frozenset(selected["image_id"].to_pylist())
            source = guard(
                self.run, self.name, source_shard, opened, self.decode, self.memory_bytes
            )
            images.append(load_shard(self.run, source_shard, source, self.decode, wanted))
            mask_png |= self._masks(source_shard, selected)
        return SelectedPairs(part=shard, rows=rows, images=images, mask_png=mask_png)

    def image_ids(self, shard: int) -> list[str]:
        """List the images of a corpus file, in order."""
        ids: list[str] = self._rows(shard)["image_id"].to_pylist()
        return ids

    def largest_images(self, shard: int) -> str:
        """Name the largest images of the shards a corpus file comes from, with their sizes."""
        source = open_source(self.source_url)
        shards = self._rows(shard)["shard"].unique().to_pylist()
        return "; ".join(largest_images(self.run, number, source) for number in shards)

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        """Write down images of a corpus file that kill, image_id -> how."""
        rows = self._rows(shard)
        for image_id, source_shard in _tuples(rows, "image_id", "shard"):
            if image_id in killers:
                add_killers(self.run, self.name, source_shard, {image_id: killers[image_id]})

    def _rows(self, shard: int) -> pa.Table:
        rows = corpus_order(self.run.read_table(run_folder.TOPK))
        return rows.slice(shard * self.export.pairs_per_file, self.export.pairs_per_file)

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
