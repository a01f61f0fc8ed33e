"""Which masks of a run may become labels: the fused ones, or those of the round before."""

from dataclasses import dataclass

from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_record


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


def selected_labels(job: Job) -> Labels:
    """Give the masks that the selection of the job's round was made among.

    By its own record: with other settings a corpus would take masks that were never ranked.
    """
    labels, record = labels_of(job), read_record(job.place, "topk")
    if job.round == 1 or record is None:
        return labels
    return Labels(place=labels.place, step=record.settings["topk"]["masks"])
