import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from PIL import Image

from iem_batch import segment
from iem_batch.errors import ImageRejectedError, SettingsError
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.run.plan import write_plan
from iem_batch.run.schema import decode_mask
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.fuse.settings import FuseMethod, FuseSettings
from iem_batch.steps.segment.settings import SegmentSettings
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
    block = re.search(
        r"^    from iem_batch import segment\n(    .*\n)+", (ROOT / "README.md").read_text(), re.M
    )
    lines = [line.removeprefix("    ") for line in block[0].splitlines()]
    assert len(lines) == 3
    for seed, name in enumerate(re.findall(r'"([^"]+\.jpg)"', block[0])):
        Image.fromarray(textured_disc(seed, 150, 200).image).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    namespace = {}
    exec("\n".join(lines), namespace)
    result = namespace["result"]
    assert result.masks.shape == (2, 128, 128)
    assert result.masks.dtype == np.bool_
    assert result.errors.shape == (2,)
    assert (result.errors > 0).all()
    assert result.plot().size[0] > 128


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
    assert (result.masks == result.masks[0]).all()
    assert 0 < result.masks[0].mean() < 1
    assert len(set(result.errors)) == 1
    assert result.names[:3] == [str(path), str(path), "image 2"]
    for whole in (np.stack([picture] * 2), torch.stack([channels_first] * 2)):
        assert (quick(whole).masks == result.masks[0]).all()
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
    np.testing.assert_array_equal(result.masks, masks)
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
    assert quick([]).masks.shape == (0, SIZE_PX, SIZE_PX)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (3, "images is of type int"),
        ([np.zeros((4, 4), np.uint8)], r"image 0 has the shape \(4, 4\)"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"must be \(H, W, 3\)"),
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
