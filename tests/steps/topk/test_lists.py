"""Selecting without the images of a list, or among those of a list alone."""

import pytest

from iem_batch.cli import main
from iem_batch.errors import SettingsError
from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import adopt
from iem_batch.steps.do import do
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.topk.step import TABLE
from tests.steps.jobs import job_at
from tests.steps.topk.selecting import topk
from tests.steps.topk.test_topk import Row, write_rows

TWO_LINES = "two\nlines.png"


@pytest.fixture
def run(tmp_path):
    """Six images, b of them without a defined mask."""
    run = RunFolder(str(tmp_path / "run"))
    adopt(run, "run")
    rows = [
        *(Row("a", 0.9, area=0.8), Row("b", 0.0, status="empty"), Row("c", 0.8)),
        *(Row(TWO_LINES, 0.7), Row("d e ", 0.6), Row("é", 0.5)),
    ]
    write_rows(run, [rows[:2], rows[2:]], {})
    return run


def selected(run):
    return run.read_table(TABLE)["image_id"].to_pylist()


def write(path, text):
    path.write_bytes(text.encode())
    return str(path)


@pytest.mark.parametrize(
    ("exclude", "only", "expected", "num_unlisted", "num_unknown_ids"),
    [
        ("a\n", None, ["c", TWO_LINES], 1, 0),
        ("\ufeffc\r\na\r\na\r\n\r\n", None, [TWO_LINES, "d e "], 2, 0),  # as Windows writes
        ('"two\\nlines.png"', None, ["a", "c"], 1, 0),
        (None, "é\nd e \nnobody\nb\n", ["d e ", "é"], 3, 1),  # b is known, and has no mask
        ("a\nnobody\n", "é\na\nnobody", ["é"], 4, 2),
        ("", None, ["a", "c"], 0, 0),
        (None, "", [], 5, 0),
    ],
)
def test_lists(run, tmp_path, exclude, only, expected, num_unlisted, num_unknown_ids):
    texts = {"exclude": exclude, "only": only}
    files = {name: write(tmp_path / name, text) for name, text in texts.items() if text is not None}
    selection = topk(run, TopkSettings(k=2, **files))
    assert selected(run) == expected
    assert (selection.num_unlisted, selection.num_unknown_ids) == (num_unlisted, num_unknown_ids)
    assert selection.num_outside == 0
    assert selection.num_undefined == 1
    assert selection.takes_all == (5 - num_unlisted <= 2)


def test_what_is_excluded_is_not_counted_by_its_area_too(run, tmp_path):
    wanted = TopkSettings(k=9, max_area=0.5, exclude=write(tmp_path / "bad.txt", "c\n"))
    selection = topk(run, wanted)
    assert selected(run) == [TWO_LINES, "d e ", "é"]
    assert (selection.num_outside, selection.num_unlisted) == (1, 1)


def test_command_tells_what_it_does_not_know_and_sees_another_list(run, tmp_path, capsys):
    file = write(tmp_path / "bad.txt", "a\nnobody\nno.png\n")
    main(["topk", run.url, "-k", "2", "--exclude", file, "--local"])
    said = capsys.readouterr().out
    assert "topk: 1 image left out by the lists of topk.exclude and topk.only\n" in said
    assert "topk: 2 ids of topk.exclude and topk.only are of no image with a mask\n" in said
    assert selected(run) == ["c", TWO_LINES]
    write(tmp_path / "bad.txt", "c\n")
    with pytest.raises(SystemExit):
        main(["topk", run.url, "--local"])
    assert "exclude" in capsys.readouterr().err
    main(["topk", run.url, "--local", "--overwrite"])
    assert selected(run) == ["a", TWO_LINES]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, r"bad\.txt does not exist"),
        (b"a\n\xff\n", "no list of ids, one a line"),
        (b'a\n"b\n', "after 1 of them"),
    ],
)
def test_list_that_cannot_be_used(run, tmp_path, data, message):
    file = tmp_path / "bad.txt"
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(SettingsError, match=rf"topk\.exclude: .*{message}"):
        do(job_at(run, topk=TopkSettings(exclude=str(file))), "topk")


def test_list_in_a_store(run):
    lists = RunFolder("memory://lists/of")
    lists.write_bytes("good.txt", b"c\n")
    topk(run, TopkSettings(k=2, only="memory://lists/of/good.txt"))
    assert selected(run) == ["c"]
    lists.delete("good.txt")
