"""What the commit marks and quarantine/ of a run add up to: time by step, rejections by reason."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc

from iem_batch.data import run_folder
from iem_batch.data.read_ahead import map_ahead
from iem_batch.data.run_folder import RunFolder

STEPS = {
    "masks": "segment",
    "corpus": "export",
    "predictions": "predict",
    "refined": "refine",
    "upscaled": "upscale",
}
"""Folder of a step that goes over shards -> the command that fills it."""

MAX_EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """What the commit marks of a step say."""

    command: str
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


def step_times(run: RunFolder) -> Iterator[StepTime]:
    """Sum up the commit marks of every step that has any."""
    places = [
        (place, step)
        for place in (*run.earlier_rounds(), run)
        for step in STEPS
        if place.earlier_round is None or step in run_folder.ROUND_STEPS
    ]
    for place, step in sorted(places, key=lambda found: found[1] != "masks"):
        marks = place.marks(step, sorted(place.committed(step)))
        if marks:
            started = min(mark["finished"] - mark["seconds"] for mark in marks)
            number = place.earlier_round
            yield StepTime(
                command=STEPS[step] if number is None else f"{STEPS[step]}, round {number}",
                num_images=sum(mark["planned"] for mark in marks),
                num_shards=len(marks),
                worker_seconds=sum(mark["seconds"] for mark in marks),
                elapsed_seconds=max(mark["finished"] for mark in marks) - started,
            )


def rejections(run: RunFolder, marks: Iterable[dict[str, Any]]) -> list[Rejections]:
    """Count the rejected images by reason, the most frequent first, with a few examples."""
    by_reason: dict[str, Rejections] = {}
    names = [run_folder.part("quarantine", mark["shard"]) for mark in marks if mark["quarantined"]]
    for table in map_ahead(run.read_table, names):
        for item in table["error_class"].value_counts().to_pylist():
            reason = item["values"]
            found = by_reason.setdefault(reason, Rejections(reason=reason))
            found.num_images += item["counts"]
            missing = MAX_EXAMPLES - len(found.examples)
            rows = table.filter(pc.equal(table["error_class"], reason)).slice(0, missing)
            found.examples += rows.to_pylist()
    return sorted(by_reason.values(), key=lambda item: (-item.num_images, item.reason))
