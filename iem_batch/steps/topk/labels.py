"""Which masks of a run may become labels: IEM's, or those of the round before."""

from dataclasses import dataclass

from iem_batch.job import Job
from iem_batch.run.folder import RunFolder


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Masks of all images of a run."""

    place: RunFolder
    """The run, or one of its rounds."""
    step: str
    """segment, with one row for each image and first mask; predict or refine, with one for each
    image."""


def labels_of(job: Job) -> Labels:
    """Give the masks that the selection of the job's round is made among."""
    if job.round == 1:
        return Labels(place=job.run, step="segment")
    return Labels(place=job.place_of(job.round - 1), step=job.settings.topk.masks)
