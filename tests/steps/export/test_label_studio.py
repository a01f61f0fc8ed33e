"""Tasks for Label Studio, read by its own converter."""

import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from label_studio_converter import Converter
from label_studio_converter.brush import decode_rle
from PIL import Image

from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.label_studio import run_lengths
from tests.steps.export.exports import SIZES, Truth, export, require_equal, rgb, truth, with_unseen


@pytest.mark.parametrize("size", SIZES)
def test_converter(awkward: RunFolder, tmp_path: Path, size: str) -> None:
    target = export(awkward, format="label_studio", to=str(tmp_path / "c"), size=size)
    converter = Converter(target.url_of("interface.xml"), str(tmp_path))
    (tmp_path / "masks").mkdir()
    tasks = target.url_of("tasks/train-00000.json")
    converter.convert(tasks, str(tmp_path / "masks"), "BRUSH_TO_PNG", is_dir=False)
    found = {}
    for task in json.loads(Path(tasks).read_bytes()):
        file = Path(target.url, unquote(task["data"]["image"].partition("?d=")[2]))
        (mask_file,) = (tmp_path / "masks").glob(f"task-{task['id']}-*.png")
        with Image.open(mask_file) as mask:
            key = str(file.relative_to(Path(target.url, "images/train")).with_suffix(""))
            label = with_unseen(target, key, np.asarray(mask) == 255)
        found[task["data"]["image_id"]] = Truth(rgb(file.read_bytes()), label)
    require_equal(found, truth(awkward, size))


@pytest.mark.parametrize("length", [1, 4, 5, 64, 65, 1024, 1025, 16384, 16385, 50000])
def test_runs_of_every_length(length: int) -> None:
    """Each run is counted in 4, 8, 12 or 16 bits, of four values for a pixel."""
    mask = np.zeros((1, 60000), dtype=bool)
    mask[0, 3 : 3 + length] = True
    decoded = decode_rle(run_lengths(mask)).reshape(60000, 4)
    np.testing.assert_array_equal(decoded[:, 3] == 255, mask[0])
    np.testing.assert_array_equal(decoded[:, 0], decoded[:, 3])
