"""What the summaries and quarantine/ of a run say: time by step, rejections by reason."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow.compute as pc

from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_summary
from iem_batch.steps.places import started_steps
from iem_batch.steps.quarantine import quarantine_part, quarantined_shards
from iem_batch.storage.read_ahead import map_ahead

MAX_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """What a step that has finished took."""

    title: str
    num_images: int
    num_shards: int
    worker_seconds: float
    """Sum over shards."""
    elapsed_seconds: float
    """From the start of the first shard to the end of the last, pauses included."""


@dataclass(kw_only=True)
class Rejections:
    """Images that could not be used for one reason."""

    reason: str
    num_images: int = 0
    examples: list[dict[str, str]] = field(default_factory=list)


def step_times(job: Job) -> Iterator[StepTime]:
    """Say what each step of a run that has finished took, but the page that says it."""
    for started in started_steps(job):
        summary = read_summary(started.place, started.step.name)
        if summary is not None and started.step.name != "report":
            yield StepTime(
                title=started.title,
                num_images=summary.planned,
                num_shards=summary.num_shards,
                worker_seconds=summary.seconds,
                elapsed_seconds=summary.finished - summary.began,
            )


def rejections(run: RunFolder) -> list[Rejections]:
    """Count the rejected images by reason, the most frequent first, with a few examples."""
    by_reason: dict[str, Rejections] = {}
    names = map(quarantine_part, quarantined_shards(run))
    for table in map_ahead(run.read_table, names):
        for item in table["error_class"].value_counts().to_pylist():
            reason = item["values"]
            found = by_reason.setdefault(reason, Rejections(reason=reason))
            found.num_images += item["counts"]
            missing = MAX_EXAMPLES - len(found.examples)
            rows = table.filter(pc.equal(table["error_class"], reason)).slice(0, missing)
            found.examples += rows.to_pylist()
    return sorted(by_reason.values(), key=lambda item: (-item.num_images, item.reason))
