"""The first step: decide which images make which shard."""

from dataclasses import dataclass

from iem_batch.data import run_folder
from iem_batch.data.plan import write_plan
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.settings import PlanSettings
from iem_batch.data.sources import Source


@dataclass(frozen=True, kw_only=True)
class PlanSummary:
    """What planning found.

    Args:
        num_images: images in all shards, exact.
        num_shards: shards, numbered from 0.
        num_bytes: encoded size of all images.
        num_ignored: names in the source that were not understood as images.
        ignored_examples: the first of those.
        already_planned: the run had this very plan, nothing was written.
    """

    num_images: int
    num_shards: int
    num_bytes: int
    num_ignored: int
    ignored_examples: list[str]
    already_planned: bool


def plan(source: Source, run: RunFolder, settings: PlanSettings) -> PlanSummary:
    """Write the plan of a run, or check that it has just this one.

    Raises:
        SourceError: the source cannot be listed or holds no image.
        RunMismatchError: the run was planned from another source or with other settings.
        StorageError: the run folder cannot be written.
    """
    already_planned = run.exists(run_folder.PLAN)
    written = write_plan(run, source, settings)
    return PlanSummary(
        num_images=written.num_images,
        num_shards=written.num_shards,
        num_bytes=written.num_bytes,
        num_ignored=written.num_ignored,
        ignored_examples=written.ignored_examples,
        already_planned=already_planned,
    )
