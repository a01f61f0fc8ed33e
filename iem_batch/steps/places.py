"""Every step that was started in a run, or in a folder that convert made, and where it lies."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.exports import read_exports
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marks import StepRecord, committed, read_record, read_summary
from iem_batch.run.plan import read_plan
from iem_batch.sources.protocol import without_format
from iem_batch.steps.registry import STEPS, Step, up_to


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


def wrong_order(job: Job, name: str, needed: str) -> str:
    """Say which steps a step waits for, and the commands that do them.

    Args:
        job: at the step.
        name: of the step.
        needed: the last step that it needs, which is not done.
    """
    of_round_before = needed not in up_to(name)[:-1]
    last = job.in_round(job.round - of_round_before)
    missing = list(_missing(last, needed))
    source = "SOURCE"
    if job.run.exists(layout.PLAN):
        source = without_format(read_plan(job.run).source_url)
    *others, end = [title(job.run, place, step.name) for place, step in missing]
    names = f"{', '.join(others)} and {end}" if others else end
    lacks = f"{name} needs {names} first, which {job.run.url} does not have"
    everything = f"iem-batch run {source} {job.run.url}"
    if last.round > 1:
        return f"{lacks}; run `{everything} --rounds {job.round}`, which does them all"
    _, first = missing[0]
    own = f"{source} {job.run.url}" if "source" in first.arguments else job.run.url
    one = f"`iem-batch {first.name} {own}`"
    return f"{lacks}; run " + (f"`{everything}`, which does them all, or {one}" if others else one)


def _missing(job: Job, needed: str) -> Iterator[tuple[RunFolder, Step]]:
    """List the steps up to one that are not done, in their order, with their places."""
    for number in range(1, job.round + 1):
        at = job.in_round(number)
        end = needed if number == job.round else job.settings.topk.masks
        for step in [STEPS[each] for each in up_to(end)]:
            place = at.place if step.per_round else at.run
            is_asked = (step.per_round or number == 1) and not step.is_optional
            if is_asked and read_summary(place, step.name) is None:
                yield place, step


def done_shards(place: RunFolder, step: str) -> list[int]:
    """List the shards of a step that are done, in order; of what it has no shard is no mark."""
    record = read_record(place, step)
    return sorted(committed(place, step) & set(range(0 if record is None else record.num_shards)))
