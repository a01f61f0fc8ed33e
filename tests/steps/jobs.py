"""Steps done in this process, with settings small enough for the tests to be quick."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from iem_batch.config import Settings
from iem_batch.exec.local import LocalExecutor
from iem_batch.exec.settings import LimitSettings
from iem_batch.exec.step import ShardStep, Work
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.settings import DecodeSettings
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Mark
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.steps.segment import step as segment
from iem_batch.steps.segment.settings import SegmentSettings

SIZE_PX = 32
"""Side of the engine's square; the blur is scaled with it."""

IEM = IEMSettings(sigma_px=2, kernel_px=5, iterations=8)

SETTINGS = Settings(
    decode=DecodeSettings(size_px=SIZE_PX, fit="crop", resize="nearest"),
    iem=IEM,
    segment=SegmentSettings(init_shares=(12 / SIZE_PX, 20 / SIZE_PX), backend="torch"),
    segnet=SegNetSettings(width=4, num_blocks=1),
)


def job_at(
    run: RunFolder, *, overwrite: bool = False, against: Sequence[str] = (), **sections: Any
) -> Job:
    """Make a job with `SETTINGS`, of which some sections are others."""
    return Job(
        run=run,
        settings=replace(SETTINGS, **sections),
        executor=LocalExecutor(),
        overwrite=overwrite,
        against=against,
    )


def make_segment_step(run: RunFolder) -> segment.SegmentStep:
    """Make the step `segment` of a run that is planned."""
    return segment.build(job_at(run))


@dataclass
class Told:
    """A `Progress` that keeps what it is told."""

    marks: list[Mark] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)
    """Shards that failed."""

    def done(self, mark: Mark) -> None:
        self.marks.append(mark)

    def failed(self, shard: int) -> None:
        self.lost.append(shard)


def work_of(step: ShardStep[Any], **limits: Any) -> Work:
    """Make the work of a step that nobody has claimed."""
    return Work(step=step, settings_digest="", limits=LimitSettings(**limits))


def run_in_process(step: ShardStep[Any], shards: Iterable[int], **limits: Any) -> list[Mark]:
    """Do shards of a step; gives their marks in the order in which they were committed.

    Raises:
        ShardsFailedError: some failed.
    """
    told = Told()
    LocalExecutor().run(work_of(step, **limits), list(shards), told)
    return told.marks
