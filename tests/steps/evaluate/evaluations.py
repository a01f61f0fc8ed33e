"""Evaluations of runs written by hand."""

from dataclasses import replace

from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.steps.do import do
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.evaluate.step import Evaluation, read_evaluation
from iem_batch.steps.evaluate.truth import Truth
from iem_batch.steps.topk.settings import InitChoice, TopkSettings
from tests.steps.jobs import job_at


def evaluate(
    run: RunFolder,
    truth: Truth,
    ignore: Truth | None,
    decode: DecodeSettings,
    init_choice: InitChoice,
    settings: EvaluateSettings | None = None,
) -> Evaluation:
    """Do the step on a run; gives what it has stored."""
    ignore_url = None if ignore is None else ignore.url
    settings = replace(settings or EvaluateSettings(), truth=truth.url, ignore=ignore_url)
    topk = TopkSettings(init_choice=init_choice)
    do(job_at(run, decode=decode, topk=topk, evaluate=settings), "evaluate")
    found = read_evaluation(run)
    assert found is not None
    return found
