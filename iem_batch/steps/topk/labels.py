"""Which masks of a run may become labels: the fused ones, or those of the round before."""

from dataclasses import dataclass

from iem_batch.job import Job
from iem_batch.run.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Masks of all images of a run."""

    place: RunFolder
    """The run, or one of its rounds."""
    step: str
    """fuse, predict or refine."""


def labels_of(job: Job) -> Labels:
    """Give the masks that the selection of the job's round is made among."""
    if job.round == 1:
        return Labels(place=job.run, step="fuse")
    return Labels(place=job.place_of(job.round - 1), step=job.settings.topk.masks)
