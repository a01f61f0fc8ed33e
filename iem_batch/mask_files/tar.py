"""Masks in tar archives, such as WebDataset's. H, W = pixels of a mask."""

import tarfile

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import MaskError, SourceError
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.picture import read_labels
from iem_batch.mask_files.places import Place, Places
from iem_batch.mask_files.protocol import require_shape, without_extension
from iem_batch.mask_files.settings import Meaning
from iem_batch.sources.open import open_source
from iem_batch.sources.tar import TarSource
from iem_batch.sources.tar_members import TarReader


class TarMasks:
    """A tar archive of masks, or a folder of them.

    The mask of image `a/b.jpg` is the member `a/b.png`, with any extension. Of several archives it
    may have the name of its archive before it, as images in archives do.

    Args:
        url: the archive or the folder.
        settings: how the images were decoded; the same limits hold for masks.
        meaning: of their values.

    Raises:
        MaskError: there is none.
        StorageError: the store failed.
    """

    def __init__(self, url: str, settings: DecodeSettings, meaning: Meaning) -> None:
        """Read all headers."""
        try:
            source = open_source(f"{url}#format=tar")
        except SourceError as error:
            raise MaskError(str(error)) from error
        assert isinstance(source, TarSource)
        self._pieces = source.pieces
        self._settings = settings
        self._meaning = meaning
        self._names: list[str] = []
        self._places = Places()
        self._example = ""
        self.num_images = 0
        """How many masks there are."""
        for file in self._pieces.files():
            if file.name.endswith(".tar") or self._pieces.is_single:
                self._index(file.name, file.num_bytes or 0)
        self._places.sort()
        if not self.num_images:
            raise MaskError(f"{self.url} has no mask in it")

    @property
    def url(self) -> str:
        """Where the archives lie."""
        return self._pieces.folder.url

    def has(self, image_id: str) -> bool:
        """Tell whether an image has a mask.

        Raises:
            MaskError: several members could be it.
        """
        return self._find(image_id) is not None

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image that has one; see `MaskFiles.read`."""
        place = self._find(image_id)
        assert place is not None, image_id
        number, start, stop = place
        name = self._names[number]
        where = f"the mask of {image_id} in {self._pieces.uri(name)}"
        with self._pieces.open(name, start, stop) as file:
            reader = TarReader(file, stop - start, start)
            try:
                data = reader.data(next(reader.members()))
            except (tarfile.TarError, StopIteration) as error:
                raise MaskError(f"{where} cannot be read: {error}") from error
        label_HW = read_labels(data, where, self._settings, self._meaning)
        require_shape(label_HW.shape, where, image_id, width, height)
        return label_HW

    def example(self) -> str:
        """Name a mask, for an error message."""
        return self._example

    def _find(self, image_id: str) -> Place | None:
        found = self._places.find(without_extension(image_id))
        if len(found) > 1:
            raise MaskError(f"{self.url} has {len(found)} masks of {image_id}; keep one of them")
        return found[0] if found else None

    def _index(self, name: str, size: int) -> None:
        number = len(self._names)
        self._names.append(name)
        with self._pieces.open(name, 0, size) as file:
            for member in TarReader(file, size).members():
                if member.reason is not None:
                    continue
                self.num_images += 1
                self._example = member.image_id or member.name
                full = self._pieces.image_id(name, member.name, "/")
                for key in {self._example, full}:
                    self._places.add(without_extension(key), (number, member.offset, member.end))
