"""Which images of the quarantine may be usable after all, and doing their shards again."""

from collections import Counter

from iem_batch.errors import RunMismatchError
from iem_batch.run import layout
from iem_batch.run.killers import REASON
from iem_batch.run.run_folder import ROUND_STEPS, RunFolder, step_record

HEALABLE = frozenset(("missing", "unreadable", "unreachable", REASON))
"""Reasons that say something of the storage or the machine; all others stay what they are."""


def healable_shards(run: RunFolder) -> dict[int, Counter[str]]:
    """Look through the quarantine.

    Returns:
        Shard of masks/ -> how many of its images have which reason of `HEALABLE`.
    """
    found = {}
    for name in run.names("quarantine"):
        shard = layout.shard_of(name)
        if shard is None:
            continue
        table = run.read_table(f"quarantine/{name}", columns=["error_class"])
        reasons = Counter(
            reason for reason in table["error_class"].to_pylist() if reason in HEALABLE
        )
        if reasons:
            found[shard] = reasons
    return found


def later_steps(run: RunFolder) -> list[str]:
    """List the steps after masks that have been begun, those of earlier rounds too."""
    return [
        place.title(step)
        for place in (*run.earlier_rounds(), run)
        for step in ROUND_STEPS
        if place.exists(step_record(step))
    ]


def reopen(run: RunFolder, shards: list[int]) -> None:
    """Take back that shards of masks/ are done; the next command does them again.

    Raises:
        RunMismatchError: later steps were made of these masks and are still there.
    """
    if made_of_them := later_steps(run):
        raise RunMismatchError(
            f"{', '.join(made_of_them)} of {run.url} were made of the masks as they are; give "
            "--overwrite to drop them and do the shards again"
        )
    run.delete(layout.SUCCESS)  # first: the run is not whole from here on
    for shard in shards:
        run.delete(layout.killers(shard))
        run.delete(layout.mark("masks", shard))
