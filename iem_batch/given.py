"""Images as a caller gives them: paths, URLs, PIL images, arrays and tensors.

B = images, H, W = pixels of one.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import ImageRejectedError, SettingsError, StorageError, TooLargeError
from iem_batch.images.decode import Decoded, decode, preprocess
from iem_batch.images.settings import DecodeSettings
from iem_batch.storage.local_files import read_file

MAX_FILE_BYTES = 1 << 30
"""A file behind a URL with more bytes is not read; no image within the limits needs as many."""

CHANNELS = (1, 3, 4)
"""Grey, RGB, RGBA."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a caller gave, decoded. B = images that can be used."""

    names: list[str]
    """B names: the path, the URL, or the place in what was given."""
    images: list[Decoded]
    rejected: dict[str, str]
    """Name of each of the others -> why it cannot be used."""

    def pixels(self, size_px: int) -> NDArray[np.uint8]:
        """Stack the squares: uint8 (B, S, S, 3)."""
        stacked = np.array([image.pixels for image in self.images], np.uint8)
        return stacked.reshape(-1, size_px, size_px, 3)


def decode_given(images: Any, settings: DecodeSettings) -> Given:
    """Bring images to the engine's square, as the batch job does it.

    Args:
        images: one image or any number of them in a list: paths, folders (all images in them and
            below), URLs, encoded bytes, PIL images, arrays and tensors; or one array or tensor of
            several. An array is (H, W) or (H, W, C), a tensor (C, H, W) as well; they are grey,
            RGB or RGBA, uint8 or floating in [0, 1].
        settings: how.

    Raises:
        ImageRejectedError: none of them can be decoded; the message names the first.
        SettingsError: something is not an image.
    """
    is_array = getattr(images, "ndim", 4) in (2, 3)
    is_one = isinstance(images, str | os.PathLike | bytes | Image.Image) or is_array
    if not is_one and not isinstance(images, Iterable):
        raise SettingsError(
            f"images is of type {type(images).__name__}; it must be an image or a list of images"
        )
    given = Given(names=[], images=[], rejected={})
    first: ImageRejectedError | None = None
    for number, image in enumerate(_with_folders([images] if is_one else images)):
        name = str(image) if isinstance(image, str | os.PathLike) else f"image {number}"
        try:
            given.images.append(_decoded(name, image, settings))
            given.names.append(name)
        except ImageRejectedError as error:
            given.rejected[name] = f"{error.reason}: {error.message}"
            first = first or ImageRejectedError(error.reason, f"{name}: {error.message}")
    if first is not None and not given.names:
        raise first
    return given


def _with_folders(images: Iterable[Any]) -> Iterator[Any]:
    """Put the files of a folder in its place, in the order of their names."""
    for image in images:
        is_path = isinstance(image, str | os.PathLike) and "://" not in str(image)
        if not is_path or not os.path.isdir(image):
            yield image
            continue
        known = Image.registered_extensions()
        found = sorted(path for path in Path(image).rglob("*") if path.suffix.lower() in known)
        if not found:
            raise SettingsError(f"{image} is a folder without images")
        yield from found


def _decoded(name: str, image: Any, settings: DecodeSettings) -> Decoded:
    if isinstance(image, str | os.PathLike):
        return decode(_read(name), settings)
    if isinstance(image, bytes):
        return decode(image, settings)
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_pixels(name, image))
    return preprocess(image, settings)


def _read(name: str) -> bytes:
    if "://" in name:
        return _read_url(name)
    try:
        return read_file(name, MAX_FILE_BYTES)
    except FileNotFoundError as error:
        raise ImageRejectedError("missing", f"{error.strerror}") from error
    except TooLargeError as error:
        raise ImageRejectedError("too_large", str(error)) from error
    except StorageError as error:
        raise ImageRejectedError("unreadable", str(error)) from error


def _read_url(url: str) -> bytes:
    # Imported here: images in memory or on disk need no client of a store.
    from iem_batch.storage.folder import Folder
    from iem_batch.storage.web import WebFile, is_web

    try:
        file: Folder | WebFile = WebFile(url) if is_web(url) else Folder(url)
        size = file.size("")
        if size > MAX_FILE_BYTES:
            message = f"{size} bytes, more than {MAX_FILE_BYTES}"
            raise ImageRejectedError("too_large", message)
        return file.read_bytes("")
    except (StorageError, FileNotFoundError) as error:
        raise ImageRejectedError("missing", f"{error}") from error


def _pixels(name: str, image: Any) -> NDArray[np.uint8]:
    """Bring an array or a tensor to uint8 (H, W), (H, W, 3) or (H, W, 4)."""
    is_tensor = hasattr(image, "detach")  # whatever has it is a tensor; torch is not imported
    array = np.asarray(image.detach().cpu() if is_tensor else image)
    if is_tensor and array.ndim == 3 and array.shape[0] in CHANNELS:
        array = np.moveaxis(array, 0, 2)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in CHANNELS):
        layout = "(C, H, W) or (H, W, C)" if is_tensor else "(H, W, C)"
        raise SettingsError(
            f"{name} has the shape {tuple(array.shape)}; it must be (H, W) or {layout}, "
            "C of 1, 3 or 4 channels"
        )
    if 0 in array.shape:
        raise ImageRejectedError("empty", f"it has the shape {tuple(array.shape)}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if not np.issubdtype(array.dtype, np.floating):
        raise SettingsError(f"{name} is {array.dtype}; it must be uint8, or floating in [0, 1]")
    if not (array.min() >= 0 and array.max() <= 1):
        raise SettingsError(
            f"{name} has values from {array.min():.3g} to {array.max():.3g}; floating ones must be "
            "in [0, 1]"
        )
    return np.asarray(np.round(array * 255), dtype=np.uint8)
