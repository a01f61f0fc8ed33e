"""verify and retry through the command line."""

import json
from pathlib import Path

import pytest

from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import mark, part
from iem_batch.run.marks import committed, read_failures, read_mark
from tests.calling import Call
from tests.pictures import Picture
from tests.test_cli import QUICK, data_files


def segmented(local: Call, source: Path, run: Path, *flags: str) -> None:
    status, _, error = local("segment", source, run, *QUICK, *flags)
    assert status == 0, error


def test_verify_says_what_is_wrong_and_ends_so(
    local: Call, tmp_path: Path, picture_folder: Path
) -> None:
    run = tmp_path / "run"
    segmented(local, picture_folder, run)
    status, output, error = local("verify", run, "--reread")
    assert (status, error) == (0, "")
    assert output.startswith("verify: 4 files (")
    assert output.endswith(" of segment read, 12 images; all is well\n")
    (run / "segment/part-00001.parquet").write_bytes(b"half a file")
    status, output, error = local("verify", run)
    assert status == 1
    assert "checksum: segment/part-00001.parquet is not what was written" in output
    assert error == f"iem-batch: {run} has 1 fault\n"
    status, output, _ = local("verify", run, "--json")
    report = json.loads(output)
    assert (status, report["num_findings"]) == (1, 1)
    assert list(report["findings"]["counts"]) == ["checksum"]


def test_an_image_that_has_come_back_is_taken_in_as_if_it_had_never_been_gone(
    local: Call, tmp_path: Path, picture_folder: Path, pictures: list[Picture]
) -> None:
    """Catches a quarantine row that stays, a stale _SUCCESS, and neighbours done differently."""
    whole, run = tmp_path / "whole", tmp_path / "run"
    segmented(local, picture_folder, whole)
    local("plan", picture_folder, run, *QUICK)
    for name in ("disc_003.jpg", "disc_007.jpg"):
        (picture_folder / name).rename(tmp_path / name)
    segmented(local, picture_folder, run, "--as-planned")
    assert len(list((run / "quarantine").iterdir())) == 2
    (tmp_path / "disc_003.jpg").rename(picture_folder / "disc_003.jpg")
    status, output, error = local("retry", run, "--quarantined")
    assert status == 0, error
    assert "retry: 2 quarantined images in 2 shards" in output
    assert "segment: 11 images with masks" in output
    [left] = (run / "quarantine").iterdir()
    (tmp_path / "disc_007.jpg").rename(picture_folder / "disc_007.jpg")
    status, output, error = local("retry", run, "--quarantined")
    assert status == 0, error
    assert not left.exists()
    assert data_files(run) == data_files(whole)
    assert local("verify", run, "--reread")[0] == 0
    assert "nothing has failed that can be retried" in local("retry", run, "--quarantined")[1]


def test_later_steps_are_not_left_behind(local: Call, tmp_path: Path, picture_folder: Path) -> None:
    """Catches a selection made of masks that have changed since."""
    run = tmp_path / "run"
    local("plan", picture_folder, run, *QUICK)
    (picture_folder / "disc_003.jpg").rename(tmp_path / "disc_003.jpg")
    segmented(local, picture_folder, run, "--as-planned")
    local("fuse", run)
    local("topk", run, "-k", "4")
    (tmp_path / "disc_003.jpg").rename(picture_folder / "disc_003.jpg")
    before = data_files(run)
    status, _, error = local("retry", run, "--quarantined")
    assert status == 1
    assert f"fuse, topk of {run} were made of the masks as they are; give --overwrite" in error
    assert data_files(run) == before
    assert committed(RunFolder(str(run)), "segment") == {0, 1, 2}
    status, _, error = local("retry", run, "--quarantined", "--overwrite")
    assert status == 0, error
    assert not (run / "topk").exists()
    assert not (run / "fuse").exists()
    assert RunFolder(str(run)).read_table(part("segment", 0)).num_rows == 10


def test_failed_shards_are_done(local: Call, tmp_path: Path, picture_folder: Path) -> None:
    """The disk was full, say: the mark of one shard cannot be written, then it can."""
    run = tmp_path / "run"
    folder = RunFolder(str(run))
    local("plan", picture_folder, run, *QUICK)
    obstacle = run / mark("segment", 1)
    obstacle.mkdir(parents=True)
    status, _, error = local("segment", picture_folder, run)
    assert status == 1
    assert "1 shard of segment failed" in error
    assert "cannot write" in error
    assert read_failures(folder, "segment")[1].attempts == 3
    obstacle.rmdir()
    status, output, error = local("retry", run)
    assert status == 0, error
    assert "segment: 12 images with masks" in output
    assert read_mark(folder, "segment", 1).attempts == 4
    assert "retry: nothing has failed" in local("retry", run)[1]


def test_versions_are_part_of_what_a_step_depends_on(
    local: Call, tmp_path: Path, picture_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches a run half of whose files were written by another pyarrow, without a word."""
    run = tmp_path / "run"
    segmented(local, picture_folder, run)
    (run / mark("segment", 1)).unlink()
    monkeypatch.setattr(
        "iem_batch.steps.do.code_versions", lambda: {"pyarrow": "0.1", "numpy": "9"}
    )
    status, _, error = local("segment", picture_folder, run)
    assert status == 1
    assert "begun with other versions" in error
    assert "\n  pyarrow: " in error
    assert "--accept-versions" in error
    status, _, error = local("segment", picture_folder, run, "--accept-versions")
    assert status == 0, error
