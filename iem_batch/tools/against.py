"""Printing evaluated runs beside one another: `evaluate --against`."""

from collections.abc import Sequence

from rich.console import Console

from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.compare import compare, comparison_table


def print_comparison(job: Job, others: Sequence[str]) -> None:
    """Compare a run with others that were evaluated before.

    Raises:
        StepMissingError: a run has not been evaluated.
        RunMismatchError: a run was evaluated in another way, or shares no image with the others.
    """
    Console().print(comparison_table(compare(job.run, [RunFolder(url) for url in others])))
