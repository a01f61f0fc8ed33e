"""Every step that was started in a run, or in a folder that convert made, and where it lies."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from iem_batch.job import Job
from iem_batch.run.exports import read_exports
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marks import StepRecord, read_record
from iem_batch.steps.registry import STEPS, Step


@dataclass(frozen=True, kw_only=True)
class StartedStep:
    """A step of a run that has been started."""

    step: Step
    job: Job
    """The job that would resume it."""
    place: RunFolder
    """Where its output is."""
    record: StepRecord

    @property
    def title(self) -> str:
        """What it is called, for people."""
        return title(self.job.run, self.place, self.step.name)


def rounds(job: Job) -> Iterator[Job]:
    """Give the job of each round that a run has, in order; the first one always."""
    number = 1
    while number == 1 or job.place_of(number).names("_run/steps"):
        yield job.in_round(number)
        number += 1


def started_steps(job: Job) -> Iterator[StartedStep]:
    """Find all steps that have been started, in the order in which they are done."""
    steps = list(STEPS.values())
    of_rounds = list(rounds(job))
    places = [(each, job, job.run) for each in steps if not each.per_round]
    first = next(number for number, each in enumerate(steps) if each.per_round)
    places[first:first] = [
        (each, of_round, of_round.place)
        for of_round in of_rounds
        for each in steps
        if each.per_round
    ]
    for export in read_exports(job.run):
        settings = replace(job.settings, export=replace(job.settings.export, **export.settings))
        of_export = replace(job.in_round(export.round), settings=settings)
        places.append((STEPS["export"], of_export, RunFolder(export.url)))
    for step, at, place in places:
        record = read_record(place, step.name)
        if record is not None:
            yield StartedStep(step=step, job=at, place=place, record=record)
