"""The step fuse on masks written by hand, and on those of a small run."""

import numpy as np
import pytest

from iem_batch.errors import RunMismatchError, SettingsError, SourceError, StepMissingError
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.run.marks import require_summary
from iem_batch.steps.do import do
from iem_batch.steps.fuse.settings import FuseSettings
from iem_batch.steps.fuse.step import build
from iem_batch.steps.segment.settings import SegmentSettings
from tests.steps.evaluate.evaluations import plan_noise
from tests.steps.hand_made import SIZE, row, square, write_shard
from tests.steps.jobs import job_at

DECODE = DecodeSettings(size_px=SIZE)
SQUARES = {side: square((SIZE - side) // 2, (SIZE - side) // 2, side) for side in (2, 4, 6)}
ERRORS = {"a.jpg": {6: 0.1, 4: 0.9, 2: 0.2}, "b.jpg": {2: 0.9, 6: 0.2, 4: 0.3}}


@pytest.fixture
def run(tmp_path):
    """Of two photos with three masks each, which are their first masks, in no order of sides."""
    run = RunFolder(str(tmp_path / "run"))
    plan_noise(run, tmp_path / "photos", list(ERRORS))
    rows = [
        row(image_id, SQUARES[side], error, side) | {"agreement": side / 10}
        for image_id, errors in ERRORS.items()
        for side, error in errors.items()
    ]
    write_shard(run, "segment", 0, rows)
    return run


def job_of(run, method, **others):
    return job_at(run, decode=DECODE, fuse=FuseSettings(method=method), **others)


def fuse(run, method):
    do(job_of(run, method, overwrite=True), "fuse")
    return run.read_table(part("fuse", 0)).to_pylist()


@pytest.mark.parametrize(
    ("method", "sides"),
    [
        ("dataset", [4, 4]),  # mean errors 0.55, 0.6 and 0.15
        ("image", [4, 2]),
        ("vote", [4, 4]),  # two of three have the middle one
    ],
)
def test_one_mask_of_three(run, method, sides):
    rows = fuse(run, method)
    assert [each["image_id"] for each in rows] == list(ERRORS)
    for each, side in zip(rows, sides, strict=True):
        mask = decode_mask(each["mask"]["bytes"])
        np.testing.assert_array_equal(mask, SQUARES[side])
        assert (each["status"], each["area"]) == ("ok", side**2 / SIZE**2)


@pytest.mark.parametrize("method", ["cut", "dataset"])
def test_vote_and_agreement_are_of_all_three(run, method):
    shares = sum(mask.astype(int) for mask in SQUARES.values())
    for each in fuse(run, method):
        vote = decode_pixels(each["vote"]["bytes"])
        np.testing.assert_array_equal(vote, 85 * shares)  # 255 / 3
        assert each["agreement"] == pytest.approx(0.4)
    assert require_summary(run, "fuse").facts == {"first_masks": 3}


def test_of_one_mask_there_is_no_agreement(run):
    rows = [row(name, SQUARES[4]) | {"agreement": None} for name in ERRORS]
    write_shard(run, "segment", 0, rows)
    assert [each["agreement"] for each in fuse(run, "vote")] == [None, None]


def test_error_is_that_of_the_mask(segmented):
    """Fusing changes no mask that it takes whole, so its error is what segment has measured."""
    run = segmented().run
    do(job_at(run, fuse=FuseSettings(method="image")), "fuse")
    num_rows = 0
    for shard in range(3):
        found = run.read_table(part("segment", shard)).to_pylist()
        for each in run.read_table(part("fuse", shard)).to_pylist():
            own = [mask for mask in found if mask["image_id"] == each["image_id"]]
            best = max(own, key=lambda mask: mask["error"])
            columns = ("uri", "width", "height", "mask", "error", "error_foreground", "area")
            assert {name: each[name] for name in columns} == {name: best[name] for name in columns}
            num_rows += 1
    assert num_rows == 12


def test_same_bytes_with_any_number_of_shards(segmented):
    tables = []
    for name, size in (("one", 12), ("four", 3)):
        run = segmented(size, name).run
        do(job_at(run), "fuse")
        shards = range(12 // size)
        tables.append([r for k in shards for r in run.read_table(part("fuse", k)).to_pylist()])
    assert tables[0] == tables[1]


def test_chosen_first_mask_is_said(run, capsys):
    fuse(run, "dataset")
    said = "fuse: the first mask of side 4 has the highest mean error"
    assert said in capsys.readouterr().out
    fuse(run, "image")
    assert "highest mean error" not in capsys.readouterr().out


def test_another_method_is_refused(run):
    fuse(run, "vote")
    with pytest.raises(RunMismatchError, match="fuse.method: 'vote' before, 'cut' now"):
        do(job_of(run, "cut"), "fuse")


def test_another_engine_is_refused(run):
    """Its errors may differ in the last bits, so shards done later would not match."""
    fuse(run, "vote")
    with pytest.raises(RunMismatchError, match="backend: 'torch' before, 'reference' now"):
        do(job_of(run, "vote", segment=SegmentSettings(backend="reference")), "fuse")


def test_needs_the_masks_of_segment(tmp_path):
    run = RunFolder(str(tmp_path / "new"))
    plan_noise(run, tmp_path / "photos", ["a.jpg"])
    with pytest.raises(StepMissingError, match="fuse needs segment first"):
        do(job_of(run, "cut"), "fuse")


def test_photos_that_have_come_back(run):
    """Without masks they would be lost: neither fused nor in quarantine."""
    rejected = schema.quarantine_row("b.jpg", "/photos/b.jpg", "empty", "no bytes")
    write_shard(run, "segment", 0, [row("a.jpg", SQUARES[4])], [rejected])
    with pytest.raises(SourceError, match=r"1 image of .* have come back .* the first is b\.jpg"):
        build(job_of(run, "cut").with_engine()).load(0)


def test_photo_that_has_gone(run, tmp_path):
    (tmp_path / "photos/b.jpg").unlink()
    assert [each["image_id"] for each in fuse(run, "cut")] == ["a.jpg"]
    summary = require_summary(run, "fuse")
    assert (summary.planned, summary.ok, summary.quarantined) == (2, 1, 1)


def test_method_that_does_not_exist():
    with pytest.raises(SettingsError, match="fuse.method is 'mean'; it must be one of cut, vote"):
        FuseSettings(method="mean")
