"""The data sets of the paper as their authors distribute them, with the splits of ReDO.

Each class says which files it takes and where they come from; nothing is downloaded. Images are
known by their path without extension below the folder that `SOURCES` names, so that is what a run
is planned from.
"""

import numpy as np
from numpy.typing import NDArray

from iem_batch.checks import needs_extra
from iem_batch.errors import ImageRejectedError, MaskError
from iem_batch.images.decode import decode_whole
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.coco import CocoMasks
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.mask_files.picture import WHITE
from iem_batch.mask_files.protocol import require_shape, without_extension
from iem_batch.mask_files.settings import Meaning, Split
from iem_batch.storage.folder import Folder

SOURCES = {"cub200": "images", "flowers102": "jpg"}
"""Set -> the folder in it that a run is planned from."""

CUB_PAGE = "https://data.caltech.edu/records/65de6-vp158"
FLOWERS_PAGE = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102"
REDO_PAGE = "https://github.com/mickaelChen/ReDO"

CUB_FILES = {
    "images": f"CUB_200_2011.tgz of {CUB_PAGE}",
    "images.txt": f"CUB_200_2011.tgz of {CUB_PAGE}",
    "segmentations": f"segmentations.tgz of {CUB_PAGE}, unpacked into CUB_200_2011",
    "train_val_test_split.txt": f"datasplits/cub/train_val_test_split.txt of {REDO_PAGE}",
}
FLOWERS_FILES = {
    "jpg": f"102flowers.tgz of {FLOWERS_PAGE}",
    "segmim": f"102segmentations.tgz of {FLOWERS_PAGE}",
    "setid.mat": f"setid.mat of {FLOWERS_PAGE}",
}
"""What a set consists of -> where to get it."""

CUB_SPLITS = {"train": 0, "val": 1, "test": 2}
"""ReDO's split of the 11,788 images: 10,000, 788 and 1,000."""

FLOWERS_SPLITS = {"train": "tstid", "val": "valid", "test": "trnid"}
"""The set's own splits under ReDO's names: 6,149, 1,020 and 1,020 images."""


class CubMasks:
    """CUB-200-2011 with ReDO's split; foreground is where half of the annotators or more saw it.

    Args:
        url: the folder CUB_200_2011 with all of `CUB_FILES`.
        split: which part counts.
        settings: how the images were decoded; the same limits hold for masks.

    Raises:
        MaskError: a file is missing, and the message says where to get it, or has another form.
    """

    def __init__(self, url: str, split: Split, settings: DecodeSettings) -> None:
        """Read the split."""
        self._folder = Folder(url)
        _require_files(self._folder, CUB_FILES)
        by_half = Meaning(foreground=tuple(range(WHITE, 256)))
        self._masks = MaskFolder(self._folder.url_of("segmentations"), settings, by_half)
        names = dict(_pairs(self._folder, "images.txt"))
        part_of = dict(_pairs(self._folder, "train_val_test_split.txt"))
        if names.keys() != part_of.keys():
            raise MaskError(
                f"{self.url}: images.txt has {len(names):,} images and train_val_test_split.txt "
                f"{len(part_of):,}; they must be the same ones"
            )
        wanted = None if split == "all" else str(CUB_SPLITS[split])
        self._paths = {
            without_extension(name) for key, name in names.items() if wanted in (None, part_of[key])
        }

    @property
    def url(self) -> str:
        """Where the set lies."""
        return self._folder.url

    @property
    def num_images(self) -> int:
        """Images of the split."""
        return len(self._paths)

    def has(self, image_id: str) -> bool:
        """Tell whether an image belongs to the split."""
        return without_extension(image_id) in self._paths

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image of the split; see `MaskFiles.read`."""
        if not self._masks.has(image_id):
            raise MaskError(f"{self._masks.url} has no mask of {image_id}; {_from(CUB_FILES)}")
        return self._masks.read(image_id, width, height)

    def example(self) -> str:
        """Name one of the images."""
        return min(self._paths, default="no image of this split")


class FlowersMasks:
    """Oxford Flowers-102 with its segmim masks; trnid of setid.mat is the test set, as in ReDO.

    The masks are photographs whose background was painted blue. As in ReDO's program a pixel is
    background where its red is 0, or its green is 0, or its blue is 254.

    Args:
        url: the folder with all of `FLOWERS_FILES`.
        split: which part counts.
        settings: how the images were decoded; the same limits hold for masks.

    Raises:
        MaskError: a file is missing, and the message says where to get it, or has another form.
        BackendUnavailableError: scipy is not installed.
    """

    def __init__(self, url: str, split: Split, settings: DecodeSettings) -> None:
        """Read the split."""
        self._folder = Folder(url)
        self._settings = settings
        _require_files(self._folder, FLOWERS_FILES)
        stored = _read_mat(self._folder, "setid.mat")
        names = list(FLOWERS_SPLITS.values()) if split == "all" else [FLOWERS_SPLITS[split]]
        missing = [name for name in names if name not in stored]
        if missing:
            where = self._folder.url_of("setid.mat")
            raise MaskError(f"{where} has no {', '.join(missing)}; {_from(FLOWERS_FILES)}")
        numbers = np.concatenate([stored[name].ravel() for name in names])
        self._number = {f"image_{number:05d}": int(number) for number in numbers}

    @property
    def url(self) -> str:
        """Where the set lies."""
        return self._folder.url

    @property
    def num_images(self) -> int:
        """Images of the split."""
        return len(self._number)

    def has(self, image_id: str) -> bool:
        """Tell whether an image belongs to the split."""
        return without_extension(image_id) in self._number

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image of the split; see `MaskFiles.read`."""
        name = f"segmim/segmim_{self._number[without_extension(image_id)]:05d}.jpg"
        where = self._folder.url_of(name)
        try:
            pixels_HW3 = decode_whole(self._folder.read_bytes(name), self._settings)
        except FileNotFoundError as error:
            raise MaskError(f"there is no {where}; {_from(FLOWERS_FILES)}") from error
        except ImageRejectedError as error:
            raise MaskError(f"{where} cannot be used as a mask: {error}") from error
        red_HW, green_HW, blue_HW = np.moveaxis(pixels_HW3, 2, 0)
        is_flower_HW = (red_HW != 0) & (green_HW != 0) & (blue_HW != 254)
        label_HW = np.asarray(is_flower_HW, np.uint8)
        require_shape(label_HW.shape, where, image_id, width, height)
        return label_HW

    def example(self) -> str:
        """Name one of the images."""
        return min(self._number, default="no image of this split")


def lsun_car(url: str, max_pixels: int, min_score: float) -> CocoMasks:
    """Open the truth of LSUN Car: the biggest car that a detector found in an image.

    The set has no masks. The paper took those of Mask R-CNN; which detections it dropped it does
    not say, so the threshold is the caller's.

    Args:
        url: what the detector found, in COCO's form, with images named as in the run, and a
            category named car.
        max_pixels: a mask may have.
        min_score: detections with a lower score do not count.

    Raises:
        MaskError: as in `CocoMasks`.
        BackendUnavailableError: pycocotools is not installed.
    """
    if Folder(url).kind() != "file":
        raise MaskError(
            f"there is no file {url}; LSUN Car comes without masks: run an instance segmenter such "
            "as Mask R-CNN on its images and write what it finds as COCO JSON (images, categories, "
            "annotations with segmentation and score)"
        )
    return CocoMasks(url, max_pixels, category="car", instances="biggest", min_score=min_score)


def _require_files(folder: Folder, files: dict[str, str]) -> None:
    missing = [name for name in files if not folder.exists(name)]
    if missing:
        raise MaskError(
            f"{folder.url} lacks "
            + "; ".join(f"{name}, which is {files[name]}" for name in missing)
        )


def _from(files: dict[str, str]) -> str:
    return "the set is made of " + "; ".join(files.values())


def _pairs(folder: Folder, name: str) -> list[tuple[str, str]]:
    """Read a file of lines of two words."""
    lines = folder.read_bytes(name).decode(errors="replace").split("\n")
    words = [line.split() for line in lines if line.strip()]
    wrong = next((line for line in words if len(line) != 2), None)
    if wrong is not None:
        where = folder.url_of(name)
        raise MaskError(f"{where} has the line {' '.join(wrong)!r}, not a number and a word")
    return [(key, value) for key, value in words]


def _read_mat(folder: Folder, name: str) -> dict[str, NDArray[np.int64]]:
    with needs_extra("truth", name):
        from scipy.io import loadmat
    where = folder.url_of(name)
    try:
        with folder.open(name) as file:
            stored = loadmat(file)
    except (ValueError, TypeError, NotImplementedError) as error:
        raise MaskError(f"{where} is not a MATLAB file: {error}") from error
    return {key: value for key, value in stored.items() if not key.startswith("__")}
