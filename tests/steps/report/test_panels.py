import numpy as np

from iem_batch.steps.report.panels import cut_out
from tests.steps.hand_made import square


def test_cut_out_keeps_the_inside_and_dims_the_outside():
    photo = np.full((8, 8, 3), 100, dtype=np.uint8)
    picture = cut_out(photo, square(2, 2, 4))
    assert picture[3, 3].tolist() == [100, 100, 100]
    assert picture[0, 0].tolist() == [20, 20, 20]
    is_line = (picture != picture[..., :1]).any(axis=2)
    ring = square(2, 2, 4) & ~square(3, 3, 2)
    np.testing.assert_array_equal(is_line, ring)


def test_cut_out_draws_no_line_along_the_image_border():
    """A full mask has no outline; a frame around it would look like one."""
    photo = np.full((8, 8, 3), 100, dtype=np.uint8)
    assert (cut_out(photo, np.ones((8, 8), dtype=np.bool_)) == 100).all()


def test_cut_out_without_photo_is_white_on_black():
    picture = cut_out(None, square(2, 2, 4))
    assert (picture == square(2, 2, 4)[..., None] * 255).all()
