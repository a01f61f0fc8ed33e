"""What steps say when they are done."""

from typing import Any

from iem_batch.exec.step import ShardStep
from iem_batch.job import Job
from iem_batch.run.folder import title
from iem_batch.run.marks import Summary, read_summary
from iem_batch.words import count


def engine_notes(job: Job) -> list[str]:
    """Say whose masks they are where tables and pictures say IEM; nothing if they are IEM's."""
    engine = job.settings.segment.engine
    return [] if engine is None else [f"What is called IEM here are the masks of {engine}."]


def say_rows(job: Job, built: ShardStep[Any], summary: Summary) -> None:
    """Say how many rows there are, and how many images that had a mask are gone."""
    name = title(job.run, built.place, built.name)
    print(f"{name}: {count(summary.ok, 'row')} -> {built.place.url_of(built.name)}")
    masks = read_summary(job.run, "segment")
    lost = summary.quarantined - (masks.quarantined if masks else 0)
    if lost > 0:
        print(f"{name}: {count(lost, 'image')} had a mask but can no longer be read")
