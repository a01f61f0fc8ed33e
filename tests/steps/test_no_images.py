"""A step of which nothing came out is no success, whoever runs it."""

from pathlib import Path

import pytest

from tests.calling import Call
from tests.pictures import textured_disc, write_folder

QUICK = ("--segment.init_shares=[0.4]", "--iem.iterations", "1")


def test_not_one_image_can_be_used(tmp_path: Path, local: Call) -> None:
    """A script that goes by the status took an empty result for a good one."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, data in {"a.jpg": b"<html>", "b.jpg": b"<html>", "c.png": b""}.items():
        (folder / name).write_bytes(data)
    for _ in range(2):  # the second finds it done
        status, output, error = local("segment", folder, tmp_path / "run", *QUICK)
        assert status == 1
        assert "segment: 0 images with masks" in output
        assert error.endswith(
            "iem-batch: segment: not one of 3 images could be used: 2 not_an_image, 1 empty\n"
        )
    status, _, error = local("fuse", tmp_path / "run")
    assert status == 1
    assert error.endswith("iem-batch: fuse: not one of 3 images could be used\n")
    write_folder(folder, [textured_disc(0)])
    assert local("segment", folder, tmp_path / "run", "--extend")[0] == 0


@pytest.mark.parametrize("size", ["engine", "original"])
def test_photos_that_are_gone_when_the_corpus_is_made(
    tmp_path: Path, local: Call, size: str
) -> None:
    photos, run = tmp_path / "photos", tmp_path / "run"
    write_folder(photos, [textured_disc(0), textured_disc(1)])
    assert local("segment", photos, run, *QUICK)[0] == 0
    assert local("fuse", run)[0] == 0
    assert local("topk", run, "-k", 2)[0] == 0
    for path in photos.iterdir():
        path.write_bytes(b"gone")
    flags = ["--export.size", size, "--export.format", "folder", "--export.to", tmp_path / "corpus"]
    status, _, error = local("export", run, *flags)
    assert status == 1
    assert error.endswith("export: not one of 2 images could be used: 2 not_an_image\n")


def test_one_image_is_enough(tmp_path: Path, local: Call) -> None:
    write_folder(tmp_path / "photos", [textured_disc(0)])
    (tmp_path / "photos" / "gone.jpg").symlink_to("nowhere")
    status, output, error = local("segment", tmp_path / "photos", tmp_path / "run", *QUICK)
    assert status == 0, error
    assert "1 image not usable" in output or "1 images not usable" in output
