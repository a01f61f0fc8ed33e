"""The commands that do all steps: run, demo."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from iem_batch.errors import SettingsError
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marker import adopt, kind_of, require_empty
from iem_batch.steps.do import do
from iem_batch.steps.report.accounts import rejections
from iem_batch.steps.report.conclusion import conclusion, next_steps
from iem_batch.steps.report.step import PAGE
from iem_batch.tools.plan import ensure_plan


def run(job: Job, source: str, extend: bool = False, as_planned: bool = False) -> None:
    """Do all steps, from images to report, and print the time each took and what came out."""
    ensure_plan(job, source, "run", extend=extend, as_planned=as_planned)
    steps: dict[str, Callable[[], None]] = {
        "segment": lambda: do(job, "segment"),
        "fuse": lambda: do(job, "fuse"),
    }
    for number in range(1, job.round + 1):
        steps |= _round(job.in_round(number), is_last=number == job.round)
    if job.settings.evaluate.truth is not None:
        steps["evaluate"] = lambda: do(job, "evaluate")
    steps["report"] = lambda: do(job, "report")
    seconds = {}
    for name, step in steps.items():
        started = time.monotonic()
        step()
        seconds[name] = time.monotonic() - started
    print("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    rejected = rejections(job.run)
    steps_left = (f"look at {job.run.url_of(PAGE)}", *next_steps(job, rejected))
    print("", *conclusion(job, rejected), *(f"next: {step}" for step in steps_left), sep="\n")


def _round(job: Job, *, is_last: bool) -> dict[str, Callable[[], None]]:
    """List the steps of a round; SegNet's own corpus comes before one for other tools."""
    export = job.settings.export
    training = replace(job, settings=replace(job.settings, export=export.for_training))
    names = ["topk", "export", "train", "predict"]
    if is_last or job.settings.topk.masks == "refine":
        names.append("refine")
    steps: dict[str, Callable[[], None]] = {}
    for name in names:
        at = training if name == "export" else job
        steps[title(job.run, job.place, name)] = lambda at=at, name=name: do(at, name)  # type: ignore[misc]
    if is_last and export != export.for_training:
        steps["export elsewhere"] = lambda: do(job, "export")
    return steps


def demo(job: Job) -> None:
    """Make pictures whose masks are known, and do all steps on them, in folders side by side."""
    from iem_batch.tools.demo import make_composites

    if not job.run.is_local:
        raise SettingsError(f"the demo writes its pictures to a local folder, not to {job.run.url}")
    inner = RunFolder(f"{job.run.url}/run")
    if kind_of(inner) is None:
        require_empty(job.run)
        adopt(inner, "run")  # first: what is in the folder from now on is the demo's
    made = make_composites(Path(job.run.url), job.settings.demo)
    print(
        f"demo: {made.num_composites:,} composites with ground truth, {made.num_photographs} "
        f"photographs and {made.num_broken} broken files -> {made.photos}"
    )
    evaluate = replace(job.settings.evaluate, truth=str(made.truth))
    settings = replace(job.settings, evaluate=evaluate)
    run(replace(job, run=inner, settings=settings), str(made.photos))
