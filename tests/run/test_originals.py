"""What a corpus of photos at their own size passes on, and what it writes anew."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iem_batch.images.decode import decode_whole
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.originals import Original, load_originals
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from tests.images.broken import encoded, png_chunk
from tests.images.test_decode import png_16_bit
from tests.images.test_loading import UNREADABLE

PIXELS = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)
PNG = encoded(Image.fromarray(PIXELS), "PNG")
WEBP = encoded(Image.fromarray(PIXELS), "WEBP", lossless=True)
DECODE = DecodeSettings()


def original(folder: Path, name: str, data: bytes) -> Original:
    (folder / "photos").mkdir()
    (folder / "photos" / name).write_bytes(data)
    run, source = RunFolder(str(folder / "run")), open_source(str(folder / "photos"))
    write_plan(run, source, PlanSettings())
    kept, rejected = load_originals(run, 0, source, DECODE, {name}, ("PNG", "JPEG", "WEBP"))
    assert not rejected
    return kept[0]


@pytest.mark.parametrize("data", [PNG, WEBP], ids=["png", "webp"])
def test_plain_images_are_passed_on(tmp_path: Path, data: bytes) -> None:
    assert original(tmp_path, "a.img.png", data).data == data


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")  # with some blocks Pillow does no more
@pytest.mark.parametrize("block", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("kind", ["png", "webp"])
def test_tags_that_cannot_be_read_are_not_passed_on(
    tmp_path: Path, kind: str, block: bytes
) -> None:
    """Such a photo once ended the export with a traceback, at every try; and a reader that asks for
    its orientation would fail in the same way."""
    data = PNG[:33] + png_chunk(b"eXIf", block) + PNG[33:]
    if kind == "webp":
        data = encoded(Image.fromarray(PIXELS), "WEBP", lossless=True, exif=block)
    found = original(tmp_path, f"a.{kind}", data)
    assert (found.width, found.height) == (30, 20)
    with Image.open(io.BytesIO(found.data)) as image:
        np.testing.assert_array_equal(np.asarray(image), PIXELS)
        assert image.getexif().get(0x0112) is None


@pytest.mark.parametrize("color_type", [2, 0])
def test_16_bits_become_the_8_that_the_engine_saw(tmp_path: Path, color_type: int) -> None:
    """A reader may round where Pillow cuts off."""
    data = png_16_bit(color_type, *[0x12FF, 0x3480, 0x56AB][: color_type + 1])
    found = original(tmp_path, "deep.png", data)
    assert found.data[24] == 8  # bits of a sample
    with Image.open(io.BytesIO(found.data)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), decode_whole(data, DECODE))
