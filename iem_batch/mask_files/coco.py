"""Masks as COCO writes them: polygons and run lengths in one JSON file."""

import json
import math
from collections.abc import Iterable
from functools import reduce
from pathlib import PurePosixPath
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import MaskError
from iem_batch.mask_files.coco_shapes import coco_mask, draw
from iem_batch.mask_files.protocol import require_shape, without_extension
from iem_batch.storage.folder import Folder


class CocoMasks:
    """Instances in a COCO file; the mask of an image is their union, or the biggest of them.

    The file is held in memory. It is a COCO data set, whose annotations may have a score, or a
    bare list of detections whose image_id is the name of the image. An image is found by its
    path without extension, else by its name alone. Crowds are foreground like everything else, but
    never the biggest instance. An annotation without a mask, as of a box alone, is passed over. An
    image without an instance that counts has no mask.

    Args:
        url: the JSON file.
        max_pixels: a mask may have.
        category: name of the only category that counts; None takes all.
        instances: which of the instances of an image are its foreground.
        min_score: an instance with a lower score does not count; one without a score does.

    Raises:
        MaskError: the file is not there, not of this form, or has no such category.
        BackendUnavailableError: pycocotools is not installed.
    """

    def __init__(
        self,
        url: str,
        max_pixels: int,
        *,
        category: str | None = None,
        instances: Literal["all", "biggest"] = "all",
        min_score: float = 0.0,
    ) -> None:
        """Read the file."""
        coco_mask()
        self._url = Folder(url).url
        self._max_pixels = max_pixels
        self.num_without_mask = 0
        """Annotations that were passed over."""
        self._biggest = instances == "biggest"
        self._instances: dict[str, list[dict[str, Any]]] = {}
        self._by_name: dict[str, list[str]] = {}
        try:
            self._add(_read(self._url), category, min_score)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            message = f"{self._url} is not of COCO's form: {type(error).__name__} {error}"
            raise MaskError(message) from error
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
            MaskError: several images of the file could be it.
        """
        return self._find(image_id) is not None

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Draw the mask of an image that has one; see `MaskFiles.read`."""
        path = self._find(image_id)
        assert path is not None, image_id
        where = f"{path} in {self._url}"
        instances = self._instances[path]
        size = _size(instances[0]) or (height, width)
        self._require_size(size, where, image_id, width, height)
        try:
            masks = (draw(instance["segmentation"], *size) for instance in instances)
            mask_HW = max(masks, key=np.sum) if self._biggest else reduce(np.logical_or, masks)
        except ValueError as error:
            message = f"{where} has a segmentation that cannot be read: {error}"
            raise MaskError(message) from error
        return np.asarray(mask_HW, np.uint8)

    def _require_size(
        self, size: tuple[Any, ...], where: str, image_id: str, width: int, height: int
    ) -> None:
        if not all(type(side) is int and side > 0 for side in size):
            raise MaskError(f"{where} has the size {list(size)}, which is none")
        if math.prod(size) > self._max_pixels:
            raise MaskError(f"{where} has {math.prod(size)} pixels, more than {self._max_pixels}")
        require_shape(size, where, image_id, width, height)

    def example(self) -> str:
        """Name one of the images."""
        return next(iter(self._instances), "no instance that counts")

    def _find(self, image_id: str) -> str | None:
        path = without_extension(image_id)
        if path in self._instances:
            return path
        found = self._by_name.get(PurePosixPath(path).name, [])
        if len(found) > 1:
            raise MaskError(f"{', '.join(found)} in {self._url} could each be {image_id}")
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
            segmentation = instance.get("segmentation")
            if not segmentation or (isinstance(segmentation, list) and not any(segmentation)):
                self.num_without_mask += 1
                continue
            image = images.get(instance["image_id"])
            name = str(instance["image_id"]) if image is None else image["file_name"]
            kept = {"segmentation": segmentation}
            if image is not None:
                kept["_size"] = image["height"], image["width"]
            self._instances.setdefault(without_extension(name), []).append(kept)


def _read(url: str) -> Any:
    parent, _, name = url.rpartition("/")
    try:
        return json.loads(Folder(parent).read_bytes(name))
    except FileNotFoundError as error:
        raise MaskError(f"there is no {url}") from error
    except (ValueError, RecursionError) as error:
        raise MaskError(f"{url} is not JSON: {error}") from error


def _category_id(
    categories: Iterable[dict[str, Any]], category: str | None, url: str
) -> int | None:
    """Find the number of a category; a list of detections alone has no names for them."""
    names = {str(entry["name"]): int(entry["id"]) for entry in categories}
    if category is None:
        return None
    if category not in names:
        known = ", ".join(names) or "none"
        raise MaskError(f"{url} has no category {category!r}; its categories are: {known}")
    return names[category]


def _size(instance: dict[str, Any]) -> tuple[Any, ...] | None:
    """Give height and width of the image as the file says them, or as its run lengths do."""
    if "_size" in instance:
        return instance["_size"]  # type: ignore[no-any-return]
    segmentation = instance["segmentation"]
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    return tuple(size) if isinstance(size, list) and len(size) == 2 else None
