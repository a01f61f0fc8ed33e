import numpy as np
import pytest

from iem_batch.errors import SettingsError
from iem_batch.steps.evaluate.baselines import grabcut, otsu


def picture(shape, top=20, left=24, height=24, width=20):
    """A red rectangle on green, both with some noise, and where it is."""
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    pixels = np.where(mask[..., None], (200, 40, 40), (40, 160, 40))
    return (pixels + rng.integers(-15, 16, (*shape, 3))).astype(np.uint8), mask


@pytest.mark.parametrize("side", [40, 60])
def test_grabcut_finds_the_rectangle(side):
    image, mask = picture((64, 64))
    assert (grabcut(image, side) == mask).mean() > 0.98
    np.testing.assert_array_equal(grabcut(image, side), grabcut(image, side))


def test_grabcut_reaches_the_edges_of_its_square():
    """A rectangle off by one cuts a row or a column off."""
    image, mask = picture((64, 64), top=16, left=16, height=32, width=32)
    np.testing.assert_array_equal(grabcut(image, 32), mask)


def test_grabcut_does_not_depend_on_what_ran_before():
    image, _ = picture((64, 64))
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    first = grabcut(noise, 40)
    grabcut(image, 40)
    np.testing.assert_array_equal(grabcut(noise, 40), first)


def test_grabcut_needs_background():
    with pytest.raises(SettingsError, match="grabcut_sides has 64, which leaves no background"):
        grabcut(picture((64, 64))[0], 64)


def test_otsu_finds_what_differs_from_the_frame():
    image, mask = picture((64, 48))
    np.testing.assert_array_equal(otsu(image), mask)
    # The object may be the darker or the brighter one; only the frame names the background.
    np.testing.assert_array_equal(otsu(255 - image), mask)


def test_otsu_of_one_colour():
    assert not otsu(np.full((8, 8, 3), 7, dtype=np.uint8)).any()
