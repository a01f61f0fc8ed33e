"""Masks by an engine that the user's settings name, from photos to a corpus."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import RunMismatchError, SettingsError
from iem_batch.iem.backends import load_backend, score_masks
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import mark, part
from iem_batch.run.marks import require_summary
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.fuse.fusion import cut
from iem_batch.steps.fuse.settings import FuseSettings
from iem_batch.steps.segment.engine import examine
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.steps.segment.step import build
from tests.calling import Call
from tests.steps.jobs import IEM, SIZE_PX, job_at, run_in_process
from tests.test_cli import QUICK, data_files

PAGE = Path(__file__).parents[3] / "docs/howto/own-masks.md"
HERE = "tests.steps.segment.engines"


def above_mean(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    grey = image.mean(axis=2)
    return np.asarray(grey > grey.mean())


def planned(
    tmp_path: Path, engine: str, name: str = "run", shard_size: int = 4, **args: Any
) -> Job:
    """Plan the photos in shards of four; gives a job that segments them by an engine."""
    run = RunFolder(str(tmp_path / name))
    write_plan(run, open_source(str(tmp_path / "photos")), PlanSettings(shard_size=shard_size))
    segment = SegmentSettings(backend="torch", engine=f"{HERE}:{engine}", engine_args=args)
    return job_at(run, segment=segment)


def rows_of(run: RunFolder, step: str) -> dict[str, dict[str, Any]]:
    rows = [row for name in run.names(step) for row in run.read_table(f"{step}/{name}").to_pylist()]
    return {row["image_id"]: row for row in rows}


def rejected(run: RunFolder) -> dict[str, tuple[str, str]]:
    rows = rows_of(run, "quarantine").values()
    return {row["image_id"]: (row["error_class"], row["message"]) for row in rows}


def test_from_photos_to_a_corpus(write: Any, tmp_path: Path, local: Call) -> None:
    photos, run = write(), RunFolder(str(tmp_path / "run"))
    quick = [*QUICK, "--engine", f"{HERE}:AboveMean"]
    for command in (["segment", tmp_path / "photos"], ["fuse"], ["topk", "-k", "3"], ["export"]):
        status, _, error = local(*command, run.url, *(quick if command[0] == "segment" else ()))
        assert status == 0, error
    found, fused = rows_of(run, "segment"), rows_of(run, "fuse")
    assert found.keys() == fused.keys() == photos.keys()
    for image_id, image in photos.items():
        row, mask = found[image_id], above_mean(image)
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), mask)
        scores = score_masks(load_backend("auto"), image[None], mask[None], IEM, 1)
        assert row["error"] == scores.error_BS[0, 0] > 0
        assert (row["init_side"], row["agreement"], row["iterations"]) == (None, None, 0)
        # Fusing leaves the one mask as it is, and scores it as segment did.
        assert fused[image_id]["mask"] == row["mask"]
        assert fused[image_id]["error"] == row["error"]
    best = sorted(found, key=lambda image_id: -found[image_id]["error"])[:3]
    assert run.read_table("topk/topk.parquet")["image_id"].to_pylist() == best
    assert sorted(rows_of(run, "export")) == sorted(best)
    assert local("verify", run.url)[0] == 0


@pytest.mark.ray
def test_a_cluster_gives_the_same_files(
    write: Any, tmp_path: Path, call: Call, local_ray: None
) -> None:
    """All steps, with images that the engine fails on."""
    write({1: 250, 5: 251})
    for name, where in (("here", ["--local"]), ("there", [])):
        engine = ["--engine", f"{HERE}:Troubled", "--segment.engine_args", '{"most": 3}']
        status, _, error = call(
            "run", tmp_path / "photos", tmp_path / name, *QUICK, *engine, *where
        )
        assert status == 0, error
    assert data_files(tmp_path / "here") == data_files(tmp_path / "there")
    assert sorted(rejected(RunFolder(str(tmp_path / "there")))) == ["1.png", "5.png"]


def test_images_it_fails_on_are_rows_and_the_others_have_masks(write: Any, tmp_path: Path) -> None:
    photos = write({0: 250, 2: 251, 3: 252, 5: 253})
    (tmp_path / "photos/4.png").write_bytes(b"")
    job = planned(tmp_path, "Troubled", shard_size=7)
    do(job, "segment")
    assert list(rejected(job.run).items()) == [
        ("4.png", ("empty", "the file has no bytes")),
        ("0.png", ("engine_failed", "LookupError: no object")),
        ("2.png", ("engine_failed", "ValueError: it gave soft masks with NaN, or not in [0, 1]")),
        (
            "3.png",
            (
                "engine_failed",
                "ValueError: it gave masks of shape (2, 32, 32); they must have (1, 32, 32)",
            ),
        ),
        (
            "5.png",
            ("engine_failed", "TypeError: it gave masks of int64; they must be of bool or float32"),
        ),
    ]
    found = rows_of(job.run, "segment")
    assert list(found) == ["1.png", "6.png"]
    for image_id, row in found.items():
        mask = decode_mask(row["mask"]["bytes"])
        np.testing.assert_array_equal(mask, above_mean(photos[image_id]))
    do(job, "fuse")
    assert list(rows_of(job.run, "fuse")) == list(found)


def test_a_shard_done_again_gives_the_same_bytes(write: Any, tmp_path: Path) -> None:
    """Catches rows in another order where an attempt before has found the images already."""
    write({0: 250, 2: 251})
    (tmp_path / "photos/1.png").write_bytes(b"")
    job = planned(tmp_path, "Troubled")
    do(job, "segment")
    names = [part("segment", 0), part("quarantine", 0)]
    before = [job.run.read_bytes(name) for name in names]
    job.run.delete(mark("segment", 0))
    run_in_process(build(job), [0])
    assert [job.run.read_bytes(name) for name in names] == before


def test_its_own_square_and_soft_masks(write: Any, tmp_path: Path) -> None:
    """It sees photos at twice the size; its masks come back, a pixel the mean of four."""
    write()
    job = planned(tmp_path, "Soft", size_px=2 * SIZE_PX)
    decode = replace(job.settings.decode, resize="nearest")
    job = replace(job, settings=replace(job.settings, decode=decode))
    do(job, "segment")
    for image_id, row in rows_of(job.run, "segment").items():
        red = np.asarray(Image.open(tmp_path / f"photos/{image_id}"))[..., 0]
        vote = decode_pixels(row["vote"]["bytes"])
        np.testing.assert_array_equal(vote, red)  # of nearest neighbours all four are equal
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), red > 127)
    assert build(job).depends_on["engine"] == {
        "size_px": 64,
        "deterministic": True,
        "version": "1",
    }


def test_the_cut_on_request_starts_from_the_soft_mask(write: Any, tmp_path: Path) -> None:
    photos = write()
    job = planned(tmp_path, "Soft", size_px=SIZE_PX)
    do(job, "segment")
    settings = replace(job.settings, fuse=FuseSettings(method="cut"))
    do(replace(job, settings=settings), "fuse")
    assert require_summary(job.run, "fuse").facts == {"first_masks": 1}
    for image_id, row in rows_of(job.run, "fuse").items():
        red = photos[image_id][..., 0]
        np.testing.assert_array_equal(decode_pixels(row["vote"]["bytes"]), red)
        expected = cut(photos[image_id], red / 255)
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), expected)


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"version": "2"}, "engine.version: '1' before, '2' now"),
        ({"size_px": 64}, "engine.size_px: 32 before, 64 now"),
    ],
)
def test_another_engine_is_refused(
    changed: dict[str, Any], difference: str, write: Any, tmp_path: Path
) -> None:
    write()
    job = planned(tmp_path, "Soft", size_px=SIZE_PX)
    do(job, "segment")
    args = {"size_px": SIZE_PX, **changed}
    segment = replace(job.settings.segment, engine_args=args)
    with pytest.raises(RunMismatchError, match=re.escape(difference)):
        do(replace(job, settings=replace(job.settings, segment=segment)), "segment")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("engines", "segment.engine is 'engines'; write it as \"package.module:Class\""),
        ("no_such_package:Engine", "segment.engine: no_such_package cannot be imported on "),
        (f"{HERE}:Nothing", f"and {HERE} has no such name"),
        (f"{HERE}:Silent", "it must name a class that says whether it is deterministic"),
        ("subprocess:Popen", "it must name a class that says whether it is deterministic"),
        (f"{HERE}:Soft", r"cannot be made with segment.engine_args {}: TypeError: .*size_px"),
        (f"{HERE}:NoSize", "has size_px 0; it must be a whole number above 0"),
        (f"{HERE}:WrongShape", r"fails on uint8 noise \(2, 32, 32, 3\): ValueError: it gave masks"),
        (f"{HERE}:WrongType", "it gave masks of uint8; they must be of bool or float32"),
        (f"{HERE}:OutOfRange", "it gave soft masks with NaN, or not in"),
        (f"{HERE}:Random", "says that it is deterministic, and gives two masks for one image"),
    ],
)
def test_what_breaks_the_contract_is_refused_at_once(path: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        examine(SegmentSettings(engine=path), SIZE_PX)


def test_the_engine_of_the_page(write: Any, tmp_path: Path) -> None:
    """A stranger's: what the page shows, saved as it is and named on the command line."""
    photos = write()
    text = PAGE.read_text()
    shown = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    command = re.search(r"^iem-batch (run SOURCE RUN --engine .*)$", text, re.MULTILINE)
    assert shown is not None
    assert command is not None
    (tmp_path / "my_masks.py").write_text(shown[1])
    arguments = command[1].replace("SOURCE", "photos").replace("RUN", "run").split()
    path = os.pathsep.join([str(tmp_path), *sys.path])
    ended = subprocess.run(
        [sys.executable, "-m", "iem_batch", *arguments, "--local", *QUICK],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    # What people are shown does not pass its masks off as those of IEM.
    page = (tmp_path / "run/report/index.html").read_text()
    assert "What is called IEM here are the masks of my_masks:AboveMean." in page
    assert "# Segmentation masks by my_masks:AboveMean" in (tmp_path / "run/README.md").read_text()
    found = rows_of(RunFolder(str(tmp_path / "run")), "fuse")
    for image_id, image in photos.items():
        mask = decode_mask(found[image_id]["mask"]["bytes"])
        np.testing.assert_array_equal(mask, above_mean(image))


def test_arguments_without_an_engine_are_refused() -> None:
    with pytest.raises(SettingsError, match="engine_args is .*; it must be empty unless"):
        SegmentSettings(engine_args={"width": 2})


def test_it_is_said_that_an_engine_is_not_deterministic(
    write: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write()
    do(planned(tmp_path, "Undetermined"), "segment")
    assert "segment: the engine is not deterministic" in capsys.readouterr().out
