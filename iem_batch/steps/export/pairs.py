"""From the selected images and masks of a file of the corpus to its pairs.

S = pixels of a side of the engine's square, H, W = pixels of what is exported.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.foreground import with_consistent_sides
from iem_batch.images.geometry import FOREGROUND, VOID, mask_to_image
from iem_batch.images.png import decode_mask
from iem_batch.images.settings import DecodeSettings
from iem_batch.run import schema
from iem_batch.run.originals import Original
from iem_batch.steps.export.files import CorpusFile
from iem_batch.steps.export.formats.pair import Pair
from iem_batch.steps.export.settings import ExportSettings


@dataclass(frozen=True, kw_only=True)
class LoadedPairs:
    """The images and masks of one file of the corpus."""

    index: int
    file: CorpusFile
    images: dict[str, Original]
    source: str
    """Local path or URL that the images are from."""
    masks: dict[str, dict[str, Any]]
    """image_id -> its row of fuse/, predict/ or refine/: mask, status, width and height."""
    rejected: dict[str, dict[str, str]]
    """image_id -> why it cannot be read, a row of `schema.QUARANTINE`."""
    kept: pa.Table
    """image_id and the columns that are kept of the source, of the images of the file."""


def make_pairs(
    loaded: LoadedPairs, export: ExportSettings, decode: DecodeSettings
) -> tuple[list[Pair], list[dict[str, str]], int]:
    """Pair the images of a file with their labels, in the order of the selection.

    Returns:
        The pairs, rows of `schema.QUARANTINE` for images without one, and how many masks had their
        sides swapped.
    """
    pairs: list[Pair] = []
    rejected: list[dict[str, str]] = []
    num_turned = 0
    kept = {row.pop("image_id"): row for row in loaded.kept.to_pylist()}
    for offset, row in enumerate(loaded.file.rows.to_pylist()):
        problem = _problem(loaded, row["image_id"], export.masks)
        if problem is not None:
            rejected.append(problem)
            continue
        image = loaded.images[row["image_id"]]
        mask_SS, is_turned = _mask(loaded.masks[row["image_id"]], export)
        num_turned += is_turned
        pairs.append(
            Pair(
                number=loaded.file.first + offset,
                image_id=image.image_id,
                name=row["name"],
                uri=image.uri if export.local_paths else portable(image.uri, loaded.source),
                image=image.data,
                extension=image.extension,
                label_HW=_label(mask_SS, image, export, decode),
                error=row["error"],
                rank=row["rank"],
                kept=kept.get(row["image_id"], {}),
            )
        )
    return pairs, rejected, num_turned


def portable(uri: str, source: str) -> str:
    """Say where an image lies without the path of this machine: below its source, if it is local.

    Args:
        uri: of the image.
        source: local path or URL.
    """
    if not uri.startswith("/"):
        return uri
    below = uri.removeprefix(f"{source.rstrip('/')}/")
    return below if below != uri else uri.removeprefix(f"{source.rpartition('/')[0]}/")


def _problem(loaded: LoadedPairs, image_id: str, masks: str) -> dict[str, str] | None:
    """Say why there is no pair of a selected image; None if there is one."""
    image, mask = loaded.images.get(image_id), loaded.masks.get(image_id)
    if image is None:
        missing = _rejected(image_id, "missing", "the source no longer has it")
        return loaded.rejected.get(image_id, missing)
    if mask is None:
        return _rejected(image_id, "no_mask", f"{masks}/ has no mask of it")
    if mask["status"] != "ok":
        return _rejected(image_id, f"{mask['status']}_mask", "the mask has one side only")
    now, before = (image.width, image.height), (mask["width"], mask["height"])
    if now != before:
        message = f"it is {now[0]}x{now[1]} now and was {before[0]}x{before[1]} when segmented"
        return _rejected(image_id, "changed", message)
    return None


def _mask(row: dict[str, Any], export: ExportSettings) -> tuple[NDArray[np.bool_], bool]:
    """Decode a mask, its sides called as the settings say; tells whether they were swapped."""
    mask_SS = decode_mask(row["mask"]["bytes"])
    if export.foreground == "as_found":
        return mask_SS, False
    turned_1SS, is_turned_1 = with_consistent_sides(mask_SS[None])
    return turned_1SS[0], bool(is_turned_1[0])


def _label(
    mask_SS: NDArray[np.bool_], image: Original, export: ExportSettings, decode: DecodeSettings
) -> NDArray[np.uint8]:
    if export.size == "engine":
        return mask_SS.astype(np.uint8) * np.uint8(FOREGROUND)
    mask_HW, seen_HW = mask_to_image(mask_SS, image.width, image.height, decode.fit)
    return np.where(seen_HW, mask_HW * FOREGROUND, VOID).astype(np.uint8)


def _rejected(image_id: str, error_class: str, message: str) -> dict[str, str]:
    return schema.quarantine_row(image_id, "", error_class, message)
