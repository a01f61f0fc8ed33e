"""The command convert: any source into shards."""

from iem_batch.commands.images import plan_lines
from iem_batch.errors import SettingsError
from iem_batch.job import Job
from iem_batch.progress import shard_progress
from iem_batch.run.plan import write_plan
from iem_batch.sources import open_source


def convert(job: Job, source: str, to: str) -> None:
    """Copy the images of a source into Parquet or tar shards, byte for byte."""
    import iem_batch
    from iem_batch.steps.convert.step import STEP, convert, part_name

    if to not in ("parquet", "tar"):
        raise SettingsError(f"convert cannot write {to}; use --to parquet or --to tar")
    out = job.run
    if job.overwrite:
        out.delete("_run")
        for name in out.names(""):
            if name.startswith("part-"):
                out.delete(name)
    opened = open_source(source)
    planned = write_plan(out, opened, job.settings.plan)
    for line in plan_lines(planned):
        print(f"convert: {line}")
    job.begin(STEP, {"version": iem_batch.__version__, "plan": planned.digest, "to": to})
    num_before = len(out.committed(STEP))
    with shard_progress(STEP, num_before, planned.num_shards) as progress:
        done = convert(out, planned.num_shards, opened, to, progress)  # type: ignore[arg-type]
    first = part_name(0, to)  # type: ignore[arg-type]
    print(f"convert: {done.ok:,} images -> {out.url_of(first)} ...")
    if done.quarantined:
        print(f"convert: {done.quarantined:,} could not be read -> {out.url_of('_run/quarantine')}")
