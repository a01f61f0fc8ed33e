from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from iem_batch.errors import MaskError
from iem_batch.images.png import encode_mask
from iem_batch.mask_files.open import open_masks
from iem_batch.mask_files.parquet import MaskColumn
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.settings import EvaluateSettings
from tests.mask_files.test_folder import SETTINGS
from tests.steps.hand_made import SIZE, row, square, write_shard

MASKS = {f"{k}.jpg": square(k % 4, k // 4, 3) for k in range(10)}


@pytest.fixture
def column(tmp_path):
    """Writes masks as bytes in small row groups and opens them."""

    def write(masks=MASKS, name="truth.parquet", **columns):
        png = [encode_mask(mask) for mask in masks.values()]
        table = pa.table({"image_id": list(masks), "gt": png} | columns)
        pq.write_table(table, tmp_path / name, row_group_size=3)
        return str(tmp_path / name)

    return write


def test_masks_in_any_order(column):
    """A row counted from the start of the file instead of its group gives another image's mask."""
    truth = MaskColumn(column(), "gt", SETTINGS)
    assert truth.num_images == 10
    for image_id in ("9.jpg", "0.jpg", "4.jpg", "3.jpg", "3.jpg", "8.jpg"):
        assert truth.has(image_id)
        mask = truth.read(image_id, SIZE, SIZE)
        np.testing.assert_array_equal(mask, MASKS[image_id])
    assert not truth.has("10.jpg")


def test_ids_are_the_text_that_they_are_in_a_source(column):
    """Integers in the truth, text in the source; a NaN has made the integers of pandas floats."""
    for ids in (pa.array([100, 101, None]), pa.array([100.0, 101.0, float("nan")])):
        masks = dict(zip("abc", MASKS.values(), strict=False))
        truth = MaskColumn(column(masks, image_id=ids), "gt", SETTINGS)
        assert truth.num_images == 2
        np.testing.assert_array_equal(truth.read("101", SIZE, SIZE), MASKS["1.jpg"])
    dictionary = pa.array(list(MASKS)).dictionary_encode()
    assert MaskColumn(column(image_id=dictionary), "gt", SETTINGS).has("9.jpg")


def test_folder_such_as_another_runs_masks(tmp_path):
    run = RunFolder(str(tmp_path / "run"))
    write_shard(run, "segment", 0, [row("a.jpg", square(0, 0, 4))])
    write_shard(run, "segment", 1, [row("b.jpg", square(1, 1, 4))])
    truth = open_masks(str(tmp_path / "run" / "segment"), EvaluateSettings(), SETTINGS)
    np.testing.assert_array_equal(truth.read("b.jpg", SIZE, SIZE), square(1, 1, 4))


def test_masks_of_a_run_lie_in_its_square(tmp_path):
    """A squashed photo of 16 x 8 has each pixel twice; of a crop the ends are lost."""
    run = RunFolder(str(tmp_path / "run"))
    mask = square(1, 0, 4)
    write_shard(run, "segment", 0, [row("a.jpg", mask)])
    for fit, expected in (
        ("squash", mask.repeat(2, axis=1)),
        ("crop", np.pad(mask, ((0, 0), (4, 4)))),
    ):
        settings = replace(SETTINGS, size_px=SIZE, fit=fit)
        found = MaskColumn(run.url_of("segment"), "mask", settings).read("a.jpg", 16, 8)
        np.testing.assert_array_equal(found, expected)


def test_several_masks_of_an_image_are_refused(tmp_path):
    """segment/ of a run with several first masks: which of them would be the truth?"""
    run = RunFolder(str(tmp_path / "run"))
    rows = [row("a.jpg", square(0, 0, 4), side=2), row("a.jpg", square(0, 0, 4))]
    write_shard(run, "segment", 0, rows)
    with pytest.raises(MaskError, match=r"has a second mask of a\.jpg"):
        MaskColumn(str(tmp_path / "run" / "segment"), "mask", SETTINGS)


def test_what_cannot_be_read(column, tmp_path):
    url = column()
    with pytest.raises(MaskError, match=r"no column mask, but image_id, gt; the setting `column`"):
        open_masks(url, EvaluateSettings(), SETTINGS)
    (tmp_path / "no.parquet").write_bytes(b"PAR1")
    with pytest.raises(MaskError, match="cannot be read as Parquet"):
        open_masks(str(tmp_path / "no.parquet"), EvaluateSettings(), SETTINGS)
    url = column(number=list(range(10)))
    with pytest.raises(MaskError, match=r"number of 0\.jpg in .* holds int, not an encoded mask"):
        MaskColumn(url, "number", SETTINGS).read("0.jpg", SIZE, SIZE)
    with pytest.raises(MaskError, match=r"is 8x8, its image 0\.jpg is 9x8"):
        MaskColumn(url, "gt", SETTINGS).read("0.jpg", 9, SIZE)


def test_what_is_neither(tmp_path):
    (tmp_path / "truth.txt").write_text("")
    with pytest.raises(MaskError, match=r"truth\.txt is neither a folder of masks nor a \.json"):
        open_masks(str(tmp_path / "truth.txt"), EvaluateSettings(), SETTINGS)
    with pytest.raises(MaskError, match="there is no .*/nothing"):
        open_masks(str(tmp_path / "nothing"), EvaluateSettings(), SETTINGS)
