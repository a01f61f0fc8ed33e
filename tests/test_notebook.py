import base64
import io
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

import iem_batch
from iem_batch import segment
from iem_batch.errors import ImageRejectedError, SettingsError
from iem_batch.images.png import decode_mask
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.fuse.settings import FuseMethod, FuseSettings
from iem_batch.steps.segment.settings import SegmentSettings
from tests.documentation import example
from tests.pictures import textured_disc
from tests.steps.jobs import IEM, SIZE_PX, job_at

ROOT = Path(__file__).parents[1]
DECODE = DecodeSettings(size_px=SIZE_PX)


def first_masks(*sides_px):
    shares = tuple(side / SIZE_PX for side in sides_px)
    return SegmentSettings(init_shares=shares, backend="torch")


ONE, TWO = first_masks(20), first_masks(12, 20)


def quick(images, **settings):
    return segment(images, iem=IEM, decode=DECODE, first_masks=ONE, **settings)


def test_example_of_the_readme(tmp_path, monkeypatch):
    """Documentation that does not run is worse than none."""
    code = example("from iem_batch import segment")
    for seed, name in enumerate(re.findall(r'"([^"]+\.jpg)"', code)):
        Image.fromarray(textured_disc(seed, 150, 200).image).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    namespace = {}
    exec(code, namespace)
    result = namespace["result"]
    assert [mask.shape for mask in result.masks] == [(150, 200)] * 2
    assert result.squares.shape == (2, 128, 128)
    assert result.squares.dtype == result.masks[0].dtype == np.bool_
    assert result.errors.shape == (2,)
    assert (result.errors > 0).all()
    assert result.plot().size[0] > 128


def test_example_notebook(tmp_path, monkeypatch):
    """Its cells run one after another, and it was saved with what they show."""
    (tmp_path / "photos").mkdir()
    for seed in range(2):
        Image.fromarray(textured_disc(seed, 60, 80).image).save(tmp_path / f"photos/{seed}.png")
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text())["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            assert cell["outputs"]
    assert sorted(path.name for path in (tmp_path / "masks").iterdir()) == ["0.png", "1.png"]


def test_every_way_to_give_an_image_gives_the_same_mask(tmp_path):
    picture = textured_disc(3, 60, 90).image
    path = tmp_path / "a.png"
    Image.fromarray(picture).save(path)
    channels_first = torch.from_numpy(picture).movedim(2, 0)
    given = [
        str(path),
        path,
        Image.open(path),
        picture,
        picture / np.float32(255),
        channels_first,
        channels_first.double() / 255,
        torch.from_numpy(picture),
    ]
    result = quick(given)
    assert (result.squares == result.squares[0]).all()
    assert 0 < result.squares[0].mean() < 1
    assert len(set(result.errors)) == 1
    assert result.names[:3] == [str(path), str(path), "image 2"]
    for whole in (np.stack([picture] * 2), torch.stack([channels_first] * 2)):
        assert (quick(whole).squares == result.squares[0]).all()
    for one in (str(path), picture, channels_first, Image.open(path)):
        assert len(quick(one)) == 1


@pytest.mark.parametrize("method", get_args(FuseMethod))
def test_same_masks_as_the_batch_job(tmp_path, picture_folder, method):
    """A notebook that preprocesses in its own way shows masks the run does not have."""
    run = RunFolder(str(tmp_path / "run"))
    source = open_source(str(picture_folder))
    write_plan(run, source, PlanSettings())
    fuse = FuseSettings(method=method)
    for step in ("segment", "fuse"):
        do(job_at(run, decode=DECODE, segment=TWO, fuse=fuse), step)
    rows = run.read_table(part("fuse", 0)).to_pylist()
    paths = [picture_folder / row["image_id"] for row in rows]
    result = segment(paths, iem=IEM, decode=DECODE, first_masks=TWO, fuse=fuse)
    masks = np.stack([decode_mask(row["mask"]["bytes"]) for row in rows])
    np.testing.assert_array_equal(result.squares, masks)
    np.testing.assert_array_equal(result.errors, [row["error"] for row in rows])


def test_of_several_first_masks_the_best():
    pictures = np.stack([textured_disc(seed, SIZE_PX, SIZE_PX).image for seed in range(4)])
    settings = {"iem": IEM, "decode": DECODE, "fuse": FuseSettings(method="image")}
    one, other, both = (
        segment(pictures, first_masks=first_masks(*sides), **settings)
        for sides in ((8,), (20,), (8, 20))
    )
    np.testing.assert_array_equal(both.errors, np.maximum(one.errors, other.errors))


def test_nothing_gives_nothing():
    assert quick([]).squares.shape == (0, SIZE_PX, SIZE_PX)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (3, "images is of type int"),
        (
            [np.zeros((4, 4, 2), np.uint8)],
            r"image 0 has the shape \(4, 4, 2\); it must be \(H, W\)",
        ),
        (np.zeros((2, 3, 8, 8), np.uint8), r"C of 1, 3 or 4 channels"),
        ([np.zeros((4, 4, 3), np.int64)], "is int64"),
        ([np.full((4, 4, 3), 255.0)], "values from 255 to 255"),
        ([np.full((4, 4, 3), np.nan)], "values from nan"),
    ],
)
def test_what_is_not_an_image_is_named(images, message):
    """Floats up to 255 taken as [0, 1] would give a white image and a silly mask."""
    with pytest.raises(SettingsError, match=message):
        quick(images)


def test_a_file_that_is_no_image_is_named(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    with pytest.raises(ImageRejectedError, match=r"notes\.txt: begins with"):
        quick(path)


def test_one_bad_file_does_not_lose_the_others(tmp_path):
    """Missing, damaged and on a store that is not there: each is named, the good one has a mask."""
    good, damaged = tmp_path / "good.png", tmp_path / "damaged.jpg"
    Image.fromarray(textured_disc(1).image).save(good)
    damaged.write_bytes(b"\xff\xd8\xff no more")
    given = ["gone.jpg", damaged, good, "memory://bucket/none.jpg"]
    result = quick(given)
    assert result.names == [str(good)]
    assert list(result.rejected) == ["gone.jpg", str(damaged), "memory://bucket/none.jpg"]
    assert result.rejected["gone.jpg"] == "missing: No such file or directory"
    assert "gone.jpg: missing" in result._repr_html_()
    with pytest.raises(ImageRejectedError, match=r"gone\.jpg: No such file"):
        quick(given[:2])


def test_greys_alphas_bytes_and_folders(tmp_path):
    """Each is the image that the batch job makes of the same file."""
    picture = textured_disc(2, 60, 90).image
    grey = picture[..., 0]
    rgba = np.dstack([picture, np.where(grey > 99, 255, 0).astype(np.uint8)])
    (tmp_path / "photos" / "below").mkdir(parents=True)
    paths = [tmp_path / "photos" / name for name in ("a.png", "b.PNG", "below/c.png")]
    for path, array in zip(paths, (grey, rgba, picture), strict=True):
        Image.fromarray(array).save(path)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    of_files = quick(tmp_path / "photos")
    assert of_files.names == [str(path) for path in paths]
    arrays = [grey, rgba, torch.from_numpy(picture).movedim(2, 0)]
    for given in (arrays, [path.read_bytes() for path in paths], [grey[..., None], *arrays[1:]]):
        np.testing.assert_array_equal(quick(given).images, of_files.images)
    np.testing.assert_array_equal(quick(grey).images, of_files.images[:1])
    np.testing.assert_array_equal(quick(paths[1].read_bytes()).images, of_files.images[1:2])
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="empty is a folder without images"):
        quick(tmp_path / "empty")


def test_results_are_a_list_that_shows_itself(tmp_path):
    pictures = [textured_disc(seed, 40 + seed, 60).image for seed in range(20)]
    result = quick(pictures)
    assert [mask.shape for mask in result.masks] == [picture.shape[:2] for picture in pictures]
    third, last = result[2], result[-1]
    assert (third.names, last.names) == (["image 2"], ["image 19"])
    assert third.masks[0] is result.masks[2]
    assert third.errors.tolist() == [result.errors[2]]
    assert result["image 2"].names == third.names
    assert [one.names[0] for one in result] == result.names
    assert len(result[5:8]) == 3
    assert repr(result) == "<Segmentation: 20 images, 0 not usable>"
    with pytest.raises(IndexError):
        result[20]
    with pytest.raises(KeyError, match="is none of these images"):
        result["cat.jpg"]
    shown = result._repr_html_()
    assert "The first 16 of 20 images" in shown
    png = base64.b64decode(re.search(r"base64,([^\"]+)", shown)[1])
    with Image.open(io.BytesIO(png)) as image:
        assert image.size == result.plot().size


def test_saved_masks_are_named_like_the_photos_and_replace_nothing(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.fromarray(textured_disc(1, 50, 70).image).save(tmp_path / folder / "cat.png")
    result = quick([tmp_path / "a" / "cat.png", tmp_path / "b" / "cat.png"])
    files = result.save(tmp_path / "masks")
    assert [path.name for path in files] == ["cat.png", "cat-2.png"]
    for path, mask in zip(files, result.masks, strict=True):
        np.testing.assert_array_equal(decode_mask(path.read_bytes()), mask)
    before = files[0].read_bytes()
    with pytest.raises(SettingsError, match=r"cat\.png is there already"):
        result.save(tmp_path / "masks")
    assert files[0].read_bytes() == before


def test_masks_for_supervision():
    detections = pytest.importorskip("supervision", reason="supervision is not installed")
    mask = np.zeros((20, 30), np.bool_)
    mask[4:9, 10:25] = True
    result = quick(np.zeros((2, 20, 30, 3), np.uint8))
    full, none = replace(result, masks=[mask, np.zeros_like(mask)]).to_supervision()
    assert isinstance(full, detections.Detections)
    assert full.xyxy.tolist() == [[10, 4, 24, 8]]  # the last pixel is inside
    np.testing.assert_array_equal(full.mask, mask[None])
    assert len(none) == 0


def test_what_a_notebook_completes():
    assert {"segment", "load", "IEMSettings", "DecodeSettings"} <= set(dir(iem_batch))
    assert all(getattr(iem_batch, name) is not None for name in iem_batch.__all__)


def test_empty_mask_can_be_plotted():
    grey = np.full((SIZE_PX, SIZE_PX, 3), 7, np.uint8)
    result = quick(grey)
    assert result.plot().height > 0


def test_needs_neither_ray_nor_pyarrow():
    blocked = ["ray", "pyarrow", "fsspec", "matplotlib"]
    block = "".join(f"sys.modules[{name!r}] = None; " for name in blocked)
    code = (
        f"import sys; {block}import numpy; from iem_batch import segment; "
        "segment(numpy.zeros((9, 9, 3), numpy.uint8)).plot()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
