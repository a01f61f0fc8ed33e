"""Runs whose photos have moved: they go on there, and only if the photos are the same."""

import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from iem_batch.cli import main
from iem_batch.errors import RunMismatchError, SettingsError, SourceError
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import read_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.storage.folder import Folder
from iem_batch.tools.plan import ensure_plan, plan
from iem_batch.tools.verify import check
from tests.growing import KINDS, Growing, contents, pictures, rows
from tests.steps.jobs import job_at

PLAN = PlanSettings(shard_size=4)
MOVED = tuple(kind for kind in KINDS if kind != "urls")
"""But for absolute paths, which are the ids of their images."""


def job_of(root: str, **sections: Any) -> Job:
    return job_at(RunFolder(f"{root}/run"), **{"plan": PLAN} | sections)


def make(job: Job) -> None:
    for step in ("segment", "fuse"):
        do(job, step)


def without_uri(found: dict[Any, dict[str, Any]]) -> dict[Any, dict[str, Any]]:
    return {key: {**row, "uri": None} for key, row in found.items()}


def delete(source: str) -> None:
    folder = Folder(source)
    if not folder.is_local:
        folder.delete(*folder.names(""))
    elif Path(source).is_dir():
        shutil.rmtree(source)
    else:
        Path(source).unlink()


@pytest.mark.parametrize("kind", MOVED)
def test_a_run_goes_on_where_its_photos_are_now(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    """Some shards done, some planned before the move and some behind it; moved twice."""
    root = request.getfixturevalue("s3_bucket") if kind.startswith("s3") else str(tmp_path)
    places = [Growing(kind, f"{root}/{name}") for name in ("a", "b", "deep/c")]
    first, second, third, _ = places[0].stages
    job = job_of(root)
    ensure_plan(job, source := places[0].write(pictures(first)), "run")
    make(job)
    ensure_plan(job, places[0].write(pictures(second)), "run", extend=True)
    before = {name: contents(job.run, name) for name in ("segment", "fuse", "_run/manifest")}
    for place in places[1:]:
        there = place.write(pictures(second))
        delete(source)
        plan(job, source, moved_to=there)
        source = there
    for folder, files in before.items():
        assert contents(job.run, folder) == files, "a move writes nothing but the plan"
    assert read_plan(job.run).num_images == ensure_plan(job, source, "run").num_images == second
    make(job)
    ensure_plan(job, places[2].write(pictures(third)), "run", extend=True)
    make(job)
    whole = job_at(RunFolder(f"{root}/whole"), plan=PLAN)
    ensure_plan(whole, source, "run")
    make(whole)
    for step in ("segment", "fuse"):
        assert without_uri(rows(job.run, step)) == without_uri(rows(whole.run, step))
        assert len({key[0] for key in rows(job.run, step)}) == third
    assert check(job, None).findings.lines() == []
    assert check(job, open_source(read_plan(job.run).source_url)).findings.lines() == []


def test_rows_made_behind_a_move_are_those_of_a_run_that_did_not_move(tmp_path: Path) -> None:
    """The same plan gives the same bytes, wherever the photos lie meanwhile."""
    here, there = Growing("folder", f"{tmp_path}/a"), Growing("folder", f"{tmp_path}/b")
    job, still = job_of(str(tmp_path)), job_of(f"{tmp_path}/still")
    source = here.write(pictures(9))
    for each in (job, still):
        ensure_plan(each, source, "run")
    do(still, "segment")
    there.write(pictures(9))
    delete(source)
    plan(job, source, moved_to=f"{tmp_path}/b/folder")
    do(job, "segment")
    for name in still.run.names("segment"):
        assert job.run.read_bytes(f"segment/{name}") == still.run.read_bytes(f"segment/{name}")


@pytest.fixture
def moved(tmp_path: Path) -> tuple[Job, str, Path]:
    """A run with masks, its source and a copy of that."""
    job = job_of(str(tmp_path))
    source = Growing("folder", str(tmp_path / "a")).write(pictures(6))
    ensure_plan(job, source, "run")
    do(job, "segment")
    return job, source, Path(shutil.copytree(source, tmp_path / "b"))


def test_other_photos_are_refused_by_name(moved: tuple[Job, str, Path]) -> None:
    job, source, there = moved
    before = contents(job.run)
    first, second, *_ = sorted(there.iterdir())
    data = first.read_bytes()
    first.unlink()
    with pytest.raises(RunMismatchError, match=rf"1 are gone \({first}\)$"):
        plan(job, source, moved_to=str(there))
    first.write_bytes(data + b"more")
    with pytest.raises(RunMismatchError, match=rf"1 have changed \({first}\)$"):
        plan(job, source, moved_to=str(there))
    other = pictures(30)
    size = len(second.read_bytes())
    replaced = next(each for each in reversed(other.values()) if len(each) <= size)
    first.write_bytes(data)
    second.write_bytes(replaced.ljust(size, b"\0"))
    with pytest.raises(RunMismatchError, match=rf"^{second.name} in {there} is not the photo"):
        plan(job, source, moved_to=str(there))
    assert contents(job.run) == before


def test_places_that_cannot_be_are_refused(moved: tuple[Job, str, Path], tmp_path: Path) -> None:
    job, source, there = moved
    before = contents(job.run)
    with pytest.raises(SettingsError, match=f"reads {source}, not {there}; give that"):
        plan(job, str(there), moved_to=source)
    with pytest.raises(SourceError, match="nowhere"):
        plan(job, source, moved_to=str(tmp_path / "nowhere"))
    inside = shutil.copytree(source, f"{source}/inside")
    with pytest.raises(RunMismatchError, match="are inside one another, so their names"):
        plan(job, source, moved_to=str(inside))
    with pytest.raises(RunMismatchError, match="lie inside one another"):
        plan(job, source, moved_to=job.run.url_of("photos"))
    assert contents(job.run) == before


def test_a_sample_moves_and_moves_back(tmp_path: Path) -> None:
    job = job_of(str(tmp_path), plan=PlanSettings(shard_size=4, sample=0.5))
    source = Growing("tars", str(tmp_path / "a")).write(pictures(16))
    before = ensure_plan(job, source, "run")
    there = shutil.copytree(source, tmp_path / "b")
    plan(job, source, moved_to=str(there))
    do(job, "segment")
    plan(job, str(there), moved_to=source)
    assert read_plan(job.run).source_url == f"{before.source_url}&was={there}"
    plan(job, source, moved_to=str(there))
    assert ensure_plan(job, str(there), "run") == read_plan(job.run)


def test_the_command_line_says_what_was_compared(
    moved: tuple[Job, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    job, source, there = moved
    (there / "z.png").write_bytes(pictures(1)["000.png"])
    job.store_settings()
    main(["plan", source, job.run.url, "--moved-to", str(there), "--local"])
    assert capsys.readouterr().out.splitlines() == [
        f"plan: 6 images found in {there}, 12 masks made again and compared",
        "plan: 1 new image there; --extend adds them",
    ]
    main(["plan", str(there), job.run.url, "--extend", "--local"])
    with job.run.open(layout.manifest_part(0)) as file:
        uris = pq.read_table(file)["uri"].to_pylist()
    assert [Path(uri).parent.name for uri in uris] == ["folder"] * 6 + ["b"]
