"""`iem-batch apply`: the masks of any photos by a network that is trained."""

import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import iem_batch
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import schema
from iem_batch.segnet.model import SegNet
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import ModelRecord, save_weights
from iem_batch.steps.apply.outputs import file_names, usual_extension
from iem_batch.steps.refine.step import cut_out
from tests.calling import Call
from tests.images.broken import write_broken_folder
from tests.pictures import textured_disc
from tests.segnet import networks

RECORD = ModelRecord(
    segnet=SegNetSettings(width=4, num_blocks=1), decode=DecodeSettings(size_px=32), threshold=0.4
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model.safetensors")


def write_model(path: Path, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    path.write_bytes(save_weights(SegNet(RECORD.segnet), RECORD))
    return path


def data_files(out: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(out)): file.read_bytes()
        for file in sorted(out.rglob("*"))
        if file.is_file() and "_run" not in file.relative_to(out).parts
    }


def rows_of(out: Path) -> list[dict]:
    tables = [pq.read_table(file) for file in sorted(out.glob("part-*.parquet"))]
    return pa.concat_tables(tables).to_pylist()


def test_masks_are_those_of_load(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    """Catches another threshold or size than the file says, and rows out of order."""
    out = tmp_path / "out"
    status, printed, error = local(
        "apply", model, picture_folder, out, "--shard-size", 5, "--apply.probability", "true"
    )
    assert status == 0, error
    assert f"apply: masks of 12 images -> {out}/part-00000.parquet ..." in printed
    table = pq.read_table(out / "part-00001.parquet")
    assert table.schema.equals(schema.APPLIED, check_metadata=True)
    rows = rows_of(out)
    found = iem_batch.load(model).predict([picture_folder / row["image_id"] for row in rows])
    assert len(rows) == 12
    for row, mask_HW, probability_SS in zip(rows, found.masks, found.probabilities, strict=True):
        assert (row["height"], row["width"]) == mask_HW.shape == (64, 80)
        np.testing.assert_array_equal(decode_mask(row["photo_mask"]["bytes"]), mask_HW)
        mask_SS = decode_mask(row["mask"]["bytes"])
        np.testing.assert_array_equal(mask_SS, probability_SS > 0.4)
        grey_SS = decode_pixels(row["probability"]["bytes"])
        assert np.abs(grey_SS / 255 - probability_SS).max() < 0.51 / 255
        assert row["area"] == pytest.approx(mask_SS.mean())
    with Image.open(io.BytesIO(rows[0]["photo_mask"]["bytes"])) as image:
        assert image.mode == "1"


def test_files_named_like_the_photos(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    tables, files = tmp_path / "tables", tmp_path / "files"
    flags = ("--shard-size", 5, "--apply.probability=true", "--apply.refine=true")
    local("apply", model, picture_folder, tables, *flags)
    status, printed, error = local("apply", model, picture_folder, files, *flags, "--format", "png")
    assert status == 0, error
    assert f"-> {files}/masks" in printed
    table = pq.read_table(files / "part-00000.parquet")
    assert table.schema.equals(schema.APPLIED_FILES, check_metadata=True)
    for row, file in zip(rows_of(tables), rows_of(files), strict=True):
        stem = row["image_id"].removesuffix(".png")  # which most of them have
        assert file["image_id"] == row["image_id"]
        assert file["mask_file"] == f"masks/{stem}.png"
        assert file["probability_file"] == f"probabilities/{stem}.png"
        assert (files / file["mask_file"]).read_bytes() == row["photo_mask"]["bytes"]
        assert (files / file["probability_file"]).read_bytes() == row["probability"]["bytes"]
    assert len(list((files / "masks").iterdir())) == 12
    assert local("verify", files)[0] == 0


def test_refined_masks_are_cut_out_from_the_probabilities(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    out = tmp_path / "out"
    local("apply", model, picture_folder, out, "--apply.refine=true", "--apply.probability=true")
    rows = rows_of(out)
    found = iem_batch.load(model).predict([picture_folder / row["image_id"] for row in rows])
    for row, image_SS3 in zip(rows, found.images, strict=True):
        cut_SS = cut_out(image_SS3, decode_pixels(row["probability"]["bytes"]))
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), cut_SS)
    status, _, error = local(
        "apply", model, picture_folder, out, "--apply.refine=true", "--apply.threshold=0.3"
    )
    assert status == 2
    assert "apply.threshold is 0.3; it must be null with apply.refine" in error


@pytest.mark.parametrize("format", ["parquet", "png"])
def test_broken_files_are_rows(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call, format: str
) -> None:
    reasons = write_broken_folder(picture_folder)
    assert len(reasons) == 20
    out = tmp_path / "out"
    status, printed, error = local(
        "apply", model, picture_folder, out, "--shard-size", 8, "--format", format
    )
    assert status == 0, error
    assert "apply: masks of 12 images" in printed
    assert f"apply: 20 not usable -> {out}/_run/quarantine" in printed
    tables = [pq.read_table(file) for file in (out / "_run/quarantine").iterdir()]
    rejected = pa.concat_tables(tables).to_pylist()
    assert {row["image_id"]: row["error_class"] for row in rejected} == reasons
    assert "all is well" in local("verify", out)[1]


@pytest.mark.parametrize("format", ["parquet", "png"])
@pytest.mark.parametrize("writes", [6, 12])
def test_killed_and_resumed_gives_the_same_bytes(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call, format: str, writes: int
) -> None:
    """Killed before the n-th write; the model is gone by then, and its copy goes on."""
    flags = ("--shard-size", 5, "--format", format)
    local("apply", model, picture_folder, tmp_path / "whole", *flags)
    out = tmp_path / "out"
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(writes), str(model), picture_folder, out, "--local"]
        + [str(flag) for flag in flags],
        env={**os.environ, "PYTHONPATH": str(Path(iem_batch.__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    is_begun = (out / "_run/steps/apply.json").exists() and (out / "_run/config.yaml").exists()
    if is_begun:
        model.rename(tmp_path / "elsewhere")
    status, printed, error = local("apply", model, picture_folder, out, *flags)
    assert status == 0, error
    assert ("going on with" in printed) == is_begun
    assert data_files(out) == data_files(tmp_path / "whole")
    assert "all is well" in local("verify", out)[1]


KILLED = """
import os, signal, sys
from iem_batch.cli import main
from iem_batch.storage.folder import Folder

left, write_bytes = int(sys.argv[1]), Folder.write_bytes

def dying(self, name, data):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return write_bytes(self, name, data)

Folder.write_bytes = dying
main(["apply", *sys.argv[2:]])
"""


def test_another_model_is_refused_or_replaces_all(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    out = tmp_path / "out"
    local("apply", model, picture_folder, out)
    before = data_files(out)
    write_model(model, seed=1)
    status, _, error = local("apply", model, picture_folder, out)
    assert status == 1
    assert "weights: " in error
    assert len(list((out / "_run/model").iterdir())) == 1
    status, _, error = local("apply", model, picture_folder, out, "--overwrite")
    assert status == 0, error
    assert data_files(out) != before
    assert len(list((out / "_run/model").iterdir())) == 1


def test_status_verify_and_retry_know_it(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    out = tmp_path / "out"
    local("apply", model, picture_folder, out, "--shard-size", 5, "--shards", "0:2")
    assert "partly done" in local("status", out)[1]
    local("apply", model, picture_folder, out, "--shard-size", 5)
    assert "apply" in local("status", out)[1]
    assert local("retry", out)[:2] == (0, "retry: nothing has failed\n")
    (out / "part-00001.parquet").write_bytes(b"")
    status, printed, _ = local("verify", out)
    assert status == 1
    assert "checksum: part-00001.parquet is not what was written" in printed


@pytest.mark.parametrize("kind", ["truncated", "pickle", "absent", "other program"])
def test_a_model_that_cannot_be_used_is_one_line(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call, kind: str
) -> None:
    from safetensors.torch import save

    data = model.read_bytes()
    broken = {
        "truncated": data[:-9],
        "pickle": b"\x80\x04" + data,
        "other program": save({"a": torch.zeros(3)}),
    }
    model.unlink()
    if kind in broken:
        model.write_bytes(broken[kind])
    status, _, error = local("apply", model, picture_folder, tmp_path / "out")
    assert status in (1, 2)
    assert error.startswith(f"iem-batch: {model} ")
    assert error.count("\n") == 1


def test_settings_that_are_the_models_are_not_guessed(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    status, _, error = local(
        "apply", model, picture_folder, tmp_path / "out", "--decode.size_px", 64
    )
    assert status == 2
    assert "'size_px': 64" in error
    assert "leave it out" in error


def test_another_network_only_if_it_is_named(
    picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    path = "tests.segnet.networks:Normed"
    segnet = SegNetSettings(backbone=path, backbone_args={"width": 2})
    record = ModelRecord(segnet=segnet, decode=RECORD.decode)
    model = tmp_path / "normed.safetensors"
    model.write_bytes(save_weights(networks.Normed(width=2), record))
    out = tmp_path / "out"
    status, _, error = local("apply", model, picture_folder, out)
    assert status == 2
    assert "imported only if backbone and backbone_args name it" in error
    named = ("--segnet.backbone", path, "--segnet.backbone_args", '{"width": 2}')
    status, _, error = local("apply", model, picture_folder, out, *named)
    assert status == 0, error


def test_names_of_files() -> None:
    """None is another's, and none leaves the folder."""
    ids = ["a/b.jpg", "a/b.png", "c", "d.e", "../f.jpg", "/g.png", "h%2F.jpg", "CON .jpg"]
    names = file_names(ids, ".jpg")
    assert names[:4] == ["a/b.png", "a/b.png.png", "c.png", "d.e.png"]
    assert names[4:] == ["%2E%2E/f.png", "%/g.png.png", "h%252F.png", "CON%20.png"]
    assert file_names(["x.png.jpg", "x.png"], ".jpg") == ["x.png.png", "x.png.png.png"]
    assert len(file_names(["é" * 200], "")[0].encode()) <= 255
    assert usual_extension(["a.jpg", "b.png", "c.png", "d", "e.f", "e.g", "e.h"]) == ".png"
    assert usual_extension(["d", "e.f"]) == ""


def test_photos_that_differ_in_their_extension_lie_in_two_shards(
    model: Path, picture_folder: Path, tmp_path: Path, local: Call
) -> None:
    first = sorted(picture_folder.iterdir())[0]
    with Image.open(first) as photo:
        photo.save(picture_folder / f"{first.stem}.webp", lossless=True)
    out = tmp_path / "out"
    status, _, error = local(
        "apply", model, picture_folder, out, "--format", "png", "--shard-size", 1
    )
    assert status == 0, error
    names = {path.name for path in (out / "masks").iterdir()}
    assert {f"{first.stem}.png", f"{first.stem}.webp.png"} <= names
    assert len(names) == len(list(picture_folder.iterdir()))


def test_kept_columns_of_a_list(model: Path, tmp_path: Path, local: Call) -> None:
    """Both tables have them, that of masks in rows and that of masks in files."""
    for index in range(2):
        Image.fromarray(textured_disc(index).image).save(tmp_path / f"{index}.png")
    (tmp_path / "l.csv").write_text("path,caption\n0.png,zero\n1.png,one\n")
    for to in ("parquet", "png"):
        status, _, error = local(
            "apply", model, tmp_path / "l.csv", tmp_path / to, "--keep", "caption", "--format", to
        )
        assert status == 0, error
        assert [row["caption"] for row in rows_of(tmp_path / to)] == ["zero", "one"]
