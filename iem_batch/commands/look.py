"""The commands that look at a run or a machine: evaluate, report, show, status, doctor."""

import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from iem_batch.errors import SettingsError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder

if TYPE_CHECKING:
    from PIL.Image import Image


def evaluate(job: Job, truth: str | None, ignore: str | None, against: Sequence[str] = ()) -> None:
    """Measure all masks against ground truth, and beside those of other runs."""
    from rich.console import Console

    from iem_batch.steps.evaluate.compare import compare, comparison_table
    from iem_batch.steps.evaluate.evaluate import evaluate
    from iem_batch.steps.evaluate.table import notes, rich_tables
    from iem_batch.steps.evaluate.truth import MaskFolder, open_truth

    if truth is None:
        raise SettingsError(
            "evaluate needs --truth, a folder of masks named like the images, COCO JSON, Parquet, "
            "or a data set that --evaluate.format names"
        )
    settings, decode = job.settings.evaluate, job.settings.decode
    evaluation = evaluate(
        job.run,
        open_truth(truth, settings, decode),
        MaskFolder(ignore, decode) if ignore is not None else None,
        decode,
        job.settings.select.init_choice,
        settings,
    )
    for table in rich_tables(evaluation):
        Console().print(table)
    print(*notes(evaluation), sep="\n")
    if evaluation.num_in_truth is not None:
        print(
            f"evaluate: {evaluation.num_images:,} of {evaluation.num_in_truth:,} images with truth"
        )
    print(f"evaluate: -> {job.run.url_of(layout.EVALUATION)}")
    if against:
        Console().print(comparison_table(compare(job.run, [RunFolder(url) for url in against])))


def report(job: Job) -> None:
    """Write one HTML page about the run."""
    from iem_batch.steps.report.page import write_report

    settings = job.settings
    write_report(
        job.run, settings.decode, settings.iem, settings.select.init_choice, settings.report
    )
    print(f"report: -> {job.run.url_of(layout.REPORT)}")


def show(job: Job, image: str, png: str | None) -> None:
    """Draw one image of a run, or a photo that is in no run, and show it on a terminal too."""
    picture = _of_run(job, image) or _of_file(job, image)
    if picture is None:
        raise SettingsError(f"{image} is neither an image of {job.run.url} nor a file")
    path = png or f"{PurePath(image).stem}.iem.png"
    picture.save(path)
    if sys.stdout.isatty() and os.get_terminal_size(sys.stdout.fileno()).columns:
        _show_on_terminal(picture)
    print(f"show: -> {path}")


def _show_on_terminal(picture: "Image") -> None:
    """Draw a picture by sixels, Kitty's graphics or coloured blocks, whatever the terminal can."""
    if find_spec("textual_image") is None:
        return
    from rich.console import Console
    from textual_image.renderable import Image as Renderable

    Console().print(Renderable(picture))


def _of_run(job: Job, image: str) -> "Image | None":
    from iem_batch.run.plan import read_plan
    from iem_batch.steps.evaluate.evaluate import read_evaluation
    from iem_batch.steps.report.page import open_sources
    from iem_batch.steps.report.show import draw_image

    if not job.run.exists(layout.PLAN):
        return None
    decode, iem = job.settings.decode, job.settings.iem
    plan, evaluation = read_plan(job.run), read_evaluation(job.run)
    sources, notes = open_sources(job.run, plan, decode, iem, evaluation)
    picture = draw_image(sources, image, job.settings.select.init_choice)
    for note in notes if picture else []:
        print(f"show: {note}")
    return picture


def _of_file(job: Job, image: str) -> "Image | None":
    from iem_batch.notebook import segment

    if not Path(image).is_file():
        return None
    settings = job.settings
    return segment(
        image,
        iem=settings.iem,
        decode=settings.decode,
        init_sides=settings.segment.init_sides,
        backend=settings.segment.backend,
    ).plot()


def status(job: Job, json: bool) -> None:
    """Print what is done and what is left."""
    from rich.console import Console

    from iem_batch.tools.status import run_status, status_json, status_notes, status_table

    steps = run_status(job.run, job.settings.export)
    if json:
        print(status_json(steps))
    else:
        Console().print(status_table(steps))
        for note in status_notes(steps):
            print(note)


def doctor(address: str | None, run: str | None, source: str | None) -> None:
    """Print what this machine or the cluster can run, and what to do where it cannot.

    Args:
        address: a cluster to examine; None takes the one a job was submitted to, if it was.
        run: a run folder to write to.
        source: images to read one of.

    Raises:
        SystemExit: something is wrong.
    """
    from iem_batch.exec.settings import ClusterSettings
    from iem_batch.tools.doctor import Finding, examine, finding_lines

    if address is None and "RAY_ADDRESS" not in os.environ:
        examinations = [examine(run, source)]
        common: list[Finding] = []
    else:
        from iem_batch.exec.ray.cluster import cluster
        from iem_batch.exec.ray.doctor import examine_nodes

        with cluster(ClusterSettings(address=address)):
            examinations, common = examine_nodes(run, source)
    for line in finding_lines(examinations, common):
        print(line)
    findings = [finding for each in examinations for finding in each.findings]
    if any(finding.level == "problem" for finding in (*findings, *common)):
        raise SystemExit(1)
