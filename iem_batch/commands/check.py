"""The commands that check a run and do again what failed: verify, retry."""

import json as json_format
from dataclasses import asdict

from iem_batch.commands.corpus import export
from iem_batch.commands.images import segment
from iem_batch.commands.network import predict, refine
from iem_batch.data.plan import read_plan
from iem_batch.data.sources import open_source
from iem_batch.errors import VerificationError
from iem_batch.job import Job


def verify(job: Job, json: bool, reread: bool) -> None:
    """Compare a run with its plan and its commit marks, byte by byte.

    Raises:
        VerificationError: something is not as it should be; what it is was printed.
    """
    from iem_batch.stages.upkeep.verify import verify

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
    from iem_batch.shards.journal import failures
    from iem_batch.stages.upkeep.retry import healable_shards, later_steps, reopen

    planned = read_plan(job.run)
    failed = {
        step for step in ("masks", "corpus", "predictions", "refined") if failures(job.run, step)
    }
    shards = healable_shards(job.run) if quarantined else {}
    if shards:
        num_images = sum(reasons.total() for reasons in shards.values())
        print(f"retry: {num_images:,} quarantined images in {len(shards):,} shards of masks")
        if job.overwrite and later_steps(job.run):
            job.drop("selection")
        reopen(job.run, sorted(shards))
        failed = {"masks"}
    if not failed:
        print("retry: nothing has failed" + (" that can be retried" if quarantined else ""))
    if "masks" in failed:
        segment(job, planned.source_url)
    for step, command in {"corpus": export, "predictions": predict, "refined": refine}.items():
        if step in failed:
            command(job)
