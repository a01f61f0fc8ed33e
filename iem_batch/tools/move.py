"""The command `plan --moved-to`: a run goes on with photos that lie elsewhere now."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from iem_batch.errors import RunMismatchError, SettingsError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.comparison import Comparison, SourceChange
from iem_batch.run.differences import changes
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import require_apart
from iem_batch.run.marks import committed, read_record
from iem_batch.run.plan import Plan, read_plan
from iem_batch.run.sampling import draw
from iem_batch.run.schema import VERSION
from iem_batch.run.versions import code_versions
from iem_batch.sources import Source, open_source
from iem_batch.sources.moved import MovedSource, place_of, places_before, without_was
from iem_batch.sources.protocol import without_format
from iem_batch.words import count

SAMPLE_SHARDS, SAMPLE_OF_SHARD = 8, 8
"""So many images are made again, of so many shards."""


def move(job: Job, source: str, to: str) -> None:
    """Check that the planned photos lie in another place now, and write that into the plan.

    Nothing else of the run changes; rows made later say where their photo lay when it was planned,
    as those before do.

    Args:
        job: at a planned run.
        source: where it was planned from, or has been moved to last; nothing need be there.
        to: where the photos are now.

    Raises:
        SettingsError: the run is of another source.
        SourceError: there is nothing that can be read.
        RunMismatchError: the photos there are others; the message names the first difference.
    """
    job.require_alone()
    plan = read_plan(job.run)
    if place_of(source) != place_of(plan.source_url):
        raise SettingsError(
            f"{job.run.url} reads {without_format(plan.source_url)}, not {source}; give that and, "
            "behind --moved-to, the place where it lies now"
        )
    require_apart(job.run, without_format(to))
    moved = _open(plan, to, job)
    change = _compare(job.run, plan, moved)
    num_checked = job.executor.call_beside_engine(partial(_make_again, job, plan, moved))
    job.run.write_json(layout.PLAN, asdict(replace(plan, source_url=moved.url)))
    checked = f", {count(num_checked, 'mask')} made again and compared" if num_checked else ""
    print(f"plan: {count(plan.num_images, 'image')} found in {without_format(to)}{checked}")
    if change.num_new:
        print(f"plan: {count(change.num_new, 'new image')} there; --extend adds them")


def _open(plan: Plan, to: str, job: Job) -> MovedSource:
    """Open the new place as the old one was."""
    how = without_was(plan.source_url).partition("#format=")[2]
    opened = open_source(f"{without_format(to)}#format={how}", job.settings.web)
    place, before = place_of(opened.url), places_before(plan.source_url)
    for other in before:
        if place != other and (
            f"{place}/".startswith(f"{other}/") or other.startswith(f"{place}/")
        ):
            raise RunMismatchError(
                f"{place} and {other}, where the photos of {job.run.url} lay, are inside one "
                "another, so their names could be confused; give a place beside it"
            )
    return MovedSource(opened, tuple(other for other in before if other != place))


def _compare(run: RunFolder, plan: Plan, moved: Source) -> SourceChange:
    """Compare names and sizes of all pieces with the plan."""
    comparison = Comparison(run, plan, moved)
    for _ in comparison.new_entries():
        pass
    change = comparison.change
    if change.num_changed or change.num_gone > change.num_gone_before:
        raise RunMismatchError(
            f"{without_format(moved.url)} is not what {run.url} was planned from: {change}"
        )
    return change


def _make_again(job: Job, plan: Plan, moved: Source) -> int:
    """Make masks of a sample by chance again and compare them; returns how many.

    Where the settings or versions are others than those of the masks, only the sizes of the photos
    are compared.

    Raises:
        RunMismatchError: a photo is another one.
    """
    from iem_batch.steps.segment.step import build

    record = read_record(job.run, "segment")
    if record is None:
        return 0
    step = build(job.with_engine())
    step = replace(step, plan=replace(plan, source_url=moved.url))
    settings = step.depends_on | {"schema": VERSION}
    is_same = not changes(record.settings, settings) and record.versions == code_versions()
    columns = ["image_id", "width", "height", *(["mask"] if is_same else [])]
    engine, num_checked = step.open_engine(1), 0
    for shard in sorted(committed(job.run, "segment"), key=_by_chance)[:SAMPLE_SHARDS]:
        name = layout.part("segment", shard)
        stored = job.run.read_table(name, columns)
        ids = sorted(set(stored["image_id"].to_pylist()), key=_by_chance)[:SAMPLE_OF_SHARD]
        stored = stored.filter(pc.is_in(stored["image_id"], pa.array(ids)))
        made: Any = engine(step.load(shard, frozenset(ids))).tables[name]
        table = made() if callable(made) else made
        _require_equal(stored.to_pylist(), table.select(columns).to_pylist(), moved)
        num_checked += len(stored) if is_same else 0
    return num_checked


def _by_chance(name: object) -> float:
    return draw(str(name))


def _require_equal(stored: list[dict[str, Any]], made: list[dict[str, Any]], moved: Source) -> None:
    if stored == made:
        return
    found = {str(row) for row in made}
    first = next(row["image_id"] for row in stored if str(row) not in found)
    raise RunMismatchError(
        f"{first} in {without_format(moved.url)} is not the photo that its mask was made of"
    )
