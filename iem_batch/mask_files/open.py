"""From a URL to the masks that lie there."""

from iem_batch.errors import MaskError
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.coco import CocoMasks
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.mask_files.parquet import MaskColumn
from iem_batch.mask_files.protocol import MaskFiles
from iem_batch.mask_files.sets import CubMasks, FlowersMasks, lsun_car
from iem_batch.mask_files.settings import Reading
from iem_batch.mask_files.tar import TarMasks
from iem_batch.storage.folder import Folder

FORMATS = {"json": "coco", "parquet": "parquet", "tar": "tar"}
"""Extension of a file -> what it is."""


def open_masks(url: str, settings: Reading, decode: DecodeSettings) -> MaskFiles:
    """Open masks.

    Args:
        url: a folder of masks, a COCO JSON file, Parquet files, tar archives, or a data set as its
            authors distribute it.
        settings: which of these, and what of it; `auto` looks at what lies there.
        decode: limits for encoded masks, and whether EXIF orientation is followed.

    Raises:
        MaskError: they are not there or cannot be read.
        BackendUnavailableError: a package is missing.
    """
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
            return MaskColumn(url, settings.column, decode, settings.meaning)
        case "tar":
            return TarMasks(url, decode, settings.meaning)
        case "cub200":
            return CubMasks(url, settings.split, decode)
        case "flowers102":
            return FlowersMasks(url, settings.split, decode)
        case "lsun_car":
            return lsun_car(url, decode.max_pixels, settings.min_score)
        case _:
            return MaskFolder(url, decode, settings.meaning)


def _format(url: str) -> str:
    folder = Folder(url)
    kind = folder.kind()
    if kind == "absent":
        raise MaskError(f"there is no {folder.url}")
    if kind == "folder":
        found = {_extension(name) for name in folder.names("")}
        return found.pop() if len(found) == 1 and found <= {"parquet", "tar"} else "folder"
    extension = _extension(folder.url)
    if extension not in FORMATS:
        raise MaskError(
            f"{folder.url} is neither a folder of masks nor a .json (COCO), .parquet or .tar file"
        )
    return FORMATS[extension]


def _extension(name: str) -> str:
    return name.rpartition(".")[2].lower()
