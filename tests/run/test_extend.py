"""Plans that grow with their source: what was planned stays, what is new comes behind."""

import itertools
import shutil
from pathlib import Path
from typing import Any

import pytest

from iem_batch.errors import RunMismatchError
from iem_batch.job import Job
from iem_batch.run import layout, manifest
from iem_batch.run.comparison import GONE_TABLE
from iem_batch.run.extend import extend_plan, find_change
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import Plan, read_plan, shard_entries, write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Entry, open_source
from iem_batch.tools.plan import ensure_plan, plan
from tests.growing import (
    IN_PIECES,
    KINDS,
    CutOffError,
    Growing,
    contents,
    killed_after,
    mixed,
    pictures,
)
from tests.run.test_plan import ListedSource
from tests.steps.jobs import job_at

PLAN = PlanSettings(shard_size=4)


@pytest.fixture(params=KINDS)
def collection(request: pytest.FixtureRequest, tmp_path: Path) -> Growing:
    """A collection of every kind, local or in a bucket."""
    is_remote = request.param.startswith("s3")
    root = request.getfixturevalue("s3_bucket") if is_remote else str(tmp_path)
    return Growing(request.param, root)


@pytest.fixture
def folder(tmp_path: Path) -> Growing:
    return Growing("folder", str(tmp_path))


def job_of(collection: Growing, **sections: Any) -> Job:
    run = RunFolder(f"{collection.root}/run")
    return job_at(run, **{"plan": PLAN} | sections)


def by_shard(run: RunFolder, plan: Plan) -> list[list[Entry]]:
    return [shard_entries(run, shard) for shard in range(plan.num_shards)]


def images(entries: list[Entry]) -> list[tuple[str, int]]:
    return [(entry.uri, index) for entry in entries for index in range(entry.start, entry.stop)]


def planned(run: RunFolder, plan: Plan) -> list[tuple[str, int]]:
    return [image for entries in by_shard(run, plan) for image in images(entries)]


def test_shards_stay_and_new_images_come_behind(collection: Growing) -> None:
    """Three times, of every kind of source; pieces grow and are added."""
    job = job_of(collection)
    first, *further = collection.stages
    before = ensure_plan(job, collection.write(pictures(first)), "run")
    for count in further:
        shards = by_shard(job.run, before)
        source = collection.write(pictures(count))
        with pytest.raises(RunMismatchError, match=f" {count - before.num_images} new images"):
            ensure_plan(job, source, "run")
        extended = ensure_plan(job, source, "run", extend=True)
        assert extended == read_plan(job.run)
        assert by_shard(job.run, extended)[: before.num_shards] == shards
        assert extended.num_shards > before.num_shards
        assert (extended.num_images, extended.digest) == (count, before.digest)
        sizes = [len(images(entries)) for entries in by_shard(job.run, extended)]
        assert sum(sizes) == count
        assert max(sizes) <= PLAN.shard_size
        before = extended
    every = planned(job.run, before)
    whole = RunFolder(f"{collection.root}/whole")
    anew = write_plan(whole, open_source(source), PLAN)
    assert set(every) == set(planned(whole, anew))
    assert len(set(every)) == len(every)
    if anew.is_exact_bytes:
        assert before.num_bytes == pytest.approx(anew.num_bytes, rel=0.1)


def test_a_source_as_it_was_is_no_change(collection: Growing) -> None:
    """Catches an extension that is planned twice, and writes that change nothing."""
    job = job_of(collection)
    first, second, *_ = collection.stages
    ensure_plan(job, collection.write(pictures(first)), "run")
    source = collection.write(pictures(second))
    extended = ensure_plan(job, source, "run", extend=True)
    before = contents(job.run)
    assert extend_plan(job.run, open_source(source)) == (extended, None)
    assert find_change(job.run, open_source(source)) is None
    assert ensure_plan(job, source, "run", extend=True) == extended
    assert ensure_plan(job, source, "run") == extended
    assert contents(job.run) == before


@pytest.mark.parametrize("collection", IN_PIECES, indirect=True)
def test_images_that_are_gone_stay_in_the_plan_and_are_noted(collection: Growing) -> None:
    job = job_of(collection)
    source = collection.write(pictures(collection.stages[1]))
    before = ensure_plan(job, source, "run")
    gone = collection.delete_first(source)
    shards = by_shard(job.run, before)
    with pytest.raises(RunMismatchError, match=f"{len(gone)} are gone"):
        ensure_plan(job, source, "run")
    extended = ensure_plan(job, source, "run", extend=True)
    assert (extended.num_gone, extended.num_images) == (len(gone), before.num_images)
    assert by_shard(job.run, extended) == shards
    assert job.run.read_table(GONE_TABLE).to_pylist() == [
        {"uri": entry.uri, "start": entry.start, "stop": entry.stop}
        for entry in sorted(itertools.chain(*shards), key=lambda entry: (entry.uri, entry.start))
        if entry.uri == min(uri for uri, _ in planned(job.run, before))
    ]
    assert find_change(job.run, open_source(source)) is None, "it is said once"
    assert ensure_plan(job, source, "run", extend=True) == extended


def test_an_image_that_is_back_is_not_gone(folder: Growing) -> None:
    """Catches one that is gone for good in the eyes of the plan, or that is planned twice."""
    job = job_of(folder)
    before = ensure_plan(job, source := folder.write(pictures(5)), "run")
    folder.delete_first(source)
    assert ensure_plan(job, source, "run", extend=True).num_gone == 1
    folder.write(pictures(5))
    assert ensure_plan(job, source, "run", extend=True) == before
    assert job.run.read_table(GONE_TABLE).num_rows == 0
    folder.delete_first(source)
    with pytest.raises(RunMismatchError, match="1 are gone"):
        ensure_plan(job, source, "run")


def test_a_run_planned_anew_does_not_know_what_was_gone_before(folder: Growing) -> None:
    job = job_of(folder)
    ensure_plan(job, source := folder.write(pictures(5)), "run")
    folder.delete_first(source)
    ensure_plan(job, source, "run", extend=True)
    folder.write(pictures(5))
    plan(job_at(job.run, plan=PLAN, overwrite=True), source)
    assert not job.run.exists(GONE_TABLE)
    folder.delete_first(source)
    with pytest.raises(RunMismatchError, match="1 are gone"):
        ensure_plan(job, source, "run")


def entries_of_many(count: int, gone: int = 0) -> ListedSource:
    """A source of single images, of which the first ones are gone and every second is new."""
    names = [f"{index:04d}" for index in range(gone, 2 * count, 2)]
    return ListedSource(*(Entry(uri=name, start=0, stop=1, num_bytes=7) for name in names))


@pytest.mark.parametrize("shards_per_file", [1, 2, 256])
def test_a_kill_between_two_writes_leaves_the_old_plan_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards_per_file: int
) -> None:
    """Catches shards that are taken from the source twice, or belong to no plan."""
    monkeypatch.setattr(manifest, "SHARDS_PER_FILE", shards_per_file)
    template = RunFolder(str(tmp_path / "template"))
    old = write_plan(template, entries_of_many(9), PlanSettings(shard_size=2))
    old_shards = by_shard(template, old)
    undisturbed = RunFolder(str(tmp_path / "undisturbed"))
    shutil.copytree(template.url, undisturbed.url)
    names = ["0001", *(f"{index:04d}" for index in range(2, 18)), *"abcde"]
    grown = ListedSource(*(Entry(uri=name, start=0, stop=1, num_bytes=7) for name in names))
    new, _ = extend_plan(undisturbed, grown)
    assert (new.num_images, new.num_gone, new.extents) == (9 + 9 + 5 - 0, 1, [5, 12])
    for count in itertools.count():
        run = RunFolder(str(tmp_path / f"run{count}"))
        shutil.copytree(template.url, run.url)
        try:
            with killed_after(count) as done:
                extend_plan(run, grown)
        except CutOffError:
            assert read_plan(run) == old
            assert by_shard(run, old) == old_shards
            found = find_change(run, grown)
            assert found is not None
            assert (found.num_new, found.num_gone, found.num_gone_before) == (14, 1, 0)
        else:
            assert done[-1] == layout.PLAN
            assert count == len(done)
            break
        assert extend_plan(run, grown)[0] == new
        assert contents(run).keys() == contents(undisturbed).keys()
        for name, (data, _) in contents(undisturbed).items():
            assert run.read_bytes(name) == data
    assert count >= 3


def test_a_kill_does_not_hide_that_images_are_gone(folder: Growing) -> None:
    """Catches a list of what is gone that is believed before the plan knows of it."""
    job = job_of(folder)
    ensure_plan(job, source := folder.write(pictures(5)), "run")
    folder.delete_first(source)
    with pytest.raises(CutOffError), killed_after(1) as done:
        ensure_plan(job, source, "run", extend=True)
    assert done == [GONE_TABLE]
    with pytest.raises(RunMismatchError, match="1 are gone"):
        ensure_plan(job, source, "run")
    assert ensure_plan(job, source, "run", extend=True).num_gone == 1


def test_an_estimate_makes_the_whole_plan_one(tmp_path: Path) -> None:
    """Catches a run that cannot be completed, because it has not just as many images."""
    run = RunFolder(str(tmp_path / "run"))
    counted = Entry(uri="a.tar", start=0, stop=3, num_bytes=9, offset=0, end=9)
    guessed = Entry(uri="b.tar", start=0, stop=4, num_bytes=9, count="estimated", offset=0, end=9)
    broken = Entry(uri="c.tar", start=0, stop=1, num_bytes=5, problem="it is no tar")
    assert write_plan(run, ListedSource(counted), PLAN).is_exact
    extended, change = extend_plan(run, ListedSource(counted, guessed, broken))
    assert str(change) == "5 new images (b.tar, c.tar)"
    assert not extended.is_exact
    assert (extended.num_images, extended.num_bytes, extended.num_unreadable) == (8, 23, 1)


def test_what_is_added_while_a_source_is_listed_is_found_the_next_time(tmp_path: Path) -> None:
    """Catches a fingerprint of more than was listed, by which the rest would stay unknown."""
    collection = Growing("tars", str(tmp_path))
    source = open_source(collection.write(pictures(3)))

    class Busy:
        """Gets another tar when it has been listed."""

        url, exact_bytes, fingerprint = source.url, True, staticmethod(source.fingerprint)

        def entries(self, max_images: int = 512) -> Any:
            yield from source.entries(max_images)
            collection.write(pictures(6))

    run = RunFolder(str(tmp_path / "run"))
    assert write_plan(run, Busy(), PLAN).num_images == 3  # type: ignore[arg-type]
    change = find_change(run, source)
    assert change is not None
    assert change.num_new == 3


@pytest.mark.parametrize("kind", ["folder", "tars", "parquet", "lmdb"])
def test_an_extension_takes_what_the_patterns_of_the_plan_take(tmp_path: Path, kind: str) -> None:
    collection = Growing(kind, str(tmp_path))
    settings = PlanSettings(shard_size=4, exclude="*[05].png")
    job = job_of(collection, plan=settings)
    first, *_, last = collection.stages
    ensure_plan(job, collection.write(pictures(first)), "run")
    source = collection.write(pictures(last))
    extended = ensure_plan(job, source, "run", extend=True)
    opened = open_source(extended.source_url)
    entries = [entry for entries in by_shard(job.run, extended) for entry in entries]
    ids = [item.image_id for entry in entries for item in opened.read(entry)]
    assert len(ids) == len(set(ids)) == extended.num_images
    made = mixed(pictures(last)) if kind == "folder" else pictures(last)
    kept = {name for name in made if not name.endswith(("0.png", "5.png"))}
    assert {name.rpartition("/")[2] for name in ids} == kept
    with pytest.raises(RunMismatchError, match=r"exclude: '\*\[05\].png' before, None now"):
        ensure_plan(job_of(collection), source, "run", extend=True)
