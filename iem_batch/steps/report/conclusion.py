"""What a run came to, in a few lines of words: the end of the command `run`, and the page's top."""

import functools
from collections.abc import Iterator, Sequence

import pyarrow.compute as pc

from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_summary
from iem_batch.steps.evaluate.evaluation import read_evaluation
from iem_batch.steps.evaluate.table import verdict
from iem_batch.steps.places import done_shards
from iem_batch.steps.quarantine import HEALABLE
from iem_batch.steps.report.accounts import Rejections
from iem_batch.storage.read_ahead import map_ahead
from iem_batch.words import count


def conclusion(job: Job, rejected: Sequence[Rejections]) -> Iterator[str]:
    """Say how many masks a run has, how good they are, and what went wrong.

    Args:
        job: at a run; nothing is said of one whose images do not all have their mask yet.
        rejected: its images that could not be used.
    """
    run = job.run
    masks = read_summary(run, "fuse")
    if masks is None:
        return
    line = f"masks: {masks.ok:,} of {count(masks.planned, 'image')} have one"
    agreement = _mean_agreement(run, masks.outputs_digest)
    if agreement is not None:
        line += f"; those of an image from other first masks agree by {100 * agreement:.0f} % (IoU)"
    yield line
    trained = read_summary(job.place, "train")
    if trained is not None:
        yield f"network: {trained.facts['verdict']}"
    evaluation = read_evaluation(run)
    if evaluation is not None:
        yield f"truth: {verdict(evaluation)}"
    if rejected:
        number = count(sum(each.num_images for each in rejected), "image")
        reasons = ", ".join(f"{each.num_images:,} {each.reason}" for each in rejected)
        yield f"not usable: {number} ({reasons}), by name in {run.url_of(layout.QUARANTINE)}"


def next_steps(job: Job, rejected: Sequence[Rejections]) -> Iterator[str]:
    """Say what to do next with a run that has its masks; arguments as of `conclusion`."""
    url = job.run.url
    if any(each.reason in HEALABLE for each in rejected):
        yield f"`iem-batch retry {url} --quarantined` tries again what may be back"
    if read_evaluation(job.run) is None:
        yield f"with some true masks, `iem-batch evaluate {url} --truth MASKS`"
    if read_summary(job.place, "train") is not None:
        yield f"`iem-batch apply {url} PHOTOS OUT` makes masks of other photos"


@functools.lru_cache(maxsize=1)  # the command `run` says it at its end, after the page has
def _mean_agreement(run: RunFolder, digest: str) -> float | None:
    """Average the agreement of all images, in [0, 1]; None where each had one first mask.

    Args:
        run: the run, in which fuse is done.
        digest: of what fuse has written, by which what was read before is known again.
    """
    total, number = 0.0, 0
    names = [layout.part("fuse", shard) for shard in done_shards(run, "fuse")]
    for table in map_ahead(lambda name: run.read_table(name, ["agreement"]), names):
        number += len(table) - table["agreement"].null_count
        total += pc.sum(table["agreement"]).as_py() or 0.0
    return total / number if number else None
