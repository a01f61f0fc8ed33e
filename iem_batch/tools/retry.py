"""The command `retry`: what failed, and on request images that may be usable after all."""

from collections import Counter

from iem_batch.errors import RunMismatchError
from iem_batch.job import Job
from iem_batch.run.deletion import reopen
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.killers import ENGINE_REASON, REASON
from iem_batch.run.marks import read_failures
from iem_batch.run.plan import read_plan
from iem_batch.steps.do import do, drop, made_of
from iem_batch.steps.places import started_steps
from iem_batch.steps.quarantine import quarantine_part, quarantined_shards
from iem_batch.words import count

HEALABLE = frozenset(("missing", "unreadable", "unreachable", "busy", REASON, ENGINE_REASON))
"""Reasons that say something of the storage or the machine; all others stay what they are."""


def retry(job: Job, quarantined: bool) -> None:
    """Do again what failed, and on request what was put into the quarantine.

    Raises:
        RunMismatchError: later steps were made of the masks that are to be made again.
    """
    read_plan(job.run)
    shards = healable_shards(job.run) if quarantined else {}
    if shards:
        num_images = sum(reasons.total() for reasons in shards.values())
        print(f"retry: {count(num_images, 'quarantined image')} in {count(len(shards), 'shard')}")
        _reopen(job, sorted(shards))
        do(job, "segment")
        return
    failed = [
        started for started in started_steps(job) if read_failures(started.place, started.step.name)
    ]
    for started in failed:
        do(started.job, started.step.name)
    if not failed:
        print("retry: nothing has failed" + (" that can be retried" if quarantined else ""))


def healable_shards(run: RunFolder) -> dict[int, Counter[str]]:
    """Look through the quarantine.

    Returns:
        Shard of segment -> how many of its images have which reason of `HEALABLE`.
    """
    found = {}
    for shard in quarantined_shards(run):
        table = run.read_table(quarantine_part(shard), columns=["error_class"])
        reasons = Counter(
            reason for reason in table["error_class"].to_pylist() if reason in HEALABLE
        )
        if reasons:
            found[shard] = reasons
    return found


def _reopen(job: Job, shards: list[int]) -> None:
    """Mark shards of segment as not done."""
    later = list(made_of(job, "segment"))
    kept = [title(job.run, place, step.name) for place, step in later if not step.is_made_anew]
    if kept and not job.overwrite:
        raise RunMismatchError(
            f"{', '.join(reversed(kept))} of {job.run.url} were made of the masks as they are; "
            "give --overwrite to drop them and do the shards again"
        )
    for place, step in later:
        drop(job, step.name, place)
    reopen(job.run, "segment", shards)
