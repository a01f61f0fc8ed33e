"""Masks in a folder, named like the images. H, W = pixels of a mask."""

from pathlib import PurePosixPath
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import MaskError
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.picture import read_labels
from iem_batch.mask_files.protocol import require_shape
from iem_batch.mask_files.settings import Meaning
from iem_batch.storage.folder import Folder


class MaskFolder:
    """A folder of masks, pictures in any image format.

    The mask of image `a/b.jpg` is `a/b.png`, or `b.png` directly in the folder; where there is no
    PNG any other extension will do. Listings are kept, so each sub-folder is listed once.

    Args:
        url: the folder, local or on an object store.
        settings: how the images were decoded; the same limits hold for masks.
        meaning: of their values.

    Raises:
        MaskError: there is no such folder.
    """

    def __init__(self, url: str, settings: DecodeSettings, meaning: Meaning | None = None) -> None:
        """Look whether the folder is there."""
        self._folder = Folder(url)
        self._settings = settings
        self._meaning = meaning or Meaning()
        self._by_stem: dict[str, dict[str, list[str]]] = {}
        self._image_of: dict[str, str] = {}
        self._listing = Lock()
        if self._folder.kind() != "folder":
            raise MaskError(f"there is no folder of masks {self._folder.url}")

    @property
    def url(self) -> str:
        """Where the folder lies."""
        return self._folder.url

    def find(self, image_id: str) -> str | None:
        """Give the name of the mask of an image, or None if it has none.

        Raises:
            MaskError: several files could be the mask, or one file the mask of several images.
        """
        path = PurePosixPath(image_id)
        parent = "" if str(path.parent) == "." else str(path.parent)
        name = self._only(parent, path.stem)
        if name is None and parent:
            name = self._only("", path.stem)
            if name is not None and self._image_of.setdefault(name, image_id) != image_id:
                raise MaskError(
                    f"{self._folder.url_of(name)} could be the mask of {self._image_of[name]} and "
                    f"of {image_id}; lay the masks out in the same sub-folders as the images"
                )
        return name

    @property
    def num_images(self) -> None:
        """Not counted: the folder may have masks of other images too."""

    def has(self, image_id: str) -> bool:
        """Tell whether an image has a mask.

        Raises:
            MaskError: as in `find`.
        """
        return self.find(image_id) is not None

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image that has one; see `MaskFiles.read`."""
        name = self.find(image_id)
        assert name is not None, image_id
        where = self._folder.url_of(name)
        data = self._folder.read_bytes(name)
        label_HW = read_labels(data, where, self._settings, self._meaning)
        require_shape(label_HW.shape, where, image_id, width, height)
        return label_HW

    def example(self) -> str:
        """Name a file of the folder, for an error message."""
        names = self._folder.names("")
        return names[0] if names else "no file at its top"

    def _only(self, parent: str, stem: str) -> str | None:
        """Find the file of a stem in a sub-folder; a PNG comes before any other."""
        with self._listing:
            if parent not in self._by_stem:
                listing: dict[str, list[str]] = {}
                for name in self._folder.names(parent):
                    listing.setdefault(PurePosixPath(name).stem, []).append(name)
                self._by_stem[parent] = listing
            names = self._by_stem[parent].get(stem, [])
        png = [name for name in names if name.lower().endswith(".png")]
        candidates = png or names
        if len(candidates) > 1:
            raise MaskError(
                f"{', '.join(candidates)} in {self._folder.url_of(parent)} could each be the mask "
                f"of {stem}; keep one of them"
            )
        return str(PurePosixPath(parent, candidates[0])) if candidates else None
