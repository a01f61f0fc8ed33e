import numpy as np
import pytest

from iem_batch.steps.evaluate.baselines import BASELINES, centre_square, grabcut, otsu, squares_cut


def picture(shape, top=20, left=24, height=24, width=20):
    """A red rectangle on green, both with some noise, and where it is."""
    rng = np.random.default_rng(0)
    mask = np.zeros(shape, dtype=np.bool_)
    mask[top : top + height, left : left + width] = True
    pixels = np.where(mask[..., None], (200, 40, 40), (40, 160, 40))
    return (pixels + rng.integers(-15, 16, (*shape, 3))).astype(np.uint8), mask


@pytest.mark.parametrize("share", [40 / 64, 60 / 64])
def test_grabcut_finds_the_rectangle(share):
    image, mask = picture((64, 64))
    assert (grabcut(image, share) == mask).mean() > 0.98
    np.testing.assert_array_equal(grabcut(image, share), grabcut(image, share))


def test_grabcut_reaches_the_edges_of_its_square():
    """A rectangle off by one cuts a row or a column off."""
    image, mask = picture((64, 64), top=16, left=16, height=32, width=32)
    np.testing.assert_array_equal(grabcut(image, 32 / 64), mask)


def test_grabcut_does_not_depend_on_what_ran_before():
    image, _ = picture((64, 64))
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    first = grabcut(noise, 40 / 64)
    grabcut(image, 40 / 64)
    np.testing.assert_array_equal(grabcut(noise, 40 / 64), first)


def test_centre_square_is_the_papers():
    """Of 128 pixels the authors' H // 5 .. H - H // 5."""
    mask = np.zeros((128, 128), dtype=np.bool_)
    mask[25:103, 25:103] = True
    np.testing.assert_array_equal(centre_square(np.zeros((128, 128, 3), np.uint8)), mask)


def test_squares_alone_give_the_rectangle_with_a_cut():
    image, mask = picture((64, 64))
    assert (squares_cut(image) == mask).mean() > 0.98


@pytest.mark.parametrize("side", [2, 3, 8])
@pytest.mark.parametrize("name", [name for name in BASELINES if name != "all_foreground"])
def test_tiny_images_have_some_background(name, side):
    """120 of 128 are 8 of 8 pixels when rounded: GrabCut needs some that it knows to be outside."""
    noise = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    mask = BASELINES[name].draw(noise)
    assert mask.shape == (side, side)
    assert not mask.all()


def test_otsu_finds_what_differs_from_the_frame():
    image, mask = picture((64, 48))
    np.testing.assert_array_equal(otsu(image), mask)
    # The object may be the darker or the brighter one; only the frame names the background.
    np.testing.assert_array_equal(otsu(255 - image), mask)


def test_otsu_of_one_colour():
    assert not otsu(np.full((8, 8, 3), 7, dtype=np.uint8)).any()
