"""Masks that are there already take IEM's place: from any kind of files to a network's masks."""

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import SettingsError
from iem_batch.iem.backends import load_backend, score_masks
from iem_batch.images.png import decode_mask, decode_pixels, encode_mask
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import require_summary
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.storage.folder import Folder
from tests.calling import Call
from tests.pictures import Picture, textured_disc
from tests.steps.jobs import IEM, SIZE_PX
from tests.steps.segment.test_engine import rejected, rows_of
from tests.test_cli import QUICK, data_files

WITHOUT = "p/5.png"
"""The photo that has no mask."""

BROKEN = "p/6.png"
"""The one whose mask is of another size."""

Masks = dict[str, NDArray[np.bool_]]


@pytest.fixture
def photos(tmp_path: Path) -> dict[str, Picture]:
    """Eight photos of the run's square, in a folder below the source."""
    (tmp_path / "photos/p").mkdir(parents=True)
    made = {f"p/{seed}.png": textured_disc(seed, SIZE_PX, SIZE_PX) for seed in range(8)}
    for name, picture in made.items():
        Image.fromarray(picture.image).save(tmp_path / "photos" / name)
    return made


@pytest.fixture
def masks(photos: dict[str, Picture]) -> Masks:
    """The true masks of six photos, and one of another shape."""
    found = {name: picture.mask for name, picture in photos.items() if name != WITHOUT}
    return found | {BROKEN: np.ones((8, 5), np.bool_)}


def in_a_folder(masks: Masks, place: Path) -> Path:
    for name, mask in masks.items():
        (place / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "masks" / name).write_bytes(encode_mask(mask))
    return place / "masks"


def in_parquet(masks: Masks, place: Path) -> Path:
    table = pa.table({"image_id": list(masks), "mask": [encode_mask(m) for m in masks.values()]})
    pq.write_table(table.take([5, 1, 0, 6, 3, 4, 2]), place / "masks.parquet", row_group_size=2)
    return place / "masks.parquet"


def in_tars(masks: Masks, place: Path) -> Path:
    (place / "tars").mkdir()
    for number in range(2):
        with tarfile.open(place / f"tars/{number}.tar", "w") as tar:
            for name, mask in list(masks.items())[number::2]:
                info, data = tarfile.TarInfo(name.replace(".png", ".PNG")), encode_mask(mask)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    return place / "tars"


def in_coco(masks: Masks, place: Path) -> Path:
    images, annotations = [], []
    for number, (name, mask) in enumerate(masks.items()):
        height, width = mask.shape
        runs = np.diff(np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=0)), prepend=0)
        counts = [int(run) for run in runs] + [mask.size - int(runs.sum())]
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        segmentation = {"size": [height, width], "counts": counts}
        annotations.append({"image_id": number, "segmentation": segmentation})
    (place / "masks.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    return place / "masks.json"


@pytest.mark.parametrize("write", [in_a_folder, in_parquet, in_tars, in_coco])
def test_masks_of_every_kind_of_files_become_those_of_the_run(
    write: Callable[[Masks, Path], Path],
    photos: dict[str, Picture],
    masks: Masks,
    tmp_path: Path,
    local: Call,
) -> None:
    run, where = RunFolder(str(tmp_path / "run")), write(masks, tmp_path)
    status, output, error = local(
        "segment", tmp_path / "photos", run.url, *QUICK, "--masks", where, "--shard-size", 3
    )
    assert status == 0, error
    assert "segment: 6 images with masks" in output
    found = rows_of(run, "segment")
    assert found.keys() == photos.keys() - {WITHOUT, BROKEN}
    for image_id, row in found.items():
        picture = photos[image_id]
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), picture.mask)
        np.testing.assert_array_equal(decode_pixels(row["vote"]["bytes"]), 255 * picture.mask)
        scores = score_masks(load_backend("auto"), picture.image[None], picture.mask[None], IEM, 1)
        assert row["error"] == scores.error_BS[0, 0] > 0
    reasons = rejected(run)
    assert {image_id: reason for image_id, (reason, _) in reasons.items()} == {
        WITHOUT: "no_mask",
        BROKEN: "no_mask",
    }
    assert f"{where} has no mask of it; it has " in reasons[WITHOUT][1]
    assert "is 5x8, its image p/6.png is 32x32" in reasons[BROKEN][1]


def test_pixels_that_are_neither_are_undecided(tmp_path: Path, local: Call) -> None:
    """A trimap: the vote keeps what is not known, and the mask has it as background."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    picture = textured_disc(0, SIZE_PX, SIZE_PX)
    Image.fromarray(picture.image).save(tmp_path / "photos/a.jpg")
    grey = np.where(picture.mask, 255, 0).astype(np.uint8)
    grey[:4] = 128
    Image.fromarray(grey).save(tmp_path / "masks/a.png")
    flags = [*QUICK, "--masks", tmp_path / "masks"]
    assert local("segment", tmp_path / "photos", tmp_path / "run", *flags)[0] == 0
    row = rows_of(RunFolder(str(tmp_path / "run")), "segment")["a.jpg"]
    vote = decode_pixels(row["vote"]["bytes"])
    assert (vote[:4] == 127).all()
    np.testing.assert_array_equal(vote[4:], grey[4:])
    np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), vote == 255)


def test_a_mask_is_brought_to_the_square_as_its_photo_was(tmp_path: Path, local: Call) -> None:
    """The left half of a wide photo, squashed and cropped: a quarter of the crop is cut away."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (SIZE_PX, 2 * SIZE_PX, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "photos/a.png")
    left = np.broadcast_to(np.arange(2 * SIZE_PX) < SIZE_PX // 2 + 8, (SIZE_PX, 2 * SIZE_PX))
    (tmp_path / "masks/a.png").write_bytes(encode_mask(left))
    for fit, columns in (("squash", (SIZE_PX // 2 + 8) // 2), ("crop", 8)):
        flags = [*QUICK, "--masks", tmp_path / "masks", "--decode.fit", fit]
        assert local("segment", tmp_path / "photos", tmp_path / fit, *flags)[0] == 0
        row = rows_of(RunFolder(str(tmp_path / fit)), "segment")["a.png"]
        expected = np.broadcast_to(np.arange(SIZE_PX) < columns, (SIZE_PX, SIZE_PX))
        np.testing.assert_array_equal(decode_mask(row["mask"]["bytes"]), expected)


def test_a_network_learns_some_masks_and_does_all_images(
    masks: Masks, photos: dict[str, Picture], tmp_path: Path, local: Call
) -> None:
    """All steps: a photo without a mask has no label, and a mask by the network all the same."""
    run, truth = RunFolder(str(tmp_path / "run")), tmp_path / "truth"
    in_a_folder({name: picture.mask for name, picture in photos.items()}, truth)
    (tmp_path / "photos/p/7.png").write_bytes(b"")
    flags = [*QUICK, "--masks", in_a_folder(masks, tmp_path), "--truth", truth / "masks"]
    more = ["--evaluate.images=unlearned", "--evaluate.baselines=false", "--shard-size", 3]
    more += ["--export.val_share=0.4"]  # which p/4.png alone is below
    status, output, error = local("run", tmp_path / "photos", run.url, *flags, *more)
    assert status == 0, error
    usable = photos.keys() - {"p/7.png"}
    for step, expected in (
        ("segment", usable - {WITHOUT, BROKEN}),
        ("fuse", usable - {WITHOUT, BROKEN}),
        ("export", usable - {WITHOUT, BROKEN}),
        ("predict", usable),
        ("refine", usable),
    ):
        assert rows_of(run, step).keys() == expected
    for step in ("segment", "fuse", "predict", "refine"):
        summary = require_summary(run, step)
        assert summary.planned == summary.ok + summary.quarantined == 8
    methods = {each["method"]: each for each in run.read_json("evaluate/summary.json")["methods"]}
    assert methods.keys() == {"fuse", "predict", "refine"}
    assert methods["fuse"]["worst_images"] == {"p/4.png": 1}
    assert sorted(methods["predict"]["worst_images"]) == ["p/4.png", WITHOUT, BROKEN]
    assert "only images that SegNet has not learned are counted" in output
    assert re.search(r"What is called IEM here are the masks of .*masks\.\nAn image took", output)
    assert local("verify", run.url)[0] == 0
    card = run.read_bytes("README.md").decode()
    assert "# Segmentation masks by masks given in files" in card
    assert "- fuse: the masks of a photo made one, by image" in card
    for wrong in ("Inpainting Error Maximization", "without labels", "unsupervised"):
        assert wrong not in card
    # The masks that were given, as the truth that SegNet is compared with.
    assert local("evaluate", run.url, "--truth", run.url_of("fuse"))[0] == 0
    methods = {each["method"]: each for each in run.read_json("evaluate/summary.json")["methods"]}
    assert methods["fuse"]["worst_images"] == {"p/4.png": 1}
    assert list(methods["predict"]["worst_images"]) == ["p/4.png"]
    assert local("report", run.url)[0] == 0


def test_a_mask_that_came_later_is_taken(masks: Masks, tmp_path: Path, local: Call) -> None:
    run, folder = RunFolder(str(tmp_path / "run")), in_a_folder(masks, tmp_path)
    flags = [*QUICK, "--masks", folder]
    assert local("segment", tmp_path / "photos", run.url, *flags)[0] == 0
    (folder / WITHOUT).write_bytes(encode_mask(masks["p/0.png"]))
    assert local("retry", run.url, "--quarantined")[0] == 0
    assert WITHOUT in rows_of(run, "segment")
    assert rejected(run).keys() == {BROKEN}


@pytest.mark.ray
def test_a_cluster_and_a_store_give_the_same_files(
    masks: Masks,
    tmp_path: Path,
    call: Call,
    local_ray: None,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also of a path from here, where the workers are not."""
    folder = in_a_folder(masks, tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in masks:
        Folder(s3_bucket).write_bytes(name, (folder / name).read_bytes())
    for name, where, flags in (
        ("here", folder, ["--local"]),
        ("there", s3_bucket, []),
        ("from here", folder.name, []),
    ):
        run = tmp_path / name
        more = ["--masks", where, "--shard-size", 3, *flags]
        status, _, error = call("segment", tmp_path / "photos", run, *QUICK, *more)
        assert status == 0, error
    here, there, from_here = (
        {
            name: data
            for name, data in data_files(tmp_path / name).items()
            if "quarantine" not in name
        }
        for name in ("here", "there", "from here")
    )
    assert here == there == from_here


def test_what_cannot_be_used_is_told_before_anything_is_done(tmp_path: Path, local: Call) -> None:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "photos/a.png")
    source, run = tmp_path / "photos", tmp_path / "run"
    status, _, error = local("segment", source, run, "--masks", tmp_path / "nothing")
    assert (status, error) == (1, f"iem-batch: there is no {tmp_path}/nothing\n")
    assert not (run / "segment").exists()
    with pytest.raises(SettingsError, match="segment.masks is 'a'; it must be null where an eng"):
        SegmentSettings(engine="b:C", masks="a")


def test_numbers_that_may_mean_several_things_name_the_setting(tmp_path: Path, local: Call) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "masks").mkdir()
    Image.fromarray(textured_disc(0, 32, 32).image).save(tmp_path / "photos/a.png")
    Image.fromarray(np.arange(32 * 32, dtype=np.uint8).reshape(32, 32) % 3).save(
        tmp_path / "masks/a.png"
    )
    flags = [*QUICK, "--masks", tmp_path / "masks"]
    status, _, error = local("segment", tmp_path / "photos", tmp_path / "run", *flags)
    assert status == 1
    assert "not one of 1 images could be used: 1 no_mask" in error
    (message,) = (message for _, message in rejected(RunFolder(str(tmp_path / "run"))).values())
    assert "--mask_files.foreground says which of them are foreground" in message
    more = ["--mask_files.foreground", 2, "--overwrite"]
    assert local("segment", tmp_path / "photos", tmp_path / "run", *flags, *more)[0] == 0
