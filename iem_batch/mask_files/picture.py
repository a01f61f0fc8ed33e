"""What the picture of a mask says: the label of each pixel. H, W = its pixels.

A picture that may mean several things is refused, as one wrong guess makes every score wrong.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import ImageRejectedError, MaskError
from iem_batch.images import grey16
from iem_batch.images.decode import decode_as_stored
from iem_batch.images.geometry import FOREGROUND, VOID
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.settings import Meaning, Values

WHITE = 128
"""Of a soft mask, a pixel is foreground when it has at least this value."""

NEARLY_WHITE = 240
"""Every mask that is white on black has a pixel of at least this value."""

TRIMAPS: dict[tuple[int, ...], tuple[int, int]] = {
    (0, 127, 255): (255, 127),
    (0, 128, 255): (255, 128),
    (1, 2, 3): (1, 3),
}
"""Values of a picture -> which of them is foreground, and which void: of matting, and Oxford-IIIT
Pets."""

VOC_VOID = 255

JPEG = ("JPEG", "MPO")
"""No numbers of classes are written in a format that changes them."""

MAX_CHROMA = 16
"""The channels of a grey that a lossy format has changed differ by no more."""

MAX_LISTED = 8


class _UnclearError(ImageRejectedError):
    """A picture may mean several things; the message says what it has."""

    def __init__(self, message: str) -> None:
        super().__init__("unclear", message)


@dataclass(frozen=True, kw_only=True)
class _Picture:
    value_HW: NDArray[np.integer]
    """From 0 to 65535."""
    is_voc: bool = False
    """Whether the values are numbers of classes by the colours of PASCAL VOC."""
    is_jpeg: bool = False


def read_labels(
    data: bytes, where: str, decode: DecodeSettings, meaning: Meaning
) -> NDArray[np.uint8]:
    """Decode a mask.

    Without a meaning, it is white on black, whose edges may be soft; where it has transparency, all
    that is visible has one colour and is white. Further forms are the class numbers of PASCAL VOC,
    told by their colours, and `TRIMAPS`.

    Args:
        data: an encoded picture.
        where: what it is called in messages.
        decode: limits, and whether EXIF orientation is followed.
        meaning: of its values: grey levels, or numbers in a palette of colours.

    Returns:
        label_HW: see `MaskFiles.read`.

    Raises:
        MaskError: it cannot be decoded, or may mean several things.
    """
    try:
        with decode_as_stored(data, decode) as image:
            picture = _read(image, is_numbered=meaning.is_given)
        is_found = np.zeros(grey16.WHITE + 1, np.bool_)
        is_found[picture.value_HW] = True
        found = np.flatnonzero(is_found).tolist()
        if meaning.is_given:
            foreground, void = _as_given(found, meaning)
        else:
            foreground, void = _recognized(found, picture)
    except _UnclearError as error:
        of_foreground, of_void = meaning.flags
        raise MaskError(
            f"{where} {error.message}; a mask is white on black, or has numbers: {of_foreground} "
            f"says which of them are foreground and {of_void} which count nowhere, as in "
            f"{of_foreground} 1 {of_void} 255"
        ) from error
    except ImageRejectedError as error:
        raise MaskError(f"{where} cannot be used as a mask: {error}") from error
    label_of = np.zeros(len(is_found), np.uint8)
    label_of[foreground] = FOREGROUND
    label_of[void] = VOID
    return np.asarray(label_of[picture.value_HW])


def _as_given(found: list[int], meaning: Meaning) -> tuple[list[int], list[int]]:
    void = _listed(meaning.void)
    if meaning.foreground is not None:
        return _listed(meaning.foreground), void
    return [value for value in found if value not in (0, *void)], void


def _listed(values: Values) -> list[int]:
    if values is None:
        return []
    return [values] if isinstance(values, int) else list(values)


def _recognized(found: list[int], picture: _Picture) -> tuple[list[int], list[int]]:
    """Tell which values are foreground and which void."""
    if picture.is_voc:
        return [value for value in found if value not in (0, VOC_VOID)], [VOC_VOID]
    if tuple(found) in TRIMAPS:
        foreground, void = TRIMAPS[tuple(found)]
        return [foreground], [void]
    is_hard = not any(0 < value < NEARLY_WHITE for value in found)
    is_soft = found[-1] >= NEARLY_WHITE and (picture.is_jpeg or _is_grey_on_both_sides(found))
    if found[-1] < 256 and (is_hard or is_soft):
        return [value for value in found if value >= WHITE], []
    listed = ", ".join(map(str, found[:MAX_LISTED])) + (", ..." if found[MAX_LISTED:] else "")
    raise _UnclearError(f"has the values {listed}, which may mean several things")


def _is_grey_on_both_sides(found: list[int]) -> bool:
    """Tell soft edges, which are dark and light, from a few numbers of classes beside white."""
    is_dark = any(0 < value < WHITE for value in found)
    return is_dark and any(WHITE <= value < 255 for value in found)


def _read(image: Image.Image, *, is_numbered: bool) -> _Picture:
    """Find the values of a decoded picture, before they mean anything."""
    if grey16.is_grey16(image):
        value_HW = grey16.values(image)
        is_widened = not (value_HW % 257).any()  # each byte of 8 bits written twice
        return _Picture(value_HW=value_HW // 257 if is_widened else value_HW)
    color_HW3 = np.asarray(image.convert("RGB"))
    if image.has_transparency_data:
        mask_HW = _mask_in_alpha(np.asarray(image.convert("RGBA")))
        if mask_HW is not None:
            return _Picture(value_HW=mask_HW)
    if image.mode == "P":
        index_HW = np.asarray(image)
        if is_voc := _is_voc(image, index_HW, color_HW3) or is_numbered:
            return _Picture(value_HW=index_HW, is_voc=is_voc)
    lowest_HW = color_HW3.min(axis=2)
    if (color_HW3.max(axis=2) - lowest_HW).max() <= MAX_CHROMA:
        return _Picture(value_HW=lowest_HW, is_jpeg=image.format in JPEG)
    return _Picture(value_HW=_voc_numbers(color_HW3), is_voc=True)


def _mask_in_alpha(rgba_HW4: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    """Give the transparency of a picture that is a mask by it; None where its colours are."""
    color_HW3, alpha_HW = rgba_HW4[..., :3], rgba_HW4[..., 3]
    first = alpha_HW[0, 0]
    if (alpha_HW == first).all():
        is_invisible = first == 0 and (color_HW3 == color_HW3[0, 0]).all()
        return alpha_HW if is_invisible else None
    visible = color_HW3[alpha_HW > 0]
    if (visible != visible[0]).any():
        raise _UnclearError("differs from pixel to pixel both in colour and in transparency")
    return alpha_HW


@functools.cache
def _voc_colors() -> NDArray[np.uint8]:
    """Make the colours (256, 3) of PASCAL VOC.

    Bits 0, 1 and 2 of a number are the highest of red, green and blue, bits 3, 4, 5 the next ones.
    """
    number = np.arange(256)
    channels = [sum(((number >> 3 * k + c) & 1) << (7 - k) for k in range(3)) for c in range(3)]
    return np.stack(channels, axis=1).astype(np.uint8)


def _is_voc(image: Image.Image, index_HW: NDArray[np.uint8], color_HW3: NDArray[np.uint8]) -> bool:
    """Tell the palette of PASCAL VOC; some of its colours are grey, but not the first."""
    first = (image.getpalette("RGB") or [])[3:6]
    colors = _voc_colors()
    return first == colors[1].tolist() and np.array_equal(color_HW3, colors[index_HW])


def _voc_numbers(color_HW3: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Turn the colours of PASCAL VOC back into numbers of classes."""
    code = np.array([1 << 16, 1 << 8, 1])
    code_N, code_HW = _voc_colors() @ code, color_HW3 @ code
    order = np.argsort(code_N)
    place_HW = np.searchsorted(code_N, code_HW, sorter=order).clip(max=len(order) - 1)
    number_HW = order[place_HW]
    if (code_N[number_HW] != code_HW).any():
        raise _UnclearError("has colours, which are not those of PASCAL VOC")
    return np.asarray(number_HW)
