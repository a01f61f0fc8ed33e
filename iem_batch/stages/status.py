"""What is done and what is left of a run, from its commit marks."""

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime

from rich.box import SIMPLE_HEAD
from rich.table import Table

from iem_batch.data import run_folder
from iem_batch.data.plan import read_plan
from iem_batch.data.run_folder import RunFolder
from iem_batch.stages.export import num_corpus_files
from iem_batch.stages.settings import ExportSettings


@dataclass(frozen=True, kw_only=True)
class StepStatus:
    """How far one step is."""

    step: str
    shards_done: int
    num_shards: int | None
    """None where it is not known before the steps it needs are done."""
    ok: int
    quarantined: int
    images_per_second: float | None
    """Over the time from the first to the last commit; None with fewer than two commits."""
    finished: float | None
    """When the last shard was committed, in seconds since 1970."""

    @property
    def state(self) -> str:
        """One of not started, partly done, done."""
        if self.shards_done == 0 and self.num_shards != 0:
            return "not started"
        return "done" if self.shards_done == self.num_shards else "partly done"


def run_status(run: RunFolder, export: ExportSettings) -> list[StepStatus]:
    """Look at every step that goes over shards.

    Args:
        run: a planned run.
        export: how the corpus is cut into files.

    Raises:
        StepMissingError: the run has not been planned.
    """
    num_shards = read_plan(run).num_shards
    num_files = None
    if run.exists(run_folder.TOPK):
        num_selected = len(run.read_table(run_folder.TOPK, columns=["rank"]))
        num_files = num_corpus_files(num_selected, export)
    steps = {"masks": num_shards, "corpus": num_files, "predictions": num_shards}
    steps["refined"] = num_shards
    return [_step_status(run, step, count) for step, count in steps.items()]


def _step_status(run: RunFolder, step: str, num_shards: int | None) -> StepStatus:
    marks = sorted(run.marks(step, sorted(run.committed(step))), key=lambda mark: mark["finished"])
    rate = None
    if len(marks) > 1 and marks[-1]["finished"] > marks[0]["finished"]:
        num_images = sum(mark["planned"] for mark in marks[1:])
        rate = num_images / (marks[-1]["finished"] - marks[0]["finished"])
    return StepStatus(
        step=step,
        shards_done=len(marks),
        num_shards=num_shards,
        ok=sum(mark["ok"] for mark in marks),
        quarantined=sum(mark["quarantined"] for mark in marks),
        images_per_second=rate,
        finished=marks[-1]["finished"] if marks else None,
    )


def status_table(steps: list[StepStatus]) -> Table:
    """Lay out the status for a terminal."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("step", "state"):
        table.add_column(heading, no_wrap=True)
    for heading in ("shards", "ok", "quarantined", "images/s", "last (UTC)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for step in steps:
        finished = (
            ""
            if step.finished is None
            else f"{datetime.fromtimestamp(step.finished, UTC):%m-%d %H:%M}"
        )
        table.add_row(
            step.step,
            step.state,
            f"{step.shards_done:,} / {'?' if step.num_shards is None else f'{step.num_shards:,}'}",
            f"{step.ok:,}",
            f"{step.quarantined:,}",
            "" if step.images_per_second is None else f"{step.images_per_second:,.0f}",
            finished,
        )
    return table


def status_json(steps: list[StepStatus]) -> str:
    """Write the status as a JSON list."""
    return json.dumps([asdict(step) | {"state": step.state} for step in steps], indent=1)
