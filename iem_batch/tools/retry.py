"""The command `retry`: what failed, and on request images that may be usable after all."""

from collections import Counter
from functools import partial

from iem_batch.errors import RunMismatchError, StorageError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.deletion import delete_own, reopen
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.marks import read_failures, read_mark, read_summary
from iem_batch.run.plan import read_plan
from iem_batch.steps.do import do, drop, made_of
from iem_batch.steps.places import StartedStep, done_shards, started_steps
from iem_batch.steps.quarantine import HEALABLE, quarantine_part, quarantined_shards
from iem_batch.storage.read_ahead import LARGE_REQUESTS, map_ahead
from iem_batch.tools.shard_check import check_shard, check_whole
from iem_batch.words import count


def retry(job: Job, quarantined: bool, damaged: bool = False) -> None:
    """Do again what failed, or on request what was put into the quarantine, or is damaged.

    Raises:
        RunMismatchError: later steps were made of the masks that are to be made again.
    """
    read_plan(job.run)
    if damaged:
        _mend(job)
        return
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
    """Mark shards of segment as not done, and what is known to kill as harmless."""
    later = list(made_of(job, "segment"))
    kept = [title(job.run, place, step.name) for place, step in later if not step.is_made_anew]
    if kept and not job.overwrite:
        raise RunMismatchError(
            f"{', '.join(reversed(kept))} of {job.run.url} were made of the masks as they are; "
            "give --overwrite to drop them and do the shards again"
        )
    for place, step in later:
        drop(job, step.name, place)
    delete_own(job.run, *(layout.killers(shard) for shard in shards))
    reopen(job.run, "segment", shards)


def _mend(job: Job) -> None:
    """Make anew what is not what was written; mostly its bytes are the same again."""
    job.require_alone()
    num_steps = 0
    for started in started_steps(job):
        place, name = started.place, started.step.name
        damaged = _damaged_shards(started)
        summary = read_summary(place, name)
        if not damaged and (summary is None or not check_whole(place, summary).is_damaged):
            continue
        num_steps += 1
        print(f"retry: {started.title} is damaged, in {count(len(damaged), 'shard')}")
        before = {shard: _checksums(started, shard) for shard in damaged}
        reopen(place, name, damaged)
        do(started.job, name)
        others = [
            shard for shard in damaged if before[shard] not in (None, _checksums(started, shard))
        ]
        if others:
            print(
                f"retry: {count(len(others), 'shard')} of {started.title}, the first is "
                f"{others[0]}, has other bytes than before; what was made of them stays"
            )
    if not num_steps:
        print("retry: nothing is damaged")


def _damaged_shards(started: StartedStep) -> list[int]:
    """Read all that the shards of a step have written, and give those that have lost some of it."""
    done = done_shards(started.place, started.step.name)
    is_damaged = map_ahead(partial(_is_damaged, started), done, num_threads=LARGE_REQUESTS)
    return [shard for shard, bad in zip(done, is_damaged, strict=True) if bad]


def _is_damaged(started: StartedStep, shard: int) -> bool:
    # A store that fails now raises here, else all its shards would look damaged.
    started.place.read_bytes(layout.mark(started.step.name, shard))
    return check_shard(started, None, shard).is_damaged


def _checksums(started: StartedStep, shard: int) -> dict[str, str] | None:
    """Read the checksums of a shard's files; None where its mark is damaged."""
    try:
        return read_mark(started.place, started.step.name, shard).files
    except StorageError:
        return None
