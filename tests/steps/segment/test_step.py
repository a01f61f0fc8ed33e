from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import BackendUnavailableError, NoImagesError, SettingsError
from iem_batch.iem.backends import BACKENDS, load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.images.png import decode_mask
from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.run.marks import read_mark
from iem_batch.run.plan import read_plan
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.steps.segment.step import SegmentStep, _agreement
from tests.calling import Call
from tests.pictures import Picture
from tests.steps.jobs import IEM, SIZE_PX

Segmented = Callable[..., SegmentStep]


def rows_of(run: RunFolder, num_shards: int) -> list[dict[str, Any]]:
    return [
        row
        for shard in range(num_shards)
        for row in run.read_table(part("segment", shard)).to_pylist()
    ]


def test_one_row_for_each_image_and_first_mask(segmented: Segmented) -> None:
    """Catches a repeat/tile mix-up, which gives every image its neighbour's side."""
    step = segmented(shard_size=5)
    rows = rows_of(step.run, 3)
    ids = [row["image_id"] for row in rows]
    assert ids == sorted(ids)
    assert len(set(ids)) == 12
    assert [row["init_side"] for row in rows] == [12, 20] * 12


def test_rows_hold_what_the_engine_gave(segmented: Segmented) -> None:
    """Catches a mask or an error stored beside the wrong image."""
    step = segmented(shard_size=5)
    loaded = step.load(1)
    first_mask_SHW = centred_squares(SIZE_PX, SIZE_PX, (12, 20))
    result = load_backend("torch")(
        loaded.image_BHW3,
        np.broadcast_to(first_mask_SHW, (5, *first_mask_SHW.shape)),
        IEM,
        num_threads=1,
    )
    table = step.run.read_table(part("segment", 1))
    assert table.schema.equals(schema.MASKS, check_metadata=True)
    for index, row in enumerate(table.to_pylist()):
        image, side = divmod(index, 2)
        mask_HW = decode_mask(row["mask"]["bytes"])
        np.testing.assert_array_equal(mask_HW, result.mask_BSHW[image, side])
        assert row["error"] == result.error_BS[image, side]
        assert row["area"] == pytest.approx(mask_HW.mean())
        assert (row["width"], row["height"]) == (80, 64)


def test_agreement_is_the_mean_iou_with_the_others() -> None:
    """Two images of 1 x 4 pixels with three masks; IoUs of the first: 1/2, 0 and 0."""
    masks = [
        [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]],
        [[0, 0, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]],
    ]
    mask_BSHW = np.array(masks, dtype=np.bool_)[:, :, None, :]
    expected = [0.25, 0.25, 0.0, 0.5, 0.5, 0.0]  # the IoU of two empty masks is 1
    np.testing.assert_array_equal(_agreement(mask_BSHW), expected)
    nothing = _agreement(mask_BSHW[:, :1])
    assert nothing.to_pylist() == [None, None]


def test_masks_do_not_depend_on_the_shard_size(segmented: Segmented) -> None:
    """Catches results that depend on the batch an image happens to be in."""
    few = rows_of(segmented(shard_size=12, name="few").run, 1)
    many = rows_of(segmented(shard_size=1, name="many").run, 12)
    assert few == many


def test_doing_a_shard_again_gives_the_same_bytes(segmented: Segmented) -> None:
    """Catches a clock, a host or a random order in the data files."""
    first, second = segmented(name="first").run, segmented(name="second").run
    for shard in range(3):
        assert first.read_bytes(part("segment", shard)) == second.read_bytes(part("segment", shard))


def test_rejected_images_are_in_quarantine_and_nowhere_else(
    segmented: Segmented, picture_folder: Path
) -> None:
    (picture_folder / "disc_003.jpg").write_bytes(b"")
    run = segmented(shard_size=5).run
    assert [row["image_id"] for row in run.read_table(part("quarantine", 0)).to_pylist()] == [
        "disc_003.jpg"
    ]
    assert run.names("quarantine") == ["part-00000.parquet"]
    assert "disc_003.jpg" not in {row["image_id"] for row in rows_of(run, 3)}
    assert read_mark(run, "segment", 0).quarantined == 1


def test_a_shard_without_a_single_good_image(segmented: Segmented, picture_folder: Path) -> None:
    """Catches an engine or a table that cannot take zero images."""
    for file in picture_folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(NoImagesError, match="not one of 12 images could be used: 12 empty"):
        segmented(shard_size=12)
    run = RunFolder(str(picture_folder.parent / "run"))
    assert rows_of(run, 1) == []
    assert read_mark(run, "segment", 0).facts["sides"]["12"] == {"count": 0, "sum_error": 0.0}


def test_marks_sum_the_errors_of_each_side(segmented: Segmented) -> None:
    """Catches a choice of the data set's first mask made from another side's errors."""
    step = segmented(shard_size=12)
    rows = rows_of(step.run, 1)
    sides = read_mark(step.run, "segment", 0).facts["sides"]
    for side in (12, 20):
        total = sum(row["error"] for row in rows if row["init_side"] == side)
        assert sides[str(side)] == {"count": 12, "sum_error": pytest.approx(total)}


def test_masks_move_towards_the_discs(segmented: Segmented, pictures: list[Picture]) -> None:
    """Catches images handed over in another channel order, turned or with the sides swapped."""
    truth = {
        # 64 x 80 goes to 32 x 40 and loses 4 columns left and right.
        picture.name: picture.mask[1::2, 1::2][:, 4:36]
        for picture in pictures
    }
    squares = dict(zip((12, 20), centred_squares(SIZE_PX, SIZE_PX, (12, 20)), strict=True))
    before, after = [], []
    for row in rows_of(segmented().run, 3):
        disc = truth[row["image_id"].partition(".")[0]]
        before.append(iou(squares[row["init_side"]], disc))
        after.append(iou(decode_mask(row["mask"]["bytes"]), disc))
    assert np.mean(after) > np.mean(before) + 0.1


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_everything_that_changes_masks_is_in_the_record(segmented: Segmented) -> None:
    step = segmented()
    record = step.depends_on
    assert record["plan"] == read_plan(step.run).digest
    assert record["segment"]["init_shares"] == (0.375, 0.625)
    assert record["segment"]["backend"] == "torch"
    assert record["engine"] is None
    assert record["iem"]["iterations"] == 8
    assert record["decode"]["size_px"] == SIZE_PX


@pytest.mark.parametrize("shares", [(), (0.0,), (1.0,), (0.5, 0.5)])
def test_bad_shares_are_refused(shares: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="segment.init_shares is"):
        SegmentSettings(init_shares=shares)


def test_a_worker_without_the_engine_says_so(
    segmented: Segmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = segmented()
    monkeypatch.setitem(
        BACKENDS, "torch", replace(BACKENDS["torch"], unavailable=lambda: "no compiler")
    )
    with pytest.raises(BackendUnavailableError, match="torch cannot run here: no compiler"):
        step.open_engine(1)


def test_images_of_which_8_bits_leave_little_are_told_in_a_line(
    tmp_path: Path, picture_folder: Path, local: Call
) -> None:
    ramp = np.linspace(200, 3000, 64 * 80).astype(np.uint16).reshape(64, 80)
    for name in ("a.png", "b.tif"):
        Image.fromarray(ramp).save(picture_folder / name)
    flags = ["--segment.init_shares=[0.4]", "--iem.iterations", "1", "--shard-size", "5"]
    for run, more, line in (
        ("full", [], "segment: 2 images of 16-bit grey keep fewer than 64 of their levels"),
        ("percentile", ["--decode.range", "percentile"], ""),
    ):
        status, output, error = local("segment", picture_folder, tmp_path / run, *flags, *more)
        assert status == 0, error
        assert line in output
        assert ("16-bit" in output) == bool(line)
