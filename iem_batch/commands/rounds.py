"""Beginning another round: select, export, train and predict again."""

from iem_batch.errors import RunMismatchError, StepMissingError
from iem_batch.exec.step import outputs_digest
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.plan import read_plan
from iem_batch.run.rounds import copy_round, drop_round
from iem_batch.steps.topk.labels import round_of


def enter_round(job: Job) -> None:
    """Make the usual places those of the round that the settings ask for.

    What lies there of the round before is moved to rounds/NUMBER first. Cut off, it is gone on
    with by the next call.

    Args:
        job: at the run itself.

    Raises:
        RunMismatchError: the run is in a later round, or another command is at work on it.
    """
    run, wanted = job.run, job.settings.select.rounds
    num_earlier = len(run.earlier_rounds())
    if num_earlier >= wanted:
        if not job.overwrite:
            raise RunMismatchError(
                f"{run.url} is in round {num_earlier + 1}, and select.rounds is {wanted}; give "
                f"--select.rounds as many or more, or --overwrite to drop round {wanted} and all "
                "later ones"
            )
        job.in_round(wanted).drop("selection")
    here = round_of(run)
    if here is not None and here < wanted:
        job.require_alone()
        copy_round(run, here)
        drop_round(run)
        print(f"round {here} -> {run.url_of(f'rounds/{here}')}")


def require_round_before(job: Job) -> None:
    """Check that the masks that the settings select among are complete.

    Raises:
        StepMissingError: the round before has not been done.
        ShardsFailedError: it has been done in part.
    """
    number, step = job.settings.select.rounds - 1, job.settings.select.masks
    num_shards = read_plan(job.run).num_shards
    command = "predict" if step == "predictions" else "refine"
    kept = job.run.round(number)
    if round_of(job.run) != number and not kept.exists(layout.step_record("selection")):
        raise StepMissingError(
            f"{job.run.url} has no round {number}; `iem-batch topk --rounds {number}` begins it, "
            f"`iem-batch run --rounds {number + 1}` does all"
        )
    if len(kept.committed(step)) == num_shards:
        return
    place = job.run if round_of(job.run) == number else kept
    place.require(layout.step_record(step), command)
    outputs_digest(place, step, num_shards)
