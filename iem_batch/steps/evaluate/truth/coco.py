"""Ground truth as COCO writes it: polygons and run lengths in one JSON file."""

import json
import warnings
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from iem_batch.checks import needs_extra
from iem_batch.errors import TruthError
from iem_batch.steps.evaluate.truth.protocol import require_shape
from iem_batch.storage.folder import Folder


class CocoMasks:
    """Instances in a COCO file; the mask of an image is their union, or the biggest of them.

    The file is held in memory. It is a COCO data set, whose annotations may have a score, or a
    bare list of detections whose image_id is the name of the image. An image is found by its
    path without extension, else by its name alone. Crowds are foreground like everything else, but
    never the biggest instance. An image without an instance that counts has no truth.

    Args:
        url: the JSON file.
        category: name of the only category that counts; None takes all.
        instances: which of the instances of an image are its foreground.
        min_score: an instance with a lower score does not count; one without a score does.

    Raises:
        TruthError: the file is not there, not of this form, or has no such category.
        BackendUnavailableError: pycocotools is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        category: str | None = None,
        instances: Literal["all", "biggest"] = "all",
        min_score: float = 0.0,
    ) -> None:
        """Read the file."""
        _coco_mask()
        self._url = Folder(url).url
        self._biggest = instances == "biggest"
        self._instances: dict[str, list[dict[str, Any]]] = {}
        self._by_name: dict[str, list[str]] = {}
        try:
            self._add(_read(self._url), category, min_score)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"{self._url} is not of COCO's form: {type(error).__name__} {error}"
            raise TruthError(message) from error
        for path in self._instances:
            self._by_name.setdefault(PurePosixPath(path).name, []).append(path)

    @property
    def url(self) -> str:
        """Where the file lies."""
        return self._url

    @property
    def num_images(self) -> int:
        """How many images have an instance that counts."""
        return len(self._instances)

    def has(self, image_id: str) -> bool:
        """Tell whether an image has an instance that counts.

        Raises:
            TruthError: several images of the file could be it.
        """
        return self._find(image_id) is not None

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Draw the mask of an image that has one; see `Truth.read`."""
        path = self._find(image_id)
        assert path is not None, image_id
        where = f"{path} in {self._url}"
        runs = []
        for instance in self._instances[path]:
            size = instance.get("_size") or (height, width)
            runs.append(_run_lengths(instance["segmentation"], size, where))
        mask = _coco_mask()
        if self._biggest:
            runs = [max(runs, key=lambda run: int(mask.area(run)))]
        try:
            with warnings.catch_warnings():
                # Of pycocotools about its own use of numpy.
                warnings.simplefilter("ignore", DeprecationWarning)
                label_HW = np.asarray(mask.decode(mask.merge(runs)), np.uint8)
        except ValueError as error:
            raise TruthError(f"{where} has instances of several sizes: {error}") from error
        require_shape(label_HW, where, image_id, width, height)
        return label_HW

    def example(self) -> str:
        """Name one of the images."""
        return next(iter(self._instances), "no instance that counts")

    def _find(self, image_id: str) -> str | None:
        path = _without_extension(image_id)
        if path in self._instances:
            return path
        found = self._by_name.get(PurePosixPath(path).name, [])
        if len(found) > 1:
            raise TruthError(f"{', '.join(found)} in {self._url} could each be {image_id}")
        return found[0] if found else None

    def _add(self, stored: Any, category: str | None, min_score: float) -> None:
        if isinstance(stored, list):
            stored = {"annotations": stored}
        images = {image["id"]: image for image in stored.get("images", [])}
        category_id = _category_id(stored.get("categories", []), category, self._url)
        for instance in stored["annotations"]:
            if category_id is not None and instance["category_id"] != category_id:
                continue
            if instance.get("score", 1.0) < min_score:
                continue
            if self._biggest and instance.get("iscrowd"):
                continue
            image = images.get(instance["image_id"])
            name = str(instance["image_id"]) if image is None else image["file_name"]
            kept = {"segmentation": instance["segmentation"]}
            if image is not None:
                kept["_size"] = image["height"], image["width"]
            self._instances.setdefault(_without_extension(name), []).append(kept)


def _read(url: str) -> Any:
    parent, _, name = url.rpartition("/")
    try:
        return json.loads(Folder(parent).read_bytes(name))
    except FileNotFoundError as error:
        raise TruthError(f"there is no {url}") from error
    except ValueError as error:
        raise TruthError(f"{url} is not JSON: {error}") from error


def _category_id(
    categories: Iterable[dict[str, Any]], category: str | None, url: str
) -> int | None:
    """Find the number of a category; a list of detections alone has no names for them."""
    names = {str(entry["name"]): int(entry["id"]) for entry in categories}
    if category is None:
        return None
    if category not in names:
        known = ", ".join(names) or "none"
        raise TruthError(f"{url} has no category {category!r}; its categories are: {known}")
    return names[category]


def _run_lengths(segmentation: Any, size: tuple[int, int], where: str) -> Any:
    """Bring polygons, plain and compressed run lengths to the compressed form."""
    mask = _coco_mask()
    try:
        if isinstance(segmentation, list):
            return mask.merge(mask.frPyObjects(segmentation, *size))
        if isinstance(segmentation["counts"], list):
            return mask.frPyObjects(segmentation, *segmentation["size"])
    except Exception as error:  # pycocotools raises that very type
        raise TruthError(f"{where} has a segmentation that cannot be read: {error}") from error
    return segmentation


def _without_extension(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _coco_mask() -> Any:
    with needs_extra("truth", "a file of COCO masks"):
        from pycocotools import mask
    return mask
