from collections.abc import Callable
from pathlib import Path

import pytest

from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.segment.step import SegmentStep
from tests.steps.jobs import job_at, make_segment_step


@pytest.fixture
def segmented(tmp_path: Path, picture_folder: Path) -> Callable[..., SegmentStep]:
    """Plans and segments the twelve pictures in shards of a given size; returns the step."""

    def segment(shard_size: int = 5, name: str = "run", folder: Path | None = None) -> SegmentStep:
        run = RunFolder(str(tmp_path / name))
        source = open_source(str(folder or picture_folder))
        write_plan(run, source, PlanSettings(shard_size=shard_size))
        do(job_at(run), "segment")
        return make_segment_step(run)

    return segment


@pytest.fixture
def fused(segmented: Callable[..., SegmentStep]) -> Callable[..., RunFolder]:
    """Plans and segments the twelve pictures, and fuses their masks; returns the run."""

    def fuse(*args: object, **keywords: object) -> RunFolder:
        run = segmented(*args, **keywords).run
        do(job_at(run), "fuse")
        return run

    return fuse
