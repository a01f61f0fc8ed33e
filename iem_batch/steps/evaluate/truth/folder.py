"""Ground truth in a folder, named like the images. H, W = pixels of a mask."""

from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import ImageRejectedError, TruthError
from iem_batch.images.decode import decode_whole
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.evaluate.truth.protocol import require_shape
from iem_batch.storage.folder import Folder

WHITE = 128
"""A pixel is foreground when all its channels have at least this value."""


class MaskFolder:
    """A folder of masks, white on black, in any image format.

    The mask of image `a/b.jpg` is `a/b.png`, or `b.png` directly in the folder; where there is no
    PNG any other extension will do. Listings are kept, so each sub-folder is listed once.

    Args:
        url: the folder, local or on an object store.
        settings: how the images were decoded; the same limits hold for masks.

    Raises:
        TruthError: there is no such folder.
    """

    def __init__(self, url: str, settings: DecodeSettings) -> None:
        """Look whether the folder is there."""
        self._folder = Folder(url)
        self._settings = settings
        self._by_stem: dict[str, dict[str, list[str]]] = {}
        self._image_of: dict[str, str] = {}
        if self._folder.kind() != "folder":
            raise TruthError(f"there is no folder of masks {self._folder.url}")

    @property
    def url(self) -> str:
        """Where the folder lies."""
        return self._folder.url

    def find(self, image_id: str) -> str | None:
        """Give the name of the mask of an image, or None if it has none.

        Raises:
            TruthError: several files could be the mask, or one file the mask of several images.
        """
        path = PurePosixPath(image_id)
        parent = "" if str(path.parent) == "." else str(path.parent)
        name = self._only(parent, path.stem)
        if name is None and parent:
            name = self._only("", path.stem)
            if name is not None and self._image_of.setdefault(name, image_id) != image_id:
                raise TruthError(
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
            TruthError: as in `find`.
        """
        return self.find(image_id) is not None

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.bool_]:
        """Read the mask of an image that has one.

        Args:
            image_id: the image.
            width: of the original image, in pixels.
            height: of the original image, in pixels.

        Returns:
            mask_HW: True is white.

        Raises:
            TruthError: the mask cannot be decoded, is no copy of its image in size, or is neither
                black nor has any white.
        """
        name = self.find(image_id)
        assert name is not None, image_id
        where = self._folder.url_of(name)
        mask_HW = white_pixels(self._folder.read_bytes(name), where, self._settings)
        require_shape(mask_HW, where, image_id, width, height)
        return mask_HW

    def example(self) -> str:
        """Name a file of the folder, for an error message."""
        names = self._folder.names("")
        return names[0] if names else "no file at its top"

    def _only(self, parent: str, stem: str) -> str | None:
        """Find the file of a stem in a sub-folder; a PNG comes before any other."""
        if parent not in self._by_stem:
            listing: dict[str, list[str]] = {}
            for name in self._folder.names(parent):
                listing.setdefault(PurePosixPath(name).stem, []).append(name)
            self._by_stem[parent] = listing
        names = self._by_stem[parent].get(stem, [])
        png = [name for name in names if name.lower().endswith(".png")]
        candidates = png or names
        if len(candidates) > 1:
            raise TruthError(
                f"{', '.join(candidates)} in {self._folder.url_of(parent)} could each be the mask "
                f"of {stem}; keep one of them"
            )
        return str(PurePosixPath(parent, candidates[0])) if candidates else None


def white_pixels(data: bytes, where: str, settings: DecodeSettings) -> NDArray[np.bool_]:
    """Decode a mask.

    Args:
        data: an encoded picture.
        where: what it is called in messages.
        settings: limits, and whether EXIF orientation is followed.

    Returns:
        mask_HW: True where all channels have at least `WHITE`.

    Raises:
        TruthError: it cannot be decoded, or is neither black nor has any white.
    """
    try:
        pixels_HW3 = decode_whole(data, settings)
    except ImageRejectedError as error:
        raise TruthError(f"{where} cannot be used as a mask: {error}") from error
    mask_HW = pixels_HW3.min(axis=2) >= WHITE
    if not mask_HW.any() and pixels_HW3.any():
        raise TruthError(
            f"{where} has no white pixel, its brightest value is {pixels_HW3.max()}; "
            f"foreground must be white ({WHITE} to 255 in all channels)"
        )
    return np.asarray(mask_HW)
