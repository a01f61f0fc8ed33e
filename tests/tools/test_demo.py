import sys

import numpy as np
import pytest
from PIL import Image

from iem_batch.errors import BackendUnavailableError, ImageRejectedError, SettingsError
from iem_batch.iem.backends import BACKENDS
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
from iem_batch.metrics import as_labelled, confusion
from iem_batch.tools.demo import draw_composite, draw_shape, make_composites
from iem_batch.tools.settings import DemoSettings

pytest.importorskip("skimage")
pytest.importorskip("sklearn")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_composites(tmp_path_factory.mktemp("demo"), DemoSettings(num_images=6))


def _pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_shapes_are_one_piece_of_the_stated_area():
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    shapes = [draw_shape(150, 170, rng) for _ in range(200)]
    num_pieces = [cv2.connectedComponents(shape.astype(np.uint8))[0] - 1 for shape in shapes]
    assert num_pieces == [1] * 200
    areas = np.array([shape.mean() for shape in shapes])
    assert 0.05 < areas.min() < 0.15
    assert 0.35 < areas.max() < 0.55
    assert areas.std() > 0.08  # not one and the same


def test_composite_is_the_subject_inside_and_the_scene_outside():
    """X = F * M + B * (1 - M), without a soft edge: red inside the mask, blue outside."""
    red, blue = (Image.new("RGB", (300, 300), colour) for colour in ("red", "blue"))
    pixels, mask = draw_composite([red], [blue], np.random.default_rng(0))
    assert (pixels[mask][:, 2] == 0).all()
    assert (pixels[~mask][:, 0] == 0).all()
    assert (pixels[mask][:, 0] > 200).all()


def test_files(made):
    photos = sorted(path.name for path in made.photos.iterdir())
    assert len(photos) == 6 + made.num_photographs + made.num_broken
    assert [path.name for path in sorted(made.truth.iterdir())] == [
        f"composite_{index:05d}.png" for index in range(6)
    ]
    for path in made.truth.iterdir():
        photo = _pixels(made.photos / f"{path.stem}.jpg")
        assert photo.shape[:2] == _pixels(path).shape
        assert min(photo.shape[:2]) >= 128  # never enlarged


def test_truth_is_white_where_the_composite_changes(made):
    """A truth written for another index would go unnoticed in every count."""
    mask = _pixels(made.truth / "composite_00003.png")
    pixels = _pixels(made.photos / "composite_00003.jpg").astype(float)
    edge = np.abs(np.diff(pixels, axis=1)).sum(axis=2)
    is_outline = mask[:, 1:] != mask[:, :-1]
    assert edge[is_outline].mean() > 3 * edge[~is_outline].mean()


def test_broken_files_are_broken(made):
    reasons = set()
    for path in made.photos.glob("broken_*"):
        with pytest.raises(ImageRejectedError) as caught:
            decode(path.read_bytes(), DecodeSettings())
        reasons.add(caught.value.reason)
    assert reasons == {"truncated", "not_an_image", "empty"}


def test_same_seed_same_files_whatever_the_number(made, tmp_path):
    fewer = make_composites(tmp_path / "a", DemoSettings(num_images=2))
    other = make_composites(tmp_path / "b", DemoSettings(num_images=2, seed=1))
    name = "composite_00001.jpg"
    assert (fewer.photos / name).read_bytes() == (made.photos / name).read_bytes()
    assert (other.photos / name).read_bytes() != (made.photos / name).read_bytes()


def test_iem_finds_much_of_the_composites_but_not_all(made):
    """The demo shows nothing if every mask is perfect, or no better than the first mask."""
    photos = sorted(made.photos.glob("composite_*"))
    settings = DecodeSettings(size_px=64)
    image = np.stack([decode(path.read_bytes(), settings).pixels for path in photos])
    truths = [decode((made.truth / f"{path.stem}.png").read_bytes(), settings) for path in photos]
    truth = np.stack([decoded.pixels[..., 0] > 127 for decoded in truths])
    first = np.broadcast_to(centred_squares(64, 64, [39]), (len(photos), 1, 64, 64))
    half = IEMSettings(sigma_px=2.5, kernel_px=7)
    result = BACKENDS["torch"].load()(image, first, half, num_threads=1)
    iou = as_labelled(confusion(result.mask_BSHW[:, 0], truth))[:, 1]
    iou_first = as_labelled(confusion(first[:, 0], truth))[:, 1]
    assert iou_first.mean() + 0.1 < iou.mean() < 0.98


def test_missing_extra_names_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "skimage.data", None)
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(BackendUnavailableError, match=r"skimage.*pip install 'iem-batch\[demo\]'"):
        make_composites(tmp_path, DemoSettings(num_images=1))


def test_settings_are_checked():
    with pytest.raises(SettingsError, match=r"demo\.num_images is 0"):
        DemoSettings(num_images=0)
