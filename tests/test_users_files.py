"""Whatever a command does, files that are not the run's own keep their bytes."""

import re
from pathlib import Path

import pytest

from iem_batch.cli import main
from iem_batch.errors import RunMismatchError
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_marks
from iem_batch.run.settings import PlanSettings
from iem_batch.steps.do import do
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.storage.folder import Folder
from iem_batch.tools.plan import ensure_plan, plan
from tests.calling import Call
from tests.growing import contents
from tests.growing import pictures as encoded_pictures
from tests.pictures import Picture, textured_disc, write_folder
from tests.steps.jobs import job_at
from tests.test_cli import QUICK


def test_a_corpus_or_shards_are_not_written_among_files_of_others(
    tmp_path: Path, pictures: list[Picture]
) -> None:
    write_folder(tmp_path / "photos", pictures[:4])
    source, home = str(tmp_path / "photos"), tmp_path / "home"
    job = job_at(RunFolder(str(tmp_path / "run")), plan=PlanSettings(shard_size=3))
    ensure_plan(job, source, "run")
    for step in ("segment", "fuse", "topk"):
        do(job, step)
    home.mkdir()
    (home / "letter.txt").write_bytes(b"of somebody else")
    export = ExportSettings(pairs_per_file=4, format="coco", to=str(home))
    for overwrite in (False, True):
        with pytest.raises(RunMismatchError, match="it holds letter.txt; nothing of it is touched"):
            do(job_at(job.run, export=export, overwrite=overwrite), "export")
        with pytest.raises(RunMismatchError, match="it holds letter.txt; nothing of it is touched"):
            plan(job_at(RunFolder(str(home)), overwrite=overwrite), source)
    assert [path.name for path in home.iterdir()] == ["letter.txt"]
    assert (home / "letter.txt").read_bytes() == b"of somebody else"


@pytest.mark.parametrize("command", ["plan", "segment", "convert", "apply"])
def test_files_named_like_our_plan_make_no_folder_ours(
    tmp_path: Path, pictures: list[Picture], command: str, call: Call
) -> None:
    """Catches a plan read, or deleted, in a folder without our marker."""
    write_folder(tmp_path / "photos", pictures[:2])
    home = tmp_path / "home"
    (home / "_run/manifest").mkdir(parents=True)
    for name in ("plan.json", "manifest/part-00000.parquet", "steps.txt"):
        (home / "_run" / name).write_bytes(b'{"num_shards": 1}')
    before = contents(RunFolder(str(home)))
    model = [tmp_path / "run"] if command == "apply" else []
    for flags in ([], ["--overwrite"]):
        status, _, error = call(command, *model, tmp_path / "photos", home, "--local", *flags)
        assert status == 1
        assert "is not empty and was not made by iem-batch: it holds _run/" in error
        assert len(error.splitlines()) == 1
    assert contents(RunFolder(str(home))) == before


def test_a_folder_of_another_kind_is_not_written_to(
    tmp_path: Path, pictures: list[Picture], call: Call
) -> None:
    """Catches shards of `convert` in a run, and the plan of shards that `plan` deletes."""
    write_folder(tmp_path / "photos", pictures[:2])
    source = str(tmp_path / "photos")
    for place, kind in (("run", "run"), ("shards", "images")):
        ensure_plan(job_at(RunFolder(str(tmp_path / place))), source, kind)  # type: ignore[arg-type]
    before = contents(RunFolder(str(tmp_path)))
    for command, place in (("convert", "run"), ("plan", "shards"), ("segment", "shards")):
        for flags in ([], ["--overwrite"]):
            status, _, error = call(command, source, tmp_path / place, "--local", *flags)
            assert (status, len(error.splitlines())) == (1, 1)
            assert re.search(r"holds a (run|images), not a (run|images)", error)
    assert contents(RunFolder(str(tmp_path))) == before


def test_the_demo_is_made_in_a_folder_of_its_own(tmp_path: Path, call: Call) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/mine.jpg").write_bytes(b"of the user")
    status, _, error = call("demo", tmp_path, "--local")
    assert status == 1
    assert "it holds photos/mine.jpg; nothing of it is touched" in error
    assert [path.name for path in tmp_path.rglob("*")] == ["photos", "mine.jpg"]


def test_no_file_is_left_of_a_shard_that_was_cut_off(
    tmp_path: Path, pictures: list[Picture]
) -> None:
    """Catches masks of a plan before that are read with those of the plan now."""
    write_folder(tmp_path / "photos", pictures[:9])
    job = job_at(RunFolder(str(tmp_path / "run")), plan=PlanSettings(shard_size=2))
    ensure_plan(job, str(tmp_path / "photos"), "run")
    do(job, "segment")
    job.run.delete("_run/stats/segment/part-00004.json", "_run/done/segment.json", "_SUCCESS")
    again = job_at(job.run, plan=PlanSettings(shard_size=5), overwrite=True)
    plan(again, str(tmp_path / "photos"))
    assert job.run.names("segment") == []
    do(again, "segment")
    marks = read_marks(job.run, "segment", sorted(committed(job.run, "segment")))
    named = {name for mark in marks for name in mark.files}
    assert {f"segment/{name}" for name in job.run.names("segment")} == named
    assert len(named) == 2


def lines_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Give the lines on standard error of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--local", *QUICK])
    assert ended.value.code == 1
    return capsys.readouterr().err.splitlines()


@pytest.fixture(params=["local", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else request.getfixturevalue("s3_bucket")


def upload(root: str, below: str, count: int, start: int = 0) -> None:
    """Write pictures below a folder anywhere."""
    folder = Folder(f"{root}/{below}")
    for name, data in _encoded(count, start).items():
        folder.write_bytes(name, data)


def _encoded(count: int, start: int) -> dict[str, bytes]:
    return dict(list(encoded_pictures(start + count).items())[start:])


@pytest.mark.parametrize("run", ["set/masks", "set", "set/", "set/images", "set/images/"])
def test_ground_truth_beside_the_images_is_no_run_folder(
    root: str, run: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a new user would: into the folder of the masks, around the images, among them."""
    upload(root, "set/images", 3)
    upload(root, "set/masks", 3)
    Folder(f"{root}/set").write_bytes("README.md", b"of the user")
    before = contents(RunFolder(root))
    for flags in ((), ("--iem.iterations=100", "--overwrite")):
        (line,) = lines_of(capsys, "segment", f"{root}/set/images", f"{root}/{run}", *flags)
        assert ("it holds 000.png, 001.png" if "masks" in run else "inside one another") in line
    assert contents(RunFolder(root)) == before


def test_new_photos_are_said_in_a_line(root: str, capsys: pytest.CaptureFixture[str]) -> None:
    """They would be ignored without a word."""
    source, run = f"{root}/photos", f"{root}/run"
    upload(root, "photos", 6)
    main(["segment", source, run, "--local", *QUICK])
    upload(root, "photos", 3, start=6)
    Folder(source).delete("001.png")
    before = contents(RunFolder(run))
    for command in ("segment", "run", "plan"):
        (line,) = lines_of(capsys, command, source, run)
        assert "3 new images" in line
        assert f"1 are gone ({source}/001.png)" in line
        assert "--extend adds what is new, --as-planned leaves it" in line
    assert contents(RunFolder(run)) == before
    main(["segment", source, run, "--local", "--extend", *QUICK])
    assert "segment: 9 images with masks" in capsys.readouterr().out
    kept = {name for name in before if name.startswith(("segment/", "_run/stats/"))}
    after = contents(RunFolder(run))
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}


@pytest.mark.parametrize(
    ("run", "source"),
    [("link/run", "photos"), ("run", "way/photos"), ("link/", "photos/"), ("photos/a", "link/")],
    ids=["run in a link", "source in a link", "equal by a link", "source is a link"],
)
def test_links_and_slashes_do_not_hide_that_one_is_in_the_other(
    tmp_path: Path, run: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "photos", [textured_disc(0)])
    (tmp_path / "link").symlink_to("photos")
    write_folder(tmp_path / "run/photos", [textured_disc(1)])
    (tmp_path / "way").symlink_to("run")
    before = contents(RunFolder(str(tmp_path)))
    (line,) = lines_of(capsys, "segment", f"{tmp_path}/{source}", f"{tmp_path}/{run}")
    assert "lie inside one another" in line
    assert contents(RunFolder(str(tmp_path))) == before
