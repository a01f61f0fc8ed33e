"""Ground truth: masks drawn by people, or by a detector that saw many of them."""

from iem_batch.errors import TruthError
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.evaluate.truth.coco import CocoMasks
from iem_batch.steps.evaluate.truth.folder import MaskFolder
from iem_batch.steps.evaluate.truth.parquet import MaskColumn
from iem_batch.steps.evaluate.truth.picture import Meaning
from iem_batch.steps.evaluate.truth.protocol import FOREGROUND, VOID, Truth
from iem_batch.steps.evaluate.truth.sets import CubMasks, FlowersMasks, lsun_car
from iem_batch.storage.folder import Folder

__all__ = ["FOREGROUND", "VOID", "CocoMasks", "MaskFolder", "Truth", "open_truth"]


def open_truth(url: str, settings: EvaluateSettings, decode: DecodeSettings) -> Truth:
    """Open ground truth.

    Args:
        url: a folder of masks, a COCO JSON file, Parquet files, or a data set as its authors
            distribute it.
        settings: which of these, and what of it; `auto` looks at what lies there.
        decode: limits for encoded masks, and whether EXIF orientation is followed.

    Raises:
        TruthError: it is not there or cannot be read.
        BackendUnavailableError: a package is missing.
    """
    meaning = Meaning(foreground=settings.truth_foreground, void=settings.truth_ignore)
    match _format(url) if settings.format == "auto" else settings.format:
        case "coco":
            return CocoMasks(
                url,
                decode.max_pixels,
                category=settings.category,
                instances=settings.instances,
                min_score=settings.min_score,
            )
        case "parquet":
            return MaskColumn(url, settings.column, decode, meaning)
        case "cub200":
            return CubMasks(url, settings.split, decode)
        case "flowers102":
            return FlowersMasks(url, settings.split, decode)
        case "lsun_car":
            return lsun_car(url, decode.max_pixels, settings.min_score)
        case _:
            return MaskFolder(url, decode, meaning)


def _format(url: str) -> str:
    folder = Folder(url)
    kind = folder.kind()
    if kind == "absent":
        raise TruthError(f"there is no {folder.url}")
    if kind == "folder":
        names = folder.names("")
        return "parquet" if names and all(n.endswith(".parquet") for n in names) else "folder"
    extension = folder.url.rpartition(".")[2].lower()
    if extension not in ("json", "parquet"):
        raise TruthError(
            f"{folder.url} is neither a folder of masks nor a .json (COCO) or .parquet file"
        )
    return "coco" if extension == "json" else "parquet"
