import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from iem_batch.errors import StepMissingError
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import CONFIG
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.report.settings import ReportSettings
from iem_batch.steps.report.step import PAGE
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.train.layout import HISTORY
from tests.steps.evaluate.evaluations import evaluate, write_both
from tests.steps.hand_made import SIZE, prediction, row, square, write_png, write_shard
from tests.steps.jobs import job_at

HOSTILE = '<script>alert("1")</script>.png'
DECODE = DecodeSettings(size_px=SIZE)
MASK = square(2, 2, 4)


class Page(HTMLParser):
    """What a browser and a screen reader would find."""

    def __init__(self, html):
        super().__init__()
        self.tags = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def all(self, *names):
        return [attributes for tag, attributes in self.tags if tag in names]


@pytest.fixture
def planned(tmp_path):
    return plan_photos(tmp_path)


def plan_photos(folder, *more):
    """Plan a run of five photos, one of them with a hostile name, and more."""
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png", "c.png", "broken.png", HOSTILE, *more):
        path = folder / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)).save(path)
    run = RunFolder(str(folder / "run"))
    write_plan(run, open_source(str(folder / "photos")), PlanSettings(shard_size=3))
    return run


def segment(run, shards=(0, 1), more=()):
    rows = [row(HOSTILE, MASK, 0.9), row("a.png", MASK, 0.7), row("b.png", MASK, 0.5)]
    rejected = {"image_id": "broken.png", "uri": "", "error_class": "truncated"}
    rejected["message"] = "no <b>end</b> of file"
    if 0 in shards:
        write_both(run, 0, rows)
    if 1 in shards:
        empty = row("c.png", square(0, 0, 0), 0)
        write_both(run, 1, [empty, *more], [rejected])


def history(foreground):
    """Two epochs or more, whose loss falls and IoU rises, with these shares of foreground."""
    return [
        {"epoch": n, "loss": 1 / n, "iou": 1 - 0.5 / n, "foreground": share, "seconds": 20.5}
        for n, share in enumerate(foreground, 1)
    ]


def select(run, k):
    settings = TopkSettings(k=k, by="error")
    do(job_at(run, decode=DECODE, topk=settings), "topk")


def do_everything(run, tmp_path, more=()):
    segment(run, more=more)
    select(run, k=2)
    for step in ("predict", "refine"):
        write_shard(run, step, 0, [prediction(HOSTILE, MASK), prediction("a.png", MASK)])
    write_png(tmp_path / "truth" / "a.png", MASK)
    write_png(tmp_path / "truth" / HOSTILE, square(0, 0, 4))
    evaluate(run, MaskFolder(str(tmp_path / "truth"), DECODE), None, DECODE, baselines=True)
    run.write_json(HISTORY, history([0.3, 0.3]))
    run.write_bytes(CONFIG, b"topk:\n  k: 2 # <i>\n")


def report(run, **settings):
    do(job_at(run, decode=DECODE, report=ReportSettings(**settings)), "report")
    html = run.read_bytes(PAGE).decode()
    return html, Page(html)


def test_a_collapsed_training_is_warned_of(planned, tmp_path):
    do_everything(planned, tmp_path)
    _, page = report(planned)
    learned = "2 epochs in 41 s: loss from 1.000 to 0.500, IoU with its labels from 50 % to 75 %."
    assert learned in page.text
    assert "WARNING" not in page.text
    planned.write_json(HISTORY, history([0.5, 0.9999, 0.0, 0.5]))
    _, page = report(planned)
    assert (
        "WARNING: nearly every pixel was predicted to be of one side in 2 of them, the last time "
        "in epoch 3: background." in page.text
    )


def test_everything_is_there(planned, tmp_path):
    do_everything(planned, tmp_path)
    _, page = report(planned)
    for title in (
        "Against ground truth",
        "masks: 4 of 5 images have one; those of an image from other first masks agree by 100 %",
        "not usable: 1 image (1 truncated), by name in",
        "At random",
        "4 of 4 photos with a mask, by error.",
        "Training of SegNet",
        "Error and IoU",
        "Quarantine",
        "Time",
        "All settings of the run",
    ):
        assert title in page.text
    alts = [attributes["alt"] for attributes in page.all("img")]
    for label in (
        "photo a.png",
        "IEM mask of a.png",
        "SegNet mask of a.png",
        "truth mask of a.png",
        "a.png, each side of the IEM mask inpainted from the other",
    ):
        assert label in alts
    assert "truth mask of b.png" not in alts
    assert "c.png, each side of the IEM mask inpainted from the other" not in alts
    assert "error 0.700 · area 25 % · IoU 100 % · rank 1" in page.text
    assert "error 0.500 · area 25 % · not selected" in page.text
    assert "empty mask" in page.text
    assert (
        "2 epochs in 41 s: loss from 1.000 to 0.500, IoU with its labels from 50 % to 75 %"
        in page.text
    )


def test_names_and_messages_are_escaped(planned, tmp_path):
    """An image named <script> must not run in the reader's browser, nor break out of an alt."""
    do_everything(planned, tmp_path)
    _, page = report(planned)
    assert len(page.all("script")) == 2  # the page's own, and the facts for it
    assert not page.all("b", "i")
    assert HOSTILE in page.text
    assert f"photo {HOSTILE}" in [attributes["alt"] for attributes in page.all("img")]
    assert "no <b>end</b> of file" in page.text
    assert {key for attributes in page.all("img") for key in attributes} == {
        "src",
        "alt",
        "width",
        "height",
    }


def test_page_needs_no_network_and_reads_well(planned, tmp_path):
    do_everything(planned, tmp_path)
    html, page = report(planned)
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in page.all("img"))
    assert not page.all("link", "iframe", "object", "embed")
    assert "url(http" not in html
    assert "@import" not in html
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for attributes in page.all("a"):
        target = attributes["href"]
        assert target.startswith("../") or target.removeprefix("#") in ids
    for _, attributes in page.tags:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    levels = [int(tag[1]) for tag, _ in page.tags if tag in ("h1", "h2", "h3")]
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert all("scope" in attributes for attributes in page.all("th"))


def test_links_lead_to_what_is_there(planned, tmp_path):
    do_everything(planned, tmp_path)
    _, page = report(planned)
    links = {attributes["href"] for attributes in page.all("a")}
    for link in links:
        if link.startswith("../"):
            assert (tmp_path / "run" / "report" / link).resolve().exists()
    assert "../export/" not in links


def test_same_run_gives_the_same_page(planned, tmp_path):
    do_everything(planned, tmp_path)
    assert report(planned)[0] == report(planned)[0]


def test_score_of_another_mask_is_not_shown(planned, tmp_path):
    """evaluate may have run before the masks were fused again."""
    do_everything(planned, tmp_path)
    write_both(planned, 0, [row(HOSTILE, MASK, 0.9), row("a.png", MASK, 0.71)])
    _, page = report(planned)
    assert "error 0.900 · area 25 % · IoU" in page.text
    assert "error 0.710 · area 25 % · rank 1" in page.text


def test_plan_alone(planned):
    _, page = report(planned)
    assert "There are no masks yet" in page.text
    assert not page.all("img", "svg")


def test_no_plan(tmp_path):
    with pytest.raises(StepMissingError, match="run `iem-batch plan`"):
        report(RunFolder(str(tmp_path)))


def test_run_in_the_middle(planned):
    segment(planned, shards=[1])
    _, page = report(planned)
    counts = dict(zip(*(_texts(planned, tag) for tag in ("dt", "dd")), strict=True))
    assert counts["images planned"] == "5"
    assert counts["with a mask"] == "1"
    assert counts["not done yet"] == "3"
    assert counts["shards of 2 done"] == "1"


def _texts(run, tag):
    html = run.read_bytes(PAGE).decode()
    return [part.partition(">")[2].partition("<")[0] for part in html.split(f"<{tag}")[1:]]


def test_every_image_rejected(planned):
    row_ = {"image_id": "a.png", "uri": "", "error_class": "empty", "message": "no bytes"}
    write_both(planned, 0, [], [row_])
    _, page = report(planned)
    assert "Quarantine" in page.text


def test_photos_and_truth_are_gone(planned, tmp_path):
    do_everything(planned, tmp_path)
    shutil.rmtree(tmp_path / "photos")
    shutil.rmtree(tmp_path / "truth")
    _, page = report(planned)
    assert "4 photos cannot be shown" in page.text
    assert "The ground truth is not shown" in page.text
    alts = {attributes["alt"].partition(" mask of ")[0] for attributes in page.all("img")}
    assert alts == {"vote", "IEM", "SegNet", "SegNet, refined"}


def test_one_photo_is_gone(planned, tmp_path):
    do_everything(planned, tmp_path)
    (tmp_path / "photos" / "a.png").unlink()
    _, page = report(planned)
    alts = [attributes["alt"] for attributes in page.all("img")]
    assert "photo b.png" in alts
    assert "photo a.png" not in alts
    assert "IEM mask of a.png" in alts
