"""Images as a caller gives them: paths, URLs, PIL images, arrays and tensors.

B = images, H, W = pixels of one.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import ImageRejectedError, SettingsError
from iem_batch.images.decode import Decoded, decode, preprocess
from iem_batch.images.settings import DecodeSettings

MAX_FILE_BYTES = 1 << 30
"""A file behind a URL with more bytes is not read; no image within the limits needs as many."""


def decode_given(images: Any, settings: DecodeSettings) -> Iterator[tuple[str, Decoded]]:
    """Bring images to the engine's square, as the batch job does it.

    Args:
        images: one image or any number of them in a list: paths, URLs, PIL images, arrays (H, W, 3)
            and tensors (3, H, W) or (H, W, 3); or one array (B, H, W, 3) or tensor (B, 3, H, W).
            Arrays and tensors are RGB, uint8 or floating in [0, 1].
        settings: how.

    Returns:
        Each image with its name: the path, the URL, or its place in what was given.

    Raises:
        ImageRejectedError: an image cannot be decoded; the message names it.
        SettingsError: something is not an image.
        FileNotFoundError: there is no such file.
        StorageError: a URL cannot be read.
    """
    is_one = isinstance(images, str | os.PathLike | Image.Image) or getattr(images, "ndim", 4) == 3
    if not is_one and not isinstance(images, Iterable):
        raise SettingsError(
            f"images is of type {type(images).__name__}; it must be an image or a list of images"
        )
    for number, image in enumerate([images] if is_one else images):
        name = str(image) if isinstance(image, str | os.PathLike) else f"image {number}"
        yield name, _decoded(name, image, settings)


def _decoded(name: str, image: Any, settings: DecodeSettings) -> Decoded:
    if isinstance(image, str | os.PathLike):
        data = _read_url(name) if "://" in name else Path(image).read_bytes()
        try:
            return decode(data, settings)
        except ImageRejectedError as error:
            raise ImageRejectedError(error.reason, f"{name}: {error.message}") from error
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_pixels(name, image))
    return preprocess(image, settings)


def _read_url(url: str) -> bytes:
    # Imported here: images in memory or on disk need no client of a store.
    from iem_batch.storage.folder import Folder
    from iem_batch.storage.web import WebFile, is_web

    file: Folder | WebFile = WebFile(url) if is_web(url) else Folder(url)
    size = file.size("")
    if size > MAX_FILE_BYTES:
        message = f"{url}: {size} bytes, more than {MAX_FILE_BYTES}"
        raise ImageRejectedError("too_large", message)
    return file.read_bytes("")


def _pixels(name: str, image: Any) -> NDArray[np.uint8]:
    """Bring an array or a tensor to uint8 (H, W, 3)."""
    is_tensor = hasattr(image, "detach")  # whatever has it is a tensor; torch is not imported
    array = np.asarray(image.detach().cpu() if is_tensor else image)
    if is_tensor and array.ndim == 3 and array.shape[0] == 3:
        array = np.moveaxis(array, 0, 2)
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        layout = "(3, H, W) or (H, W, 3)" if is_tensor else "(H, W, 3)"
        raise SettingsError(f"{name} has the shape {tuple(array.shape)}; it must be {layout}")
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
