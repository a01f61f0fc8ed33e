import numpy as np
import pytest
from PIL import Image

from iem_batch.errors import MaskError
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.folder import MaskFolder
from tests.steps.hand_made import SIZE, square, write_png

SETTINGS = DecodeSettings(size_px=SIZE)


@pytest.mark.parametrize(
    ("files", "image_id", "found"),
    [
        (["a.png"], "a.jpg", "a.png"),
        (["a.png"], "a.jpeg.jpg", None),
        (["a.b.png"], "a.b.jpg", "a.b.png"),
        (["a.png"], "a", "a.png"),
        (["x/a.png"], "x/a.jpg", "x/a.png"),
        (["a.png"], "x/y/a.jpg", "a.png"),
        (["x/a.png"], "a.jpg", None),
        (["x/a.png", "a.png"], "x/a.jpg", "x/a.png"),
        (["a.jpg", "a.png"], "a.jpg", "a.png"),
        (["a.bmp"], "a.jpg", "a.bmp"),
    ],
)
def test_find(tmp_path, files, image_id, found):
    for name in files:
        write_png(tmp_path / name, square(0, 0, 2))
    assert MaskFolder(str(tmp_path), SETTINGS).find(image_id) == found


def test_one_mask_for_two_images_is_refused(tmp_path):
    """x/1.jpg and y/1.jpg must not both be scored against 1.png without a word."""
    write_png(tmp_path / "1.png", square(0, 0, 2))
    folder = MaskFolder(str(tmp_path), SETTINGS)
    assert folder.find("x/1.jpg") == folder.find("x/1.jpg") == "1.png"
    with pytest.raises(MaskError, match=r"1\.png could be the mask of x/1\.jpg and of y/1\.jpg"):
        folder.find("y/1.jpg")


def test_two_masks_for_one_image_are_refused(tmp_path):
    for name in ("a.bmp", "a.gif"):
        write_png(tmp_path / name, square(0, 0, 2))
    with pytest.raises(MaskError, match=r"a\.bmp, a\.gif .* could each be the mask of a"):
        MaskFolder(str(tmp_path), SETTINGS).find("a.jpg")


def test_missing_folder(tmp_path):
    with pytest.raises(MaskError, match="there is no folder of masks .*/nothing"):
        MaskFolder(str(tmp_path / "nothing"), SETTINGS)


def test_at_its_own_size(tmp_path):
    """A truth that is resized when it is read cannot be compared at the image's own size."""
    pixels = np.random.default_rng(0).integers(0, 2, (37, 53), dtype=np.uint8) * 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    folder = MaskFolder(str(tmp_path), SETTINGS)
    assert folder.has("a.jpg")
    assert not folder.has("b.jpg")
    np.testing.assert_array_equal(folder.read("a.jpg", 53, 37), pixels == 255)


@pytest.mark.parametrize(
    ("width", "height"), [(106, 74), (160, 112), (27, 19), (27, 18), (530, 371), (53, 37)]
)
def test_copy_of_another_size(tmp_path, width, height):
    """Masks are often kept smaller than their images, with sides rounded or cut to whole pixels."""
    mask = np.zeros((37, 53), dtype=np.bool_)
    write_png(tmp_path / "a.png", mask)
    assert MaskFolder(str(tmp_path), SETTINGS).read("a.jpg", width, height).shape == (37, 53)


def test_black_mask_is_an_empty_truth(tmp_path):
    write_png(tmp_path / "a.png", square(0, 0, 0))
    assert not MaskFolder(str(tmp_path), SETTINGS).read("a.jpg", SIZE, SIZE).any()


def test_other_size_than_the_image(tmp_path):
    write_png(tmp_path / "a.png", square(0, 0, 2))
    folder = MaskFolder(str(tmp_path), SETTINGS)
    for width, height in ((9, 8), (8, 9), (16, 18), (4, 5)):
        wanted = rf"a\.png is 8x8, its image a\.jpg is {width}x{height}"
        with pytest.raises(MaskError, match=wanted):
            folder.read("a.jpg", width, height)


def test_broken_mask_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no png")
    with pytest.raises(MaskError, match=r"a\.png cannot be used as a mask: not_an_image"):
        MaskFolder(str(tmp_path), SETTINGS).read("a.jpg", SIZE, SIZE)
