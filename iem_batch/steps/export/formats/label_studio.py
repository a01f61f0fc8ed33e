"""Pairs as tasks of Label Studio, whose masks are brush strokes that a person can correct.

The run lengths are those of `brushlabels`: bits that say how many values there are, how long one
is, and the four lengths in which a run is counted, and then the runs, of bytes of RGBA.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.images.geometry import FOREGROUND
from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.formats.files import image_files
from iem_batch.steps.export.formats.pair import Pair, Place

_LENGTH_BITS = (4, 8, 12, 16)
_CHANNELS = 4

_INTERFACE = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="label" toName="image">
    <Label value="foreground"/>
  </BrushLabels>
</View>
"""


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as image files and a list of tasks, each with one annotation.

    Returns:
        Name of each file -> its bytes.
    """
    tasks = [_task(pair, place) for pair in pairs]
    return {**image_files(pairs, place), f"tasks/{place.stem}.json": json.dumps(tasks).encode()}


def complete(target: RunFolder, splits: Iterable[str]) -> dict[str, str]:
    """Write the labeling interface that the tasks are for.

    Returns:
        Name of each file -> its SHA-256.
    """
    return {"interface.xml": target.write_bytes("interface.xml", _INTERFACE.encode())}


def run_lengths(mask_HW: NDArray[np.bool_]) -> list[int]:
    """Encode a mask as brush strokes: bytes, each as a number."""
    bits = "".join(_bits(mask_HW))
    num_bytes = -(-len(bits) // 8)
    return list(int(bits.ljust(8 * num_bytes, "0"), 2).to_bytes(num_bytes, "big"))


def _bits(mask_HW: NDArray[np.bool_]) -> Iterator[str]:
    flat = mask_HW.ravel()
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    lengths = _CHANNELS * np.diff(starts, append=len(flat))
    yield f"{_CHANNELS * len(flat):032b}{8 - 1:05b}"
    yield from (f"{bits - 1:04b}" for bits in _LENGTH_BITS)
    for value, left in zip(flat[starts].tolist(), lengths.tolist(), strict=True):
        while left:
            index = next((i for i, bits in enumerate(_LENGTH_BITS) if left <= 1 << bits), 3)
            bits = _LENGTH_BITS[index]
            length = min(left, 1 << bits)
            yield f"1{index:02b}{length - 1:0{bits}b}{255 * value:08b}"
            left -= length


def _task(pair: Pair, place: Place) -> dict[str, Any]:
    height, width = pair.label_HW.shape
    region = {
        "id": str(pair.number),
        "type": "brushlabels",
        "from_name": "label",
        "to_name": "image",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {
            "format": "rle",
            "rle": run_lengths(pair.label_HW == FOREGROUND),
            "brushlabels": ["foreground"],
        },
    }
    file = quote(f"images/{place.split}/{pair.file_name}", safe="/")
    return {
        "id": pair.number + 1,
        "data": {"image": f"/data/local-files/?d={file}", **pair.about},
        "annotations": [{"id": pair.number + 1, "result": [region]}],
    }
