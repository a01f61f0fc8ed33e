"""Selecting in one round of a run, in this process."""

from dataclasses import replace
from typing import Any

from iem_batch.exec.step import commit
from iem_batch.run.folder import RunFolder
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.topk.step import Selection, build
from tests.steps.jobs import job_at


def topk(run: RunFolder, wanted: TopkSettings, number: int = 1, **others: Any) -> Selection:
    """Select whatever was selected before, and write the table.

    Args:
        run: the run, with the masks to select among.
        wanted: the settings.
        number: the round.
        others: fields of the job.
    """
    job = replace(job_at(run, topk=wanted), number=number, **others)
    built = build(job)
    output = built.compute()
    commit(built, output, 0.0)
    return Selection(**output.facts)
