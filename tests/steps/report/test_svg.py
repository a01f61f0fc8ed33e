import xml.etree.ElementTree as ElementTree

import numpy as np

from iem_batch.steps.report import svg


def test_same_numbers_give_the_same_bytes():
    """A date or a random id in the drawing would make every report differ."""
    draw = [svg.curves("a", [1, 2], [0.5, 0.3], [0.2, 0.6]) for _ in range(2)]
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
