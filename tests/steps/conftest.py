from collections.abc import Callable
from pathlib import Path

import pytest
from iem_batch.exec.in_process import run_in_process

from iem_batch.iem.settings import IEMSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import read_plan, write_plan
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.segment.step import SegmentStep
from iem_batch.steps.settings import SegmentSettings

SIZE_PX = 32
"""Small enough for the tests to be quick; the blur is scaled with it."""

IEM = IEMSettings(sigma_px=2, kernel_px=5, iterations=8)


def make_segment_step(
    run: RunFolder, source_url: str, sides: tuple[int, ...] = (12, 20)
) -> SegmentStep:
    return SegmentStep(
        run=run,
        source_url=source_url,
        decode=DecodeSettings(size_px=SIZE_PX),
        iem=IEM,
        segment=SegmentSettings(init_sides=sides, backend="torch"),
    )


@pytest.fixture
def segmented(tmp_path: Path, picture_folder: Path) -> Callable[..., SegmentStep]:
    """Plans and segments the twelve pictures in shards of a given size; returns the step."""

    def segment(shard_size: int = 5, name: str = "run", folder: Path | None = None) -> SegmentStep:
        run = RunFolder(str(tmp_path / name))
        source = open_source(str(folder or picture_folder))
        write_plan(run, source, PlanSettings(shard_size=shard_size))
        step = make_segment_step(run, source.url)
        run_in_process(step, range(read_plan(run).num_shards), lambda mark: None)
        return step

    return segment
