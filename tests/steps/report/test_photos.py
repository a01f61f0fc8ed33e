"""The files beside the page: rows of the list, and pictures."""

import io
import json
from urllib.parse import unquote
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

from iem_batch.iem.settings import IEMSettings
from iem_batch.run.folder import RunFolder
from iem_batch.steps.report import photos
from iem_batch.steps.report.gallery import Sources
from iem_batch.steps.report.settings import ReportSettings
from iem_batch.steps.report.survey import survey
from iem_batch.steps.topk.labels import Labels
from iem_batch.steps.topk.scores import SCORES
from tests.steps.evaluate.evaluations import write_both
from tests.steps.hand_made import SIZE, row, square
from tests.steps.report.test_page import (
    DECODE,
    HOSTILE,
    Page,
    do_everything,
    planned,
    report,
    segment,
)

__all__ = ["planned"]


def written(run, name, function):
    """What a file beside the page hands to a function of the page's script."""
    text = run.read_bytes(f"report/{name}").decode("ascii")
    assert text.startswith(f"{function}(")
    assert text.endswith(")\n")
    *numbers, values = json.loads(f"[{text[len(function) + 1 : -2]}]")
    return [*numbers, json.loads(values)]


def test_files_of_the_list(planned, tmp_path):
    do_everything(planned, tmp_path)
    report(planned)
    (rows,) = written(planned, "rows-0.js", "addRows")
    assert rows == [
        [HOSTILE, 0.9, 0.9, 0.25, 0, pytest.approx(1 / 7), "ok"],
        ["a.png", 0.7, 0.7, 0.25, 1, 1.0, "ok"],
        ["b.png", 0.5, 0.5, 0.25, None, None, "ok"],
        ["c.png", 0.0, 0.0, 0.0, None, None, "empty"],
    ]
    numbers, pictures = zip(
        *(written(planned, f"photos/{place}.js", "addPictures") for place in range(4)), strict=True
    )
    assert numbers == (0, 1, 2, 3)
    assert [list(each["masks"]) for each in pictures] == [
        ["truth", "IEM", "SegNet", "SegNet, refined"],
        ["truth", "IEM", "SegNet", "SegNet, refined"],
        ["IEM"],
        ["IEM"],
    ]
    assert pictures[0]["size"] == [SIZE, SIZE]
    assert unquote(pictures[0]["file"]) == f"file://{tmp_path}/photos/{HOSTILE}"
    shade = Image.open(io.BytesIO(urlopen(pictures[0]["masks"]["truth"]).read()))
    alpha = np.asarray(shade.convert("RGBA"))[..., 3]
    np.testing.assert_array_equal(alpha, np.where(square(0, 0, 4), 0, 255))


def test_files_of_a_longer_list_do_not_stay(planned):
    """They would be taken for photos of this run when the folder is copied or served."""
    segment(planned)
    report(planned)
    assert planned.exists("report/photos/1.js")
    html, _ = report(planned, num_photos=1)
    assert not planned.exists("report/photos/1.js")
    assert [row[0] for row in written(planned, "rows-0.js", "addRows")[0]] == [HOSTILE]
    assert "1 of 4 photos with a mask, those of highest score" in Page(html).text


def test_rows_and_pictures_are_in_the_same_order(tmp_path, monkeypatch):
    """Whatever shards they are of, and into how many files they go."""
    monkeypatch.setattr(photos, "ROWS_PER_FILE", 25)
    run = RunFolder(str(tmp_path))
    rows = [row(f"{n:02d}.png", square(n % 4, 0, 4), 1 - n / 100) for n in range(60)]
    write_both(run, 0, rows[0::2])
    write_both(run, 1, rows[1::2])
    found = survey(Labels(place=run, step="fuse"), [0, 1], SCORES["error"], ReportSettings())
    sources = Sources(run=run, place=run, source=None, decode=DECODE, iem=IEMSettings(), truth=None)
    listed = photos.list_photos(sources, found.listed)
    assert listed.num_without_photo == 60
    for name, content in listed.files.items():
        run.write_bytes(name, content)
    files = [written(run, f"rows-{n}.js", "addRows")[0] for n in range(listed.num_row_files)]
    assert [len(each) for each in files] == [25, 25, 10]
    assert len(listed.files) == 3 + 60
    for place, (image_id, *_) in enumerate(facts for each in files for facts in each):
        assert image_id == f"{place:02d}.png"
        _, own = written(run, f"photos/{place}.js", "addPictures")
        png = io.BytesIO(urlopen(own["masks"]["IEM"]).read())
        alpha = np.asarray(Image.open(png).convert("RGBA"))[..., 3]
        np.testing.assert_array_equal(alpha == 0, square(place % 4, 0, 4))
