"""Opening images by Pillow: which formats, within which limits, and without noise."""

import contextlib
import ctypes
import functools
import importlib.util
import io
import warnings
from collections.abc import Iterator

from PIL import Image, _imaging

from iem_batch.errors import ImageRejectedError
from iem_batch.images.first_bytes import image_extension

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "DIB", "GIF", "TIFF", "PPM")

_NAMES = {
    "jpg": "JPEG",
    "png": "PNG",
    "gif": "GIF",
    "bmp": "BMP",
    "tif": "TIFF",
    "webp": "WebP",
    "ppm": "PPM",
    "avif": "AVIF",
    "heic": "HEIC",
    "jxl": "JPEG XL",
}
"""Extension -> what a person calls the format."""

_NOT_READ = {
    "avif": ("AVIF", "pip install 'pillow>=11.3' reads it"),
    "heic": ("HEIF", "pip install 'iem-batch[heif]' reads it"),
    "jxl": ("JXL", "it is not read; convert it to PNG"),
}
"""Extension -> the format in `formats`, and what to do where it is not there."""


@functools.cache
def formats() -> tuple[str, ...]:
    """List the formats that are tried (MPO opens as JPEG); none runs another program, as EPS would.

    AVIF is one where Pillow reads it, HEIF where pillow-heif is installed. JPEG XL is none: its
    plugin decodes an image before anybody can tell its size.
    """
    found = list(_FORMATS)
    if importlib.util.find_spec("PIL.AvifImagePlugin"):
        found.append("AVIF")
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
        found.append("HEIF")
    return tuple(found)


@contextlib.contextmanager
def open_image(data: bytes, max_pixels: int = 0) -> Iterator[Image.Image]:
    """Read the header of an image, without warnings; its pixels are not read yet.

    Args:
        data: an encoded image.
        max_pixels: the caller takes images of so many pixels, even if Pillow takes less by itself.

    Raises:
        Exception: nearly any, from Pillow's plugins: the header cannot be read.
    """
    _quiet_libtiff()
    _allow_pixels(max_pixels)
    # Pillow warns of odd and of large files. The row of the image tells of that, not the log; nor
    # may it raise where warnings are errors.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data), formats=formats()) as image:
            yield image


def unidentified(data: bytes) -> ImageRejectedError:
    """Tell what is no image from an image of another format, or whose header is damaged."""
    if not data:
        return ImageRejectedError("empty", "the file has no bytes")
    extension = image_extension(data)
    if extension is None:
        return ImageRejectedError("not_an_image", f"begins with {data[:16]!r}")
    name = _NAMES[extension]
    format_, what_to_do = _NOT_READ.get(extension, ("", ""))
    if what_to_do and format_ not in formats():
        message = f"an image of the format {name}; {what_to_do}"
        return ImageRejectedError("unsupported_format", message)
    return ImageRejectedError("corrupt", f"begins as {name}, but its header cannot be read")


def _allow_pixels(max_pixels: int) -> None:
    """Raise Pillow's own limit, which holds for a process; our own judges each image after that.

    It is never lowered again, so that threads need no lock.
    """
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels > 2 * Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = max_pixels


@functools.cache
def _quiet_libtiff() -> None:
    """Keep libtiff from writing to standard error; Pillow raises for what it cannot decode.

    Pillow has no switch for that, and a file of a thousand damaged strips has as many lines.
    """
    with contextlib.suppress(OSError, AttributeError):  # a Pillow that was built without it
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)
