"""The commands that check a run and do again what failed: verify, retry."""

import json as json_format
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial

from iem_batch.commands.corpus import export, export_labels
from iem_batch.commands.images import segment
from iem_batch.commands.network import predict, refine
from iem_batch.errors import VerificationError
from iem_batch.job import Job
from iem_batch.run.plan import read_plan
from iem_batch.sources import open_source


def verify(job: Job, json: bool, reread: bool) -> None:
    """Compare a run with its plan and its commit marks, byte by byte.

    Raises:
        VerificationError: something is not as it should be; what it is was printed.
    """
    from iem_batch.tools.verify import verify

    source = open_source(read_plan(job.run).source_url) if reread else None
    result = verify(job.run, job.settings.export, source)
    num_findings = sum(result.findings.counts.values())
    if json:
        print(json_format.dumps(asdict(result) | {"num_findings": num_findings}, indent=1))
    else:
        for line in result.findings.lines():
            print(line)
        print(
            f"verify: {result.num_files:,} files ({result.num_bytes / 1e6:,.1f} MB) read, "
            f"{result.num_images:,} images"
        )
    if num_findings:
        raise VerificationError(f"{job.run.url} has {num_findings:,} faults")


def retry(job: Job, quarantined: bool) -> None:
    """Do again what failed, and on request what was put into the quarantine."""
    from iem_batch.tools.retry import healable_shards, later_steps, reopen

    source_url = read_plan(job.run).source_url
    shards = healable_shards(job.run) if quarantined else {}
    if shards:
        num_images = sum(reasons.total() for reasons in shards.values())
        print(f"retry: {num_images:,} quarantined images in {len(shards):,} shards of masks")
        if job.overwrite and later_steps(job.run):
            job.first_round.drop("selection")
        reopen(job.run, sorted(shards))
        segment(job, source_url)
        return
    failed = list(_failed(job, source_url))
    for command in failed:
        command()
    if not failed:
        print("retry: nothing has failed" + (" that can be retried" if quarantined else ""))


def _failed(job: Job, source_url: str) -> Iterator[Callable[[], None]]:
    """List the commands whose last call left shards undone; `run` does what comes after them."""
    from iem_batch.exec.journal import failures

    if failures(job.run, "masks"):
        yield partial(segment, job, source_url)
    for each in (*job.earlier_rounds(), job):
        again = {"corpus": export, "predictions": predict, "refined": refine}
        if each is not job:
            again["corpus"] = export_labels
        for step, command in again.items():
            if failures(each.run, step):
                yield partial(command, each)
