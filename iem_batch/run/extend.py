"""What has changed in a source since a run was planned, and planning what is new.

New images become new shards with new numbers: the entries of finished shards stay as they are. The
manifest is written first and `plan.json` last, so that a crash leaves the old plan or the new one.
"""

from dataclasses import asdict, replace

import pyarrow as pa

from iem_batch.errors import RunMismatchError
from iem_batch.run import layout
from iem_batch.run.comparison import GONE_TABLE, Comparison, SourceChange
from iem_batch.run.folder import RunFolder
from iem_batch.run.manifest import append_manifest
from iem_batch.run.plan import Plan, cut_into_shards, read_plan
from iem_batch.run.schema import GONE
from iem_batch.sources import Source
from iem_batch.sources.protocol import without_format
from iem_batch.words import count


def find_change(run: RunFolder, source: Source) -> SourceChange | None:
    """Compare a source with the plan of a run; None where nothing has changed.

    What the names and sizes of archives and tables tell is not looked into. A run of a sample or of
    the first images is not compared.

    Raises:
        SourceError: the source cannot be listed, or has nothing of what was planned.
    """
    plan = read_plan(run)
    if _is_partial(plan):
        return None
    fingerprint = source.fingerprint()
    if fingerprint is not None and fingerprint == plan.fingerprint:
        return None
    comparison = Comparison(run, plan, source)
    for _ in comparison.new_entries():
        pass
    return comparison.change or None


def extend_plan(run: RunFolder, source: Source) -> tuple[Plan, SourceChange | None]:
    """Plan the images that a source has now and a run has not.

    Doing it twice is doing it once. Images that are gone keep their rows; their pieces are listed
    in `_run/gone.parquet`.

    Returns:
        The plan, and what has changed; None where nothing has.

    Raises:
        RunMismatchError: images have changed, which new shards cannot make good, or the run is one
            of a sample; the plan stays as it is.
        SourceError: the source cannot be listed, or has nothing of what was planned.
        StorageError: the run folder cannot be written.
    """
    plan = read_plan(run)
    if _is_partial(plan):
        raise RunMismatchError(
            f"{run.url} was planned with plan.limit or plan.sample and cannot be extended; use a "
            "new run folder"
        )
    fingerprint = source.fingerprint()  # first: what is added meanwhile is found the next time
    if fingerprint is not None and fingerprint == plan.fingerprint:
        return plan, None
    comparison = Comparison(run, plan, source)
    change, extents = comparison.change, list(plan.extents)
    # Each extent is in the order of names; a plan.json without them does not know them.
    for entries in (comparison.new_entries, comparison.tail_entries):
        shards = cut_into_shards(entries(), plan.shard_size)
        extents.append(append_manifest(run, extents[-1], shards))
    if change.num_changed or change.num_repeated:
        raise RunMismatchError(_refusal(run, source, change))
    if not change and change.num_gone == plan.num_gone:
        return plan, None
    rows = [{"uri": e.uri, "start": e.start, "stop": e.stop} for e in comparison.gone]
    run.write_table(GONE_TABLE, pa.Table.from_pylist(rows, schema=GONE))
    extended = replace(
        plan,
        num_images=plan.num_images + change.num_new,
        is_exact=plan.is_exact and comparison.is_exact,
        num_repeats=plan.num_repeats + comparison.new_repeats,
        num_shards=extents[-1],
        num_bytes=plan.num_bytes + comparison.new_bytes,
        num_unreadable=plan.num_unreadable + comparison.new_unreadable,
        num_gone=change.num_gone,
        extents=sorted(set(extents)),
        fingerprint=fingerprint,
    )
    run.write_json(layout.PLAN, asdict(extended))
    return extended, change or None


def _is_partial(plan: Plan) -> bool:
    return plan.limit is not None or plan.sample is not None


def _refusal(run: RunFolder, source: Source, change: SourceChange) -> str:
    place = without_format(source.url)
    if change.num_repeated:
        return (
            f"{place} has new pieces with the ids of {count(change.num_repeated, 'image')} of "
            f"{run.url} (of {', '.join(change.repeated_examples)}), which are done; give them "
            "other ids, or use a new run folder"
        )
    return (
        f"{place} has changed since {run.url} was planned: {change}. Images that have changed are "
        "not made again; put them back, or use a new run folder"
    )
