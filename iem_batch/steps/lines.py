"""What steps say when they are done."""

from typing import Any

from iem_batch.exec.step import ShardStep
from iem_batch.job import Job
from iem_batch.run.folder import title
from iem_batch.run.marks import Summary, read_summary
from iem_batch.words import count


def engine_notes(job: Job) -> list[str]:
    """Say whose masks they are where tables and pictures say IEM; nothing if they are IEM's.

    And what a mask of a network took beside one of them, where there are both.
    """
    given = job.settings.segment.engine or job.settings.segment.masks
    if given is None:
        return []
    notes = [f"What is called IEM here are the masks of {given}."]
    theirs, network = read_summary(job.run, "segment"), read_summary(job.place, "predict")
    if theirs is not None and network is not None:
        its_s, networks_s = (each.seconds / max(each.planned, 1) for each in (theirs, network))
        notes.append(
            f"An image took a worker {its_s:.2g} s for one of these, {networks_s:.2g} s for "
            "SegNet's, reading it included."
        )
    return notes


def say_rows(job: Job, built: ShardStep[Any], summary: Summary) -> None:
    """Say how many rows there are, and how many images that had a mask are gone."""
    name = title(job.run, built.place, built.name)
    print(f"{name}: {count(summary.ok, 'row')} -> {built.place.url_of(built.name)}")
    masks = read_summary(job.run, "segment")
    lost = summary.quarantined - (masks.quarantined if masks else 0)
    if lost > 0:
        print(f"{name}: {count(lost, 'image')} had a mask but can no longer be read")
