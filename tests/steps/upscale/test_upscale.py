import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from iem_batch.cli import main
from iem_batch.errors import SettingsError
from iem_batch.images.geometry import mask_to_image
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.metrics import as_labelled, confusion
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.run.marks import read_mark
from iem_batch.run.schema import UPSCALED
from iem_batch.steps.upscale.settings import UpscaleSettings
from iem_batch.steps.upscale.upsampling import upsample
from tests.pictures import textured_disc

FLAGS = (
    *("--decode.size_px", "32", "--decode.fit", "crop", "--segment.backend", "torch"),
    *("--segment.init_shares", "[0.375, 0.625]"),
)
IEM = ("--iem.sigma_px", "2", "--iem.kernel_px", "5", "--iem.iterations", "20", "--local")


@pytest.fixture
def run(tmp_path):
    """A run of four wide pictures in two shards, segmented and fused."""
    for seed in range(4):
        path = tmp_path / "photos" / f"{seed}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(textured_disc(seed, 64, 97).image).save(path)
    source, folder = str(tmp_path / "photos"), str(tmp_path / "run")
    main(["segment", source, folder, *FLAGS, *IEM, "--plan.shard_size", "2"])
    main(["fuse", folder, "--local"])
    return RunFolder(folder)


def upscaled(run, *flags):
    main(["upscale", run.url, "--local", "--overwrite", *flags])
    tables = [run.read_table(part("upscale", shard)) for shard in (0, 1)]
    assert all(table.schema.equals(UPSCALED, check_metadata=True) for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def test_masks_have_the_size_of_their_photos(run):
    rows = upscaled(run)
    assert [row["image_id"] for row in rows] == [f"{seed}.png" for seed in range(4)]
    _, seen = mask_to_image(np.zeros((32, 32), np.bool_), 97, 64, "crop")
    for seed, row in enumerate(rows):
        label = decode_pixels(row["mask"]["bytes"])
        mask = label == 1
        assert mask.shape == (64, 97) == (row["height"], row["width"])
        box = np.s_[row["seen_top"] : row["seen_bottom"], row["seen_left"] : row["seen_right"]]
        np.testing.assert_array_equal(
            np.argwhere(seen)[[0, -1]].T, [[b.start, b.stop - 1] for b in box]
        )
        assert row["area"] == mask[box].mean()
        np.testing.assert_array_equal(label == 255, ~seen)
        assert not label[~mask & seen].any()
        truth = textured_disc(seed, 64, 97).mask
        assert as_labelled(confusion(mask[box][None], truth[box][None]))[0, 1] > 0.7
    assert run.exists("README.md")


def test_each_mask_is_that_of_its_own_photo(run, tmp_path):
    """Mixing rows up gives the mask of another photo."""
    photo = np.asarray(Image.open(tmp_path / "photos" / "3.png"))
    row = upscaled(run, "--upscale.method", "nearest")[3]
    stored = run.read_table(part("fuse", 1)).to_pylist()
    (wanted,) = [
        upsample(decode_mask(item["mask"]["bytes"]), photo, "nearest", "crop")[0]
        for item in stored
        if item["image_id"] == "3.png"
    ]
    np.testing.assert_array_equal(decode_pixels(row["mask"]["bytes"]) == 1, wanted)


def test_where_all_was_seen_a_mask_has_one_bit(run, tmp_path):
    folder = RunFolder(str(tmp_path / "squashed"))
    flags = [flag for flag in FLAGS if flag not in ("--decode.fit", "crop")]
    main(["segment", str(tmp_path / "photos"), folder.url, *flags, *IEM, "--plan.shard_size", "2"])
    main(["fuse", folder.url, "--local"])
    for seed, row in enumerate(upscaled(folder)):
        assert decode_pixels(row["mask"]["bytes"]).dtype == np.bool_
        seen = [row[f"seen_{side}"] for side in ("left", "top", "right", "bottom")]
        assert seen == [0, 0, 97, 64]
        mask = decode_mask(row["mask"]["bytes"])
        truth = textured_disc(seed, 64, 97).mask
        assert as_labelled(confusion(mask[None], truth[None]))[0, 1] > 0.7


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_rle_is_what_coco_tools_read(run):
    coco_mask = pytest.importorskip("pycocotools.mask")
    as_png = upscaled(run)
    for png, row in zip(as_png, upscaled(run, "--upscale.encoding", "rle"), strict=True):
        assert row["mask"] is None
        size = [row["height"], row["width"]]
        decoded = coco_mask.decode({"size": size, "counts": row["rle"].encode()})
        np.testing.assert_array_equal(decoded, decode_pixels(png["mask"]["bytes"]) == 1)


def test_photo_that_has_vanished_is_counted(run, tmp_path, capsys):
    (tmp_path / "photos" / "1.png").unlink()
    rows = upscaled(run)
    assert [row["image_id"] for row in rows] == ["0.png", "2.png", "3.png"]
    assert "1 image had a mask but can no longer be read" in capsys.readouterr().out
    assert read_mark(run, "upscale", 0).quarantined == 1


def test_photo_whose_id_comes_again_keeps_its_mask(tmp_path):
    """The repeat is rejected under the same id; it took the place of the good photo."""
    with tarfile.open(tmp_path / "photos.tar", "w") as tar:
        for name, seed in (("a.png", 0), ("b.png", 1), ("a.png", 2)):
            photo = io.BytesIO()
            Image.fromarray(textured_disc(seed, 64, 97).image).save(photo, "PNG")
            member = tarfile.TarInfo(name)
            member.size = photo.tell()
            photo.seek(0)
            tar.addfile(member, photo)
    folder = str(tmp_path / "run")
    main(["segment", str(tmp_path / "photos.tar"), folder, *FLAGS, *IEM])
    main(["fuse", folder, "--local"])
    main(["upscale", folder, "--local"])
    run = RunFolder(folder)
    rows = run.read_table(part("upscale", 0)).to_pylist()
    assert [row["image_id"] for row in rows] == ["a.png", "b.png"]
    mark = read_mark(run, "upscale", 0)
    assert (mark.planned, mark.ok, mark.quarantined) == (3, 2, 1)


def test_other_masks_need_their_step(run, capsys):
    with pytest.raises(SystemExit):
        main(["upscale", run.url, "--local", "--upscale.masks", "refine"])
    assert "refine first, which" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [{"method": "cubic"}, {"masks": "truth"}, {"encoding": "gif"}])
def test_wrong_settings_are_named(wrong):
    (name,) = wrong
    with pytest.raises(SettingsError, match=f"upscale.{name}"):
        UpscaleSettings(**wrong)
