import pytest

from iem_batch.errors import RunMismatchError, SettingsError, StepMissingError
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import CONFIG
from iem_batch.run.marker import adopt
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.report.other_run import open_other_run
from iem_batch.steps.report.step import PAGE
from tests.steps.evaluate.evaluations import write_both
from tests.steps.hand_made import prediction, row, square, write_shard
from tests.steps.jobs import job_at
from tests.steps.report.test_page import DECODE, HOSTILE, MASK, Page, plan_photos, segment


def plan_other(folder, photos):
    """Plan the same photos in shards of one, so that an image lies in another shard."""
    run = RunFolder(str(folder / "other"))
    adopt(run, "run")
    write_plan(run, open_source(str(photos)), PlanSettings(shard_size=1))
    return run


def segment_other(run):
    """a.png as in the page's run, b.png a half of it, c.png full, and one the page has not."""
    masks = {"a.png": MASK, "b.png": square(2, 2, 4), "c.png": square(0, 0, 8), "d.png": MASK}
    masks["b.png"][4:] = False
    for shard, (name, mask) in enumerate(masks.items()):
        write_both(run, shard, [row(name, mask, 0.4)])


@pytest.fixture
def runs(tmp_path):
    run, other = plan_photos(tmp_path), plan_other(tmp_path, tmp_path / "photos")
    segment(run)
    segment_other(other)
    run.write_bytes(
        CONFIG, b"iem:\n  iterations: 150\n  smoothing: true\nlimits:\n  max_attempts: 2\n"
    )
    other.write_bytes(CONFIG, b"iem:\n  iterations: 50\n  smoothing: true\n")
    return run, other


def compare(run, *others):
    return open_other_run(job_at(run, decode=DECODE, against=[other.url for other in others]))


def test_agreement_is_that_of_masks_of_the_same_image(runs):
    run, other = runs
    found = compare(run, other)
    assert found.step == "fuse"
    rows = run.read_table("fuse/part-00000.parquet")
    beside = found.beside(0, rows)
    assert dict(zip(*beside.select(["image_id", "iou"]).to_pydict().values(), strict=True)) == {
        "a.png": 1.0,
        "b.png": 0.5,  # 2 rows of 4
    }
    empty = found.beside(1, run.read_table("fuse/part-00001.parquet"))
    assert empty["iou"].to_pylist() == [0.0]  # an empty mask and a full one
    assert found.settings == {"iem.iterations": (150, 50)}


def test_last_masks_that_both_have_are_compared(runs):
    run, other = runs
    write_shard(run, "predict", 0, [prediction("a.png", MASK)])
    assert compare(run, other).step == "fuse"
    write_shard(other, "predict", 0, [prediction("a.png", square(2, 2, 2))])
    found = compare(run, other)
    assert found.label == "other run's SegNet"
    beside = found.beside(0, run.read_table("fuse/part-00000.parquet"))
    assert beside.select(["image_id", "iou"]).to_pylist() == [{"image_id": "a.png", "iou": 0.25}]


def test_masks_of_another_size_are_brought_to_that_of_the_run(runs):
    run, other = runs
    write_both(other, 0, [row("a.png", MASK.repeat(2, 0).repeat(2, 1))])
    beside = compare(run, other).beside(0, run.read_table("fuse/part-00000.parquet"))
    assert beside["iou"].to_pylist()[0] == 1


def test_page_of_both(runs):
    run, other = runs
    do(job_at(run, decode=DECODE, against=[other.url]), "report")
    page = Page(run.read_bytes(PAGE).decode())
    for text in (
        "both runs have IEM masks of 3 images, which agree by 50.0 % (IoU), 1 image of them",
        "other run, masks: 4 of 4 images have one",
        "3 of 3 photos with a mask of both runs",
        "iem.iterations15050",
    ):
        assert text in page.text.replace("\n", "")
    assert HOSTILE not in run.read_bytes("report/rows-0.js").decode()
    assert "other run's IEM mask of b.png" in [each["alt"] for each in page.all("img")]
    do(job_at(run, decode=DECODE), "report")
    assert "other run" not in run.read_bytes(PAGE).decode().partition("<script")[0]


def test_what_cannot_be_compared_is_refused(runs, tmp_path):
    run, other = runs
    with pytest.raises(SettingsError, match="2 are given"):
        compare(run, other, other)
    with pytest.raises(RunMismatchError, match="is no run: there is nothing"):
        compare(run, RunFolder(str(tmp_path / "nothing")))
    bare = plan_other(tmp_path / "bare", tmp_path / "photos")
    with pytest.raises(StepMissingError, match="run `iem-batch fuse` on both"):
        compare(run, bare)
    write_both(bare, 0, [row("z.png", MASK)])
    with pytest.raises(RunMismatchError, match="no image in common"):
        do(job_at(run, decode=DECODE, against=[bare.url]), "report")
    for each, fit in ((run, b"crop"), (other, b"squash")):
        each.write_bytes(CONFIG, b"decode:\n  fit: " + fit)
    with pytest.raises(RunMismatchError, match="decode.fit is crop in"):
        compare(run, other)
