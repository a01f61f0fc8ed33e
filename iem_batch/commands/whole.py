"""The commands that do all steps: run, demo."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from iem_batch.commands.corpus import export_for_training, export_labels, topk
from iem_batch.commands.images import segment
from iem_batch.commands.look import evaluate, report
from iem_batch.commands.network import predict, refine, train
from iem_batch.commands.rounds import enter_round
from iem_batch.errors import SettingsError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.steps.topk.labels import round_of


def demo(job: Job) -> None:
    """Make pictures whose masks are known, and do all steps on them."""
    from iem_batch.tools.demo import make_composites

    if not job.run.is_local:
        raise SettingsError(f"the demo writes its pictures to a local folder, not to {job.run.url}")
    made = make_composites(Path(job.run.url) / "demo", job.settings.demo)
    print(
        f"demo: {made.num_composites:,} composites with ground truth, {made.num_photographs} "
        f"photographs and {made.num_broken} broken files -> {made.photos}"
    )
    run(job, str(made.photos), str(made.truth), None)


def run(job: Job, source: str, truth: str | None, ignore: str | None) -> None:
    """Do all steps, from images to report, and print the time each took.

    Of several rounds the last one is left in the usual places, the others in rounds/.
    """
    steps: dict[str, Callable[[], None]] = {"segment": lambda: segment(job, source)}
    if job.settings.select.rounds > 1:
        steps["keep"] = lambda: _keep_round(job)
    for number in range(1, job.settings.select.rounds):
        steps |= _earlier_round(job.in_round(number), number)
    steps |= {
        "topk": lambda: topk(job),
        "export": lambda: export_for_training(job),
        "train": lambda: train(job),
        "predict": lambda: predict(job),
        "refine": lambda: refine(job),
        "report": lambda: report(job),
    }
    if truth is not None:
        report_last = steps.pop("report")
        steps |= {"evaluate": lambda: evaluate(job, truth, ignore), "report": report_last}
    seconds = {}
    with job.ray():
        for name, step in steps.items():
            started = time.monotonic()
            step()
            seconds[name] = time.monotonic() - started
    print("seconds: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))


def _keep_round(job: Job) -> None:
    """Move the round that lies in the usual places, once it is complete and of these settings."""
    here = round_of(job.run)
    if here is not None and here < job.settings.select.rounds:
        is_kept = job.run.round(here).exists(layout.step_record("selection"))
        if not is_kept:  # else the move was cut off
            select = replace(job.settings.select, rounds=here)
            in_place = replace(job, settings=replace(job.settings, select=select))
            for step in _earlier_round(in_place, here).values():
                step()
    enter_round(job)


def _earlier_round(job: Job, number: int) -> dict[str, Callable[[], None]]:
    """List the steps of a round that another one follows."""
    steps: dict[str, Callable[[], None]] = {
        f"topk {number}": lambda: topk(job),
        f"export {number}": lambda: export_labels(job),
        f"train {number}": lambda: train(job),
        f"predict {number}": lambda: predict(job),
    }
    if job.settings.select.masks == "refined":
        steps[f"refine {number}"] = lambda: refine(job)
    return steps
