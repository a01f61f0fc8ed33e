"""Which folders are adopted, and which are left alone."""

import re
from pathlib import Path

import pytest

import iem_batch
from iem_batch.config import Settings
from iem_batch.errors import RunMismatchError, SourceError
from iem_batch.exec.local import LocalExecutor
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import adopt, require_apart
from iem_batch.tools.plan import plan
from tests.pictures import textured_disc, write_folder

APART = "lie inside one another"


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_bucket")


def files(place: RunFolder) -> list[str]:
    return sorted(found.name for found in place.walk())


def test_an_absent_folder_is_adopted_and_known_again(root: str) -> None:
    place = RunFolder(f"{root}/run")
    adopt(place, "run")
    assert place.read_json(layout.MARKER) == {"kind": "run", "iem_batch": iem_batch.__version__}
    adopt(place, "run")
    place.write_bytes("segment/part-00000.parquet", b"1")
    place.write_bytes("notes.txt", b"of somebody else")
    adopt(place, "run")


def test_an_empty_folder_is_adopted(root: str, tmp_path: Path) -> None:
    """A bucket is one."""
    place = RunFolder(root)
    if place.is_local:
        place = RunFolder(str(tmp_path / "empty"))
        (tmp_path / "empty").mkdir()
    adopt(place, "corpus")
    assert files(place) == [layout.MARKER]


def test_a_folder_of_somebody_elses_files_is_refused_and_they_are_named(root: str) -> None:
    place = RunFolder(f"{root}/home")
    for name in ("b.jpg", "letters/a.txt"):
        place.write_bytes(name, b"1")
    message = "is not empty and was not made by iem-batch: it holds b.jpg, letters/a.txt; nothing"
    with pytest.raises(RunMismatchError, match=re.escape(f"{place.url} {message}")):
        adopt(place, "run")
    assert files(place) == ["b.jpg", "letters/a.txt"]
    for name in ("c", "d"):
        place.write_bytes(name, b"1")
    with pytest.raises(RunMismatchError, match=r"it holds b.jpg, c, d, \.\.\.; nothing"):
        adopt(place, "run")


def test_a_folder_of_empty_folders_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "run/photos of 2026").mkdir(parents=True)
    with pytest.raises(RunMismatchError, match="it holds a folder; nothing"):
        adopt(RunFolder(str(tmp_path / "run")), "run")


@pytest.mark.parametrize("cut_off", [False, True], ids=["a folder of ours", "a write cut off"])
def test_a_folder_in_which_a_marker_is_being_written_is_ours(tmp_path: Path, cut_off: bool) -> None:
    own = tmp_path / "run/_run"
    own.mkdir(parents=True)
    if cut_off:
        (own / ".run.json.01234567-99-01234567.tmp").write_bytes(b"{")
    adopt(RunFolder(str(tmp_path / "run")), "run")
    assert RunFolder(str(tmp_path / "run")).exists(layout.MARKER)


def test_a_folder_with_other_hidden_files_is_somebodys(tmp_path: Path) -> None:
    (tmp_path / "run/_run").mkdir(parents=True)
    (tmp_path / "run/_run/.plan.json.tmp").write_bytes(b"{")
    with pytest.raises(RunMismatchError, match="is not empty and was not made by iem-batch"):
        adopt(RunFolder(str(tmp_path / "run")), "run")


def test_a_folder_made_something_else_is_refused(root: str) -> None:
    """Catches a corpus whose files the next step of a run would drop."""
    place = RunFolder(f"{root}/corpus")
    adopt(place, "corpus")
    with pytest.raises(RunMismatchError, match="holds a corpus, not a run; give another folder"):
        adopt(place, "run")


@pytest.mark.parametrize(
    ("run", "source"),
    [("photos/run", "photos"), ("run", "run/photos"), ("same", "same"), ("same", "same/")],
    ids=["run inside", "source inside", "equal", "equal but for a slash"],
)
def test_a_run_and_its_source_may_not_lie_inside_one_another(
    root: str, run: str, source: str
) -> None:
    """Catches masks that are taken for photos, and photos that are dropped with a run."""
    with pytest.raises(RunMismatchError, match=APART):
        require_apart(RunFolder(f"{root}/{run}"), f"{root}/{source}")


@pytest.mark.parametrize(
    ("run", "source"), [("photos2", "photos"), ("run", "photos"), ("a/run", "a/photos.tar")]
)
def test_neighbours_are_apart(root: str, run: str, source: str) -> None:
    """Catches names taken for one inside the other because they begin alike."""
    require_apart(RunFolder(f"{root}/{run}"), f"{root}/{source}")


def test_a_bucket_is_around_all_in_it(s3_bucket: str) -> None:
    with pytest.raises(RunMismatchError, match=APART):
        require_apart(RunFolder(f"{s3_bucket}/run"), s3_bucket)
    with pytest.raises(RunMismatchError, match=APART):
        require_apart(RunFolder(s3_bucket), f"{s3_bucket}/photos")


def test_options_of_an_address_do_not_hide_where_it_is(s3_bucket: str) -> None:
    """Catches a run inside its source that is reached with other options."""
    options = "?endpoint_url=http://127.0.0.1:9"
    for run, source in [
        (f"{s3_bucket}/photos/run", f"{s3_bucket}/photos{options}"),
        (f"{s3_bucket}/photos/run{options}", f"{s3_bucket}/photos"),
    ]:
        with pytest.raises(RunMismatchError, match=APART):
            require_apart(RunFolder(run), source)


def test_a_link_does_not_hide_where_a_folder_is(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to("photos")
    with pytest.raises(RunMismatchError, match=APART):
        require_apart(RunFolder(str(tmp_path / "link/run")), str(tmp_path / "photos"))


@pytest.mark.parametrize("written", ["photos/../photos", "./photos", "file://"])
def test_a_path_written_otherwise_is_the_same_place(
    tmp_path: Path, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = f"file://{tmp_path}/photos" if written == "file://" else written
    write_folder(tmp_path / "photos", [textured_disc(0)])
    job = Job(run=RunFolder("photos/run"), settings=Settings(), executor=LocalExecutor())
    with pytest.raises(RunMismatchError, match=APART):
        plan(job, source)
    assert not (tmp_path / "photos/run").exists()


def test_a_source_without_images_leaves_a_folder_that_can_be_planned(root: str) -> None:
    """Catches a mistake that is not forgotten: what it left would be somebody else's files."""
    job = Job(run=RunFolder(f"{root}/run"), settings=Settings(), executor=LocalExecutor())
    photos = RunFolder(f"{root}/photos")
    photos.write_bytes("a.txt", b"")
    for _ in range(2):
        with pytest.raises(SourceError, match="holds no images"):
            plan(job, photos.url)
    photos.write_bytes("a.png", b"is not looked into yet")
    plan(job, photos.url)
    assert job.run.exists(layout.PLAN)
