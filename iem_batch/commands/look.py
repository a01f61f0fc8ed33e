"""The commands that look at a run or a machine: evaluate, report, status, doctor."""

from iem_batch.data import run_folder
from iem_batch.errors import SettingsError
from iem_batch.job import Job


def evaluate(job: Job, truth: str | None, ignore: str | None) -> None:
    """Measure all masks against ground truth."""
    from rich.console import Console

    from iem_batch.stages.evaluate import evaluate, rich_table
    from iem_batch.stages.truth import MaskFolder

    if truth is None:
        raise SettingsError("evaluate needs --truth DIR, a folder of masks named like the images")
    decode = job.settings.decode
    evaluation = evaluate(
        job.run,
        MaskFolder(truth, decode),
        MaskFolder(ignore, decode) if ignore is not None else None,
        job.settings.select.init_choice,
    )
    Console().print(rich_table(evaluation))
    print(f"evaluate: -> {job.run.url}/{run_folder.EVALUATION}")


def report(job: Job) -> None:
    """Write one HTML page about the run."""
    from iem_batch.stages.report import write_report

    settings = job.settings
    write_report(job.run, settings.decode, settings.select.init_choice, settings.report)
    print(f"report: -> {job.run.url}/{run_folder.REPORT}")


def status(job: Job, json: bool) -> None:
    """Print what is done and what is left."""
    from rich.console import Console

    from iem_batch.stages.status import run_status, status_json, status_table

    steps = run_status(job.run, job.settings.export)
    if json:
        print(status_json(steps))
    else:
        Console().print(status_table(steps))


def doctor() -> None:
    """Print what this machine can run, and why not."""
    from iem_batch.stages.doctor import examine

    for finding in examine():
        print(f"{'ok ' if finding.ok else 'no '} {finding.name}: {finding.detail}")
