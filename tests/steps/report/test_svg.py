import xml.etree.ElementTree as ElementTree

import numpy as np

from iem_batch.steps.report import svg


def test_same_numbers_give_the_same_bytes():
    """A date or a random id in the drawing would make every report differ."""
    edges, counts = np.arange(6.0), np.array([0, 3, 1, 0, 2])
    draw = [svg.histogram("a", edges, counts, "x", (2.5, "cut")) for _ in range(2)]
    assert draw[0] == draw[1]


def test_drawings_share_a_page():
    """The second drawing with the same ids would be clipped by the first one's frame."""
    first = svg.curves("first", [1, 2], [0.5, 0.3], [0.2, 0.6])
    second = svg.density(
        "second", np.arange(3.0), np.arange(4.0), np.array([[1, 0, 2], [0, 5, 0]]), ("x", "y")
    )
    ids = [
        element.get("id")
        for drawing in (first, second)
        for element in ElementTree.fromstring(drawing).iter()
        if element.get("id")
    ]
    assert len(ids) == len(set(ids))
    for drawing in (first, second):
        assert "#010101" not in drawing  # all stand-ins have become the page's colours
        assert "currentColor" in drawing
        assert "<style" not in drawing  # it would hold for the whole page


def test_bars_are_joined_until_they_can_be_read():
    counts = np.zeros(401, np.int64)
    counts[100:300] = 1
    edges, joined = svg._readable(np.arange(402.0), counts)
    assert len(joined) == 50
    assert joined.sum() == 200
    assert (edges[0], edges[-1]) == (100, 300)
    edges, joined = svg._readable(np.arange(402.0), np.eye(401, dtype=np.int64)[400])
    assert (edges.tolist(), joined.tolist()) == ([400, 401], [1])


def test_last_joined_bar_may_be_narrower():
    edges, joined = svg._readable(np.arange(108.0), np.ones(107, np.int64))
    assert joined.tolist() == [3] * 35 + [2]
    assert edges[-3:].tolist() == [102, 105, 107]
