"""What the pixels of a mask mean, and what is refused because nobody can tell."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iem_batch.errors import MaskError, SettingsError
from iem_batch.images.geometry import FOREGROUND, VOID
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.picture import Meaning, read_labels
from iem_batch.steps.evaluate.settings import EvaluateSettings
from tests.calling import Call
from tests.pictures import textured_disc, write_folder, write_masks

THING = np.zeros((12, 16), np.bool_)
THING[3:9, 4:11] = True
RING = np.zeros_like(THING)
RING[2:10, 3:12] = True
RING &= ~THING
LABELS = np.where(THING, FOREGROUND, np.where(RING, VOID, 0))
WHITE_ON_BLACK = np.where(THING, 255, 0).astype(np.uint8)

VOC = [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128], [128, 0, 128]]
VOC += [[0, 128, 128], [128, 128, 128], [64, 0, 0], [192, 0, 0], [64, 128, 0], [192, 128, 0]]
VOC += [[64, 0, 128], [192, 0, 128], [64, 128, 128], [192, 128, 128], [0, 64, 0], [128, 64, 0]]
VOC += [[0, 192, 0], [128, 192, 0], [0, 64, 128]]
"""The 21 colours of the classes, as the devkit prints them; void is 224, 224, 192."""

Picture = Image.Image


def values(thing: int, ring: int = 0, rest: int = 0) -> np.ndarray:
    return np.where(THING, thing, np.where(RING, ring, rest))


def grey(thing: int, ring: int = 0, rest: int = 0) -> Picture:
    return Image.fromarray(values(thing, ring, rest).astype(np.uint8))


def voc(thing: int, ring: int = 0) -> Picture:
    image = grey(thing, ring)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(VOC)], palette[255] = VOC, (224, 224, 192)
    image.putpalette(palette.ravel().tolist())
    return image


def labels(image: Picture, image_format: str = "PNG", **options: Any) -> np.ndarray:
    meaning = Meaning(
        **{name: options.pop(name) for name in ("foreground", "void") & options.keys()}
    )
    sink = io.BytesIO()
    image.save(sink, image_format, **options)
    return read_labels(sink.getvalue(), "a.png", DecodeSettings(), meaning)


# --- white on black ---


@pytest.mark.parametrize("white", [240, 255])
def test_white_on_black(white: int) -> None:
    np.testing.assert_array_equal(labels(grey(white)), THING)
    assert labels(grey(white, white, white)).all()


def test_black_is_empty() -> None:
    for image in (grey(0), voc(0), grey(0).convert("RGB"), grey(0).convert("1")):
        assert not labels(image).any()


def test_soft_edges_are_cut_at_128() -> None:
    soft = values(255, 127)
    soft[2, 3:12] = 128
    image = Image.fromarray(soft.astype(np.uint8))
    expected = THING.copy()
    expected[2, 3:12] = True
    np.testing.assert_array_equal(labels(image), expected)
    np.testing.assert_array_equal(labels(image.convert("RGB")), expected)


@pytest.mark.parametrize("quality", [30, 75, 100])
def test_jpegs(quality: int) -> None:
    """Their values are never just black and white, and those of a colour JPEG not quite grey."""
    large = grey(255).resize((160, 120), Image.Resampling.NEAREST)
    expected = np.asarray(large) == 255
    for image in (large, large.convert("RGB")):
        found = labels(image, "JPEG", quality=quality)
        assert (found != expected).mean() < 0.01
        again = labels(Image.open(_jpeg(image, quality)), "PNG")
        assert (again != expected).mean() < 0.01


def _jpeg(image: Picture, quality: int) -> io.BytesIO:
    sink = io.BytesIO()
    image.save(sink, "JPEG", quality=quality)
    return sink


@pytest.mark.parametrize("image_format", ["PNG", "TIFF", "PPM"])
def test_16_bits_of_8(image_format: str) -> None:
    wide = Image.fromarray(WHITE_ON_BLACK.astype(np.uint16) * 257)
    np.testing.assert_array_equal(labels(wide, image_format), THING)


def test_a_grey_palette_is_read_by_its_colours() -> None:
    """Programs that make files small store white as number 1 of two colours."""
    image = grey(1)
    image.putpalette([0, 0, 0, 255, 255, 255])
    np.testing.assert_array_equal(labels(image), THING)


# --- classes and void ---


@pytest.mark.parametrize("number", range(1, 21))
def test_classes_of_voc_are_foreground_and_255_is_void(number: int) -> None:
    """Classes 9 to 15 and void are bright, 7 is grey and 8 dark: read by their colours every score
    would be wrong, in one way or another."""
    np.testing.assert_array_equal(labels(voc(number, 255)), LABELS)
    np.testing.assert_array_equal(labels(voc(number)), THING)
    np.testing.assert_array_equal(labels(voc(number, 255).convert("RGB")), LABELS)


def test_objects_with_the_palette_of_voc() -> None:
    both = values(2, 255)
    both[0] = 5
    image = voc(0)
    image.putdata(both.ravel().tolist())
    expected = LABELS.copy()
    expected[0] = FOREGROUND
    np.testing.assert_array_equal(labels(image), expected)


@pytest.mark.parametrize(
    "image", [grey(255, 128), grey(255, 127), grey(1, 3, 2), grey(255, 128).convert("RGB")]
)
def test_trimaps(image: Picture) -> None:
    """Of matting, and of Oxford-IIIT Pets."""
    np.testing.assert_array_equal(labels(image), LABELS)


@pytest.mark.parametrize(
    ("image", "found"),
    [
        (grey(1), "0, 1"),
        (grey(1, 255), "0, 1, 255"),
        (grey(15, 255), "0, 15, 255"),
        (grey(255, 1), "0, 1, 255"),
        (grey(128), "0, 128"),
        (grey(2, 1), "0, 1, 2"),
        (grey(1, 2), "0, 1, 2"),
        (grey(3, 2, 4).convert("RGB"), "2, 3, 4"),
        (grey(150, 130, 3), "3, 130, 150"),
        (Image.fromarray(values(1).astype(np.uint16)), "0, 1"),
        (Image.fromarray(values(24_001, 255).astype(np.uint16)), "0, 255, 24001"),
        (Image.fromarray(np.arange(12, dtype=np.uint8)[None]), "0, 1, 2, 3, 4, 5, 6, 7, ..."),
    ],
)
def test_what_may_mean_several_things_is_refused(image: Picture, found: str) -> None:
    with pytest.raises(MaskError, match=rf"a\.png has the values {found}, which may mean several"):
        labels(image)


def test_other_colours_are_refused() -> None:
    image = grey(1)
    image.putpalette([0, 0, 0, 220, 20, 60])
    photo = Image.fromarray(textured_disc(0).image)
    for colored in (image, photo, image.convert("RGB")):
        with pytest.raises(MaskError, match=r"a\.png has colours, which are not those of PASCAL"):
            labels(colored)
    np.testing.assert_array_equal(labels(image, foreground=1), THING)


@pytest.mark.parametrize(
    ("image", "meaning", "expected"),
    [
        (grey(1, 255), {"foreground": 1, "void": 255}, LABELS),
        (grey(15, 255), {"void": 255}, LABELS),
        (grey(15, 255), {"foreground": 15}, THING),
        (grey(15, 7, 1), {"foreground": (15, 7)}, THING | RING),
        (grey(0, 7, 1), {"foreground": 0, "void": (7, 9)}, LABELS),
        (grey(3, 254), {"void": (254, 255)}, LABELS),
        (voc(15, 255), {"foreground": 15, "void": 255}, LABELS),
        (voc(8, 255), {"foreground": 15, "void": 255}, np.where(RING, VOID, 0)),
        (Image.fromarray(values(24_001, 7).astype(np.uint16)), {"void": 7}, LABELS),
        (grey(255), {"foreground": 128}, np.zeros_like(THING)),
    ],
)
def test_values_that_are_given(
    image: Picture, meaning: dict[str, Any], expected: np.ndarray
) -> None:
    np.testing.assert_array_equal(labels(image, **meaning), expected)


def test_values_out_of_range() -> None:
    with pytest.raises(SettingsError, match="truth_ignore is -1; it must be in 0..65535"):
        EvaluateSettings(truth_ignore=-1)
    with pytest.raises(SettingsError, match=r"truth_foreground is \[1, 65536\]"):
        EvaluateSettings(truth_foreground=(1, 65536))


# --- transparency ---


def with_alpha(color: tuple[int, int, int], hidden: tuple[int, int, int]) -> Picture:
    """A thing of one colour; what is transparent has another, which nobody sees."""
    rgb = np.where(THING[..., None], color, hidden).astype(np.uint8)
    return Image.fromarray(np.dstack([rgb, WHITE_ON_BLACK]))


@pytest.mark.parametrize("color", [(255, 255, 255), (0, 0, 0), (200, 30, 30)])
@pytest.mark.parametrize("hidden", [(0, 0, 0), (255, 255, 255), (7, 8, 9)])
@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_one_colour_on_transparent(
    color: tuple[int, int, int], hidden: tuple[int, int, int], image_format: str
) -> None:
    """Composed over white, the whole image was foreground."""
    np.testing.assert_array_equal(labels(with_alpha(color, hidden), image_format), THING)


def test_other_forms_of_transparency() -> None:
    image = with_alpha((255, 255, 255), (0, 0, 0))
    np.testing.assert_array_equal(labels(image.convert("LA")), THING)
    np.testing.assert_array_equal(labels(image, "WEBP", lossless=True), THING)
    for image_format in ("PNG", "GIF"):
        palette = grey(1)
        palette.putpalette([0, 0, 0, 255, 255, 255])
        np.testing.assert_array_equal(labels(palette, image_format, transparency=0), THING)
    np.testing.assert_array_equal(labels(grey(255), transparency=0), THING)
    np.testing.assert_array_equal(labels(grey(255).convert("RGB"), transparency=(0, 0, 0)), THING)


def test_transparency_with_soft_edges() -> None:
    alpha = values(255, 90)
    alpha[2, 3:12] = 200
    soft = Image.fromarray(np.dstack([*[np.full_like(alpha, 255)] * 3, alpha]).astype(np.uint8))
    expected = THING.copy()
    expected[2, 3:12] = True
    np.testing.assert_array_equal(labels(soft), expected)


def test_transparency_that_says_nothing() -> None:
    """The same everywhere, it is none; an image with nothing to be seen is empty."""
    for alpha in (255, 40):
        image = grey(255).convert("RGB")
        image.putalpha(alpha)
        np.testing.assert_array_equal(labels(image), THING)
    assert not labels(Image.new("RGBA", (4, 4), (255, 255, 255, 0))).any()
    assert labels(Image.new("RGBA", (4, 4), (255, 255, 255, 255))).all()


def test_colour_and_transparency_that_both_vary_are_refused() -> None:
    photo = Image.fromarray(textured_disc(0).image)
    photo.putalpha(Image.fromarray(np.where(textured_disc(0).mask, 255, 0).astype(np.uint8)))
    half = grey(255).convert("RGBA")
    half.putalpha(Image.fromarray(np.where(RING, 100, 255).astype(np.uint8)))
    for image in (photo, half):
        with pytest.raises(MaskError, match=r"a\.png differs .* both in colour and in transp"):
            labels(image)


# --- through the command ---


def test_void_counts_nowhere(tmp_path: Path, local: Call) -> None:
    """A set with a void value is scored as its masks in white are beside a folder of ignored ones,
    at both sizes."""
    pictures = [textured_disc(seed) for seed in range(3)]
    write_folder(tmp_path / "photos", pictures)
    write_masks(tmp_path / "white", pictures)
    for folder in ("void", "numbers"):
        (tmp_path / folder).mkdir()
    for picture in pictures:
        ring = np.roll(picture.mask, 4, axis=1) & ~picture.mask
        name = f"{picture.name}.png"
        Image.fromarray(ring.astype(np.uint8) * 255).save(tmp_path / "void" / name)
        numbers = np.where(ring, 9, picture.mask * 3).astype(np.uint8)
        Image.fromarray(numbers).save(tmp_path / "numbers" / name)
    run = tmp_path / "run"
    quick = ["--iem.iterations", "2", "--segment.init_shares=[0.4]"]
    assert local("segment", tmp_path / "photos", run, *quick)[0] == 0
    assert local("fuse", run)[0] == 0

    def scores(at: str, *options: object) -> list[dict[str, float]]:
        fast = ["--evaluate.resamples=0", "--evaluate.baselines=false", f"--evaluate.at={at}"]
        status, _, error = local("evaluate", run, *fast, *options)
        assert status == 0, error
        summary = json.loads((run / "evaluate/summary.json").read_text())
        return [each["as_labelled"] for each in summary["methods"]]

    for at in ("image", "engine"):
        white = scores(at, "--truth", tmp_path / "white", "--ignore", tmp_path / "void")
        truth = ["--truth", tmp_path / "numbers", "--ignore", "null"]
        for flags in (["--truth-foreground", 3, "--truth-ignore", 9], ["--truth-ignore=[9]"]):
            assert scores(at, *truth, *flags) == white
    before = (run / "evaluate/summary.json").read_bytes()
    flags = ["--truth-foreground", "null", "--truth-ignore", "null"]
    status, _, error = local("evaluate", run, *truth, *flags)
    assert status == 1
    assert "has the values 0, 3, 9, which may mean several things" in error
    assert (run / "evaluate/summary.json").read_bytes() == before
