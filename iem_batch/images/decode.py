"""Encoded bytes to the pixels the engine works on, by Pillow.

JPEGs may be decoded faster by `fast_jpeg`, which gives the same pixels.

The content decides the format, never a name. Everything that cannot be decoded becomes an
`ImageRejectedError` with a reason; nothing here may crash, hang or take memory without bound.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from iem_batch.errors import ImageRejectedError
from iem_batch.images import fast_jpeg, grey16
from iem_batch.images.geometry import jpeg_divisor, to_square
from iem_batch.images.loading import GREY16_MODES, load
from iem_batch.images.opening import open_image, unidentified
from iem_batch.images.settings import DecodeSettings

MAX_ASPECT = 100
"""The longer side may be at most so many times the shorter.

Resizing such a picture by its short side makes it huge, to keep a crop that shows next to nothing.
"""

MAX_SCANS = 100
"""A progressive JPEG may have so many scans; each one is a pass over all pixels for 100 bytes."""

_JPEG = ("JPEG", "MPO")
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
"""The start of a scan in a JPEG: the marker, a length, and the 1 to 4 components it belongs to."""
_ALPHA_MODES = frozenset({"LA", "PA", "RGBA", "La", "RGBa"})
_PLAIN_MODES = frozenset({"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """An image ready for the engine.

    Args:
        pixels: uint8 (size_px, size_px, 3), RGB.
        width: of the original, in pixels, as displayed if EXIF orientation is followed.
        height: of the original, in pixels, as displayed in the same way.
        loses_levels: whether `decode.range` percentile would keep much more of it.
    """

    pixels: NDArray[np.uint8]
    width: int
    height: int
    loses_levels: bool = False


def decode(data: bytes, settings: DecodeSettings) -> Decoded:
    """Decode an image and bring it to the engine's square.

    Transparency is composed over white, 16-bit grey brought to 8 bits as `decode.range` says, of an
    animation the first frame is taken.

    Args:
        data: an encoded image of any of the `formats`.
        settings: the size, and the limits.

    Raises:
        ImageRejectedError: the reason is ``empty``, ``not_an_image``, ``corrupt``, ``truncated``,
            ``too_large``, ``extreme_aspect``, ``unsupported_mode`` or ``unsupported_format``.
    """
    is_fast = not settings.exif_orientation and fast_jpeg.unavailable() is None
    with _opened(data, settings) as image:
        size = width, height = image.size
        divisor = jpeg_divisor(width, height, settings) if image.format in _JPEG else 1
        pixels_HW3 = fast_jpeg.decode_jpeg(image, data, divisor) if is_fast else None
        if pixels_HW3 is not None:
            return _preprocess_rgb(pixels_HW3, settings, size, divisor)
        if divisor > 1 and image.draft(None, (width // divisor, height // divisor)) is None:
            divisor = 1
        return preprocess(image, settings, size if divisor > 1 else None, divisor)


def decode_whole(data: bytes, settings: DecodeSettings) -> NDArray[np.uint8]:
    """Decode as `decode` does, without resizing and cropping.

    Returns:
        pixels: uint8 (height, width, 3), RGB.

    Raises:
        ImageRejectedError: as in `decode`.
    """
    with decode_as_stored(data, settings) as image:
        return _rgb(image, settings)


@contextmanager
def decode_as_stored(data: bytes, settings: DecodeSettings) -> Iterator[Image.Image]:
    """Decode as `decode_whole` does, in the image's own mode, with its palette and transparency.

    Raises:
        ImageRejectedError: as in `decode`, and for any error of the block.
    """
    with _opened(data, settings) as image:
        yield load(image, is_turned=settings.exif_orientation)


@contextmanager
def _opened(data: bytes, settings: DecodeSettings) -> Iterator[Image.Image]:
    """Open an image whose pixels are not read yet, and give all errors of the block a reason."""
    with _rejecting(data), open_image(data, settings.max_pixels) as image:
        _require_decodable(image, data, settings)
        yield image


@contextmanager
def _rejecting(data: bytes) -> Iterator[None]:
    """Give every failure of the decoder a reason.

    Pillow lets nearly any exception of its plugins through: OSError, SyntaxError, ValueError,
    struct.error, ...
    """
    try:
        yield
    except ImageRejectedError:
        raise
    except UnidentifiedImageError as error:
        raise unidentified(data) from error
    except (Image.DecompressionBombError, MemoryError) as error:
        raise ImageRejectedError("too_large", _describe(error)) from error
    except Exception as error:
        is_truncated = "truncated" in str(error).lower() or _is_short_webp(data)
        reason = "truncated" if is_truncated else "corrupt"
        raise ImageRejectedError(reason, _describe(error)) from error


def _is_short_webp(data: bytes) -> bool:
    """Compare with the size that a WebP file declares; its decoder has one message for all."""
    return data.startswith(b"RIFF") and len(data) < 8 + int.from_bytes(data[4:8], "little")


def _require_decodable(image: Image.Image, data: bytes, settings: DecodeSettings) -> None:
    """Judge by the header alone, before any pixel takes memory."""
    width, height = image.size
    if width * height > settings.max_pixels:
        message = f"{width}x{height} is more than {settings.max_pixels} pixels"
        raise ImageRejectedError("too_large", message)
    if min(width, height) < 1:
        raise ImageRejectedError("corrupt", f"the header says {width}x{height} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        message = f"one side of {width}x{height} is more than {MAX_ASPECT} times the other"
        raise ImageRejectedError("extreme_aspect", message)
    # TIFF uses mode I for 32-bit integers, whose range nobody knows.
    is_grey16 = image.mode in GREY16_MODES or (image.mode == "I" and image.format != "TIFF")
    if not is_grey16 and image.mode not in _PLAIN_MODES | _ALPHA_MODES:
        message = f"a {image.format} of mode {image.mode} has no agreed way to 8-bit RGB"
        raise ImageRejectedError("unsupported_mode", message)
    if image.format in _JPEG and len(_SCAN.findall(data)) > MAX_SCANS:
        raise ImageRejectedError("corrupt", f"a JPEG of more than {MAX_SCANS} scans")


def preprocess(
    image: Image.Image,
    settings: DecodeSettings,
    size: tuple[int, int] | None = None,
    divisor: int = 1,
) -> Decoded:
    """Resize and crop an image that is open already, as `decode` does.

    Args:
        image: of any mode that `decode` takes; others go the way Pillow takes them to RGB.
        settings: the size, the resizing and the orientation.
        size: see `iem_batch.images.geometry.to_square`.
        divisor: see there.
    """
    image = load(image, is_turned=settings.exif_orientation)
    width, height = size or image.size
    if settings.exif_orientation:
        width, height = image.width * divisor, image.height * divisor
    is_grey16 = grey16.is_grey16(image)
    loses_levels = (
        is_grey16 and settings.range == "full" and grey16.loses_levels(grey16.values(image))
    )
    if settings.resize == "antialias" or is_grey16:
        # Pillow resizes its 16-bit modes by another rule, and their range is that of all pixels.
        image = Image.fromarray(_rgb(image, settings))
        pixels = np.asarray(to_square(image, settings, (width, height), divisor))
    else:
        # In the image's own mode: NEAREST commutes with any conversion of single pixels.
        pixels = _rgb(to_square(image, settings), settings)
    return Decoded(pixels=pixels, width=width, height=height, loses_levels=loses_levels)


def _preprocess_rgb(
    pixels_HW3: NDArray[np.uint8], settings: DecodeSettings, size: tuple[int, int], divisor: int
) -> Decoded:
    if settings.resize == "antialias":
        image = Image.fromarray(pixels_HW3)
        pixels_SS3 = np.asarray(to_square(image, settings, size, divisor))
    else:
        pixels_SS3 = fast_jpeg.nearest_square(pixels_HW3, settings)
    width, height = size
    return Decoded(pixels=pixels_SS3, width=width, height=height)


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _rgb(image: Image.Image, settings: DecodeSettings) -> NDArray[np.uint8]:
    """Convert a loaded image of any decodable mode to uint8 (H, W, 3)."""
    if grey16.is_grey16(image):
        grey_HW = grey16.eight_bits(grey16.values(image), settings.range)
        return np.repeat(grey_HW[..., None], 3, axis=2)
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        return _over_white(np.asarray(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _over_white(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    colour, alpha = rgba[..., :3].astype(np.uint32), rgba[..., 3:].astype(np.uint32)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
