"""Keeping the round that lies in the usual places of a run, before the next one is begun."""

from iem_batch.data import run_folder
from iem_batch.data.read_ahead import LARGE_REQUESTS, map_ahead
from iem_batch.data.run_folder import ROUND_STEPS, RunFolder


def copy_round(run: RunFolder, number: int) -> None:
    """Copy all that is of the round in the usual places to rounds/NUMBER.

    Done again after it was cut off, it begins again. An unfinished training is not copied:
    its checkpoints know where they lie.
    """
    there = run.round(number)
    if not there.exists(run_folder.step_record("selection")):
        run.delete(f"rounds/{number}")  # part of an earlier copy, perhaps of what is gone

    def copy(name: str) -> None:
        there.write_bytes(name, run.read_bytes(name))

    for folder in (*ROUND_STEPS, *(f"_run/stats/{step}" for step in ROUND_STEPS)):
        names = [f"{folder}/{name}" for name in run.names(folder)]
        list(map_ahead(copy, names, num_threads=LARGE_REQUESTS))
    # The record of the selection comes last: by it a round is there.
    for name in (run_folder.CONFIG, *map(run_folder.step_record, reversed(ROUND_STEPS))):
        if run.exists(name):
            copy(name)


def drop_round(run: RunFolder) -> None:
    """Delete what `copy_round` has copied, and what was made of it.

    The selection goes last: as long as it is there, the round is taken for one to be kept.
    """
    for step in reversed(ROUND_STEPS):
        run.drop_step(step)
    run.delete(run_folder.TRAIN)
