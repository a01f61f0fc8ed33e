"""Stand-ins for what is not measured: an engine of a given rate, pictures that are nothing."""

import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.exec.settings import LimitSettings
from iem_batch.exec.step import ShardOutput, Work
from iem_batch.iem.result import IEMResult
from iem_batch.images.png import encode_mask
from iem_batch.run import layout, schema
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Mark
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.segment.step import SegmentStep


@dataclass(kw_only=True)
class Counter:
    """Counts images that are done; see `iem_batch.exec.step.Progress`."""

    ok: int = 0

    def done(self, mark: Mark) -> None:
        """Count one finished shard."""
        self.ok += mark.ok

    def failed(self, shard: int) -> None:
        """Give up: a benchmark has no shards that fail."""
        raise RuntimeError(f"shard {shard} failed")


def work_of(step: ImageStep) -> Work:
    """Make the work of a step, with the limits that are the default."""
    return Work(step=step, settings_digest="", limits=LimitSettings())


class InstantEngine(SegmentStep):
    """Decodes and writes as the real step does; its masks are the first masks."""

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Give a function that takes no time."""

        def segment(
            image_BHW3: np.ndarray, first_mask_BSHW: np.ndarray, settings: Any, *, num_threads: int
        ) -> IEMResult:
            shape = first_mask_BSHW.shape[:2]
            return IEMResult(
                mask_BSHW=first_mask_BSHW,
                error_foreground_BS=np.ones(shape),
                error_background_BS=np.ones(shape),
                iterations_BS=np.ones(shape, np.int32),
                status_BS=np.zeros(shape, np.uint8),
            )

        first = np.zeros((1, self.decode.size_px, self.decode.size_px), np.bool_)
        first[0, 1:3, 1:3] = True
        return lambda loaded: self._compute(segment, first, 1, loaded)


@dataclass(frozen=True, kw_only=True)
class PretendStep(ImageStep):
    """Reads the plan, waits as long as decoding and a GPU would take, and commits real tables."""

    load_rate: float
    """Images a CPU decodes in a second."""
    engine_rate: float
    """Images a GPU does in a second."""

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> tuple[int, list[str]]:
        """Wait as long as decoding would take."""
        ids = self.image_ids(shard)
        time.sleep(len(ids) / self.load_rate)
        return shard, ids

    def open_engine(self, num_threads: int) -> Callable[[tuple[int, list[str]]], ShardOutput]:
        """Give a function that waits as long as a GPU would take."""
        mask = encode_mask(np.eye(128, dtype=np.bool_))

        def compute(loaded: tuple[int, list[str]]) -> ShardOutput:
            shard, ids = loaded
            time.sleep(len(ids) / self.engine_rate)
            ones = np.ones(len(ids))
            columns = {
                "image_id": ids,
                "uri": ids,
                "width": ones,
                "height": ones,
                "mask": schema.image_column([mask] * len(ids)),
                **{name: ones for name in ("error", "error_foreground", "error_background")},
                "area": ones,
                "init_side": ones,
                "agreement": ones,
                "iterations": ones,
                "status": ["ok"] * len(ids),
            }
            table = pa.table(columns, schema=schema.MASKS)
            return ShardOutput(
                shard=shard,
                tables={layout.part(self.name, shard): table},
                planned=len(ids),
                ok=len(ids),
                quarantined=0,
            )

        return compute


@dataclass(frozen=True, kw_only=True)
class EmptyStep(PretendStep):
    """Shards without images: what is left is the way of a shard through the program."""

    load_rate: float = 1.0
    engine_rate: float = 1.0

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> tuple[int, list[str]]:
        """Load nothing."""
        return shard, []


def write_parquet(folder: Path, num_images: int, picture: bytes, rows_per_file: int) -> None:
    """Write a collection of one picture under many names, in row groups of 1,000."""
    folder.mkdir(parents=True)
    for start in range(0, num_images, rows_per_file):
        rows = range(start, min(start + rows_per_file, num_images))
        columns = {"image_id": [f"{row:08d}" for row in rows], "image": [picture] * len(rows)}
        pq.write_table(pa.table(columns), folder / f"{start:08d}.parquet", row_group_size=1000)
