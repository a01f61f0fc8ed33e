"""Sources that have changed in ways that new shards cannot make good: refused, by name."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.errors import RunMismatchError
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import read_plan, shard_entries
from iem_batch.run.settings import PlanSettings
from iem_batch.storage.folder import Folder
from iem_batch.tools.plan import ensure_plan
from tests.growing import Growing, contents, pictures
from tests.run.test_extend import PLAN, job_of
from tests.steps.jobs import job_at


@pytest.fixture
def folder(tmp_path: Path) -> Growing:
    return Growing("folder", str(tmp_path))


def test_a_changed_image_is_refused_by_name(folder: Growing) -> None:
    job = job_of(folder)
    before = ensure_plan(job, source := folder.write(pictures(5)), "run")
    files = contents(job.run)
    Folder(source).write_bytes("000.png", pictures(1)["000.png"] + b"more")
    folder.write({"018.png": pictures(1)["000.png"]})
    for extend in (False, True):
        with pytest.raises(RunMismatchError) as caught:
            ensure_plan(job, source, "run", extend=extend)
        assert re.search(r"1 have changed \(\S+/000\.png\)", str(caught.value))
    assert "Images that have changed are not made again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert read_plan(job.run) == before
    shards = [name for name in files if not name.startswith("_run/manifest/")]
    assert {name: contents(job.run)[name] for name in shards} == {n: files[n] for n in shards}


@pytest.mark.parametrize("kind", ["tars", "one tar", "parquet", "lmdb"])
def test_a_piece_that_holds_other_images_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    """Catches new shards that begin in the middle of something else."""
    collection = Growing(kind, str(tmp_path))
    job = job_of(collection)
    before = ensure_plan(job, source := collection.write(pictures(6)), "run")
    others = {f"{index}{name}": data for index, (name, data) in enumerate(pictures(9).items())}
    others = dict(list(others.items())[1:])
    collection.write(others if kind == "lmdb" else {"x.png": b"x" * 99_000, **others})
    with pytest.raises(RunMismatchError, match=rf"have changed \({re.escape(str(tmp_path))}/\S+"):
        ensure_plan(job, source, "run", extend=True)
    assert read_plan(job.run) == before


def test_a_table_that_is_written_anew_with_more_rows_is_refused(tmp_path: Path) -> None:
    """Its planned rows could not be read any more, by their entries."""
    collection = Growing("parquet", str(tmp_path))
    job = job_of(collection)
    ensure_plan(job, source := collection.write(pictures(5)), "run")
    collection.write(pictures(6))
    with pytest.raises(RunMismatchError, match=r"1 have changed \(\S+/00001.parquet\)"):
        ensure_plan(job, source, "run", extend=True)


def write_ids(path: Path, *ids: str) -> None:
    data = pictures(1)["000.png"]
    pq.write_table(pa.table({"image": [data] * len(ids), "image_id": list(ids)}), path)


def test_ids_of_planned_images_that_come_again_before_them_are_refused_by_name(
    tmp_path: Path,
) -> None:
    """An image that comes later is a repeat, and goes to the quarantine."""
    (tmp_path / "parquet").mkdir()
    write_ids(tmp_path / "parquet/b.parquet", "one", "two")
    job = job_at(RunFolder(str(tmp_path / "run")), plan=PLAN)
    ensure_plan(job, source := str(tmp_path / "parquet"), "run")
    write_ids(tmp_path / "parquet/c.parquet", "two", "three")
    extended = ensure_plan(job, source, "run", extend=True)
    assert (extended.num_images, extended.num_repeats) == (4, 1)
    assert shard_entries(job.run, 1)[0].repeats == (0,)
    write_ids(tmp_path / "parquet/a.parquet", "one", "zero")
    with pytest.raises(RunMismatchError) as caught:
        ensure_plan(job, source, "run", extend=True)
    assert str(caught.value) == (
        f"{source} has new pieces with the ids of 1 image of {job.run.url} (of "
        f"{source}/b.parquet), which are done; give them other ids, or use a new run folder"
    )
    assert read_plan(job.run) == extended


@pytest.mark.parametrize("partial", [{"limit": 3}, {"sample": 0.5}, {"sample": 2.0}])
def test_a_run_of_some_images_cannot_be_extended(folder: Growing, partial: dict[str, Any]) -> None:
    job = job_of(folder, plan=PlanSettings(shard_size=4, **partial))
    before = ensure_plan(job, source := folder.write(pictures(9)), "run")
    files = contents(job.run)
    folder.write(pictures(12))
    with pytest.raises(RunMismatchError, match="limit or plan.sample and cannot be extended"):
        ensure_plan(job, source, "run", extend=True)
    assert ensure_plan(job, source, "run") == before
    assert contents(job.run) == files
