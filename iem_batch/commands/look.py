"""The commands that look at a run or a machine: evaluate, report, status, doctor."""

from collections.abc import Sequence

from iem_batch.data import run_folder
from iem_batch.data.run_folder import RunFolder
from iem_batch.errors import SettingsError
from iem_batch.job import Job


def evaluate(job: Job, truth: str | None, ignore: str | None, against: Sequence[str] = ()) -> None:
    """Measure all masks against ground truth, and beside those of other runs."""
    from rich.console import Console

    from iem_batch.stages.compare import compare, comparison_table
    from iem_batch.stages.evaluate import evaluate
    from iem_batch.stages.evaluation_table import extremes, rich_tables
    from iem_batch.stages.truth import MaskFolder, open_truth

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
    print(*extremes(evaluation), sep="\n")
    if evaluation.num_in_truth is not None:
        print(
            f"evaluate: {evaluation.num_images:,} of {evaluation.num_in_truth:,} images with truth"
        )
    print(f"evaluate: -> {job.run.url}/{run_folder.EVALUATION}")
    if against:
        Console().print(comparison_table(compare(job.run, [RunFolder(url) for url in against])))


def report(job: Job) -> None:
    """Write one HTML page about the run."""
    from iem_batch.stages.report import write_report

    settings = job.settings
    write_report(
        job.run, settings.decode, settings.iem, settings.select.init_choice, settings.report
    )
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
