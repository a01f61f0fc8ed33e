"""Masks and small pictures as PNG, as they lie in tables and files. H, W = pixels."""

import io

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image


def encode_mask(mask_HW: NDArray[np.bool_]) -> bytes:
    """Encode a mask as a 1-bit PNG; white is foreground."""
    return encode_pixels(mask_HW)


def decode_mask(png: bytes) -> NDArray[np.bool_]:
    """Decode what `encode_mask` wrote: bool (H, W), True is foreground."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("1"))


def encode_pixels(pixels: NDArray[np.uint8 | np.bool_]) -> bytes:
    """Encode uint8 (H, W) grey or (H, W, 3) RGB, or bool (H, W) in one bit, as PNG."""
    if pixels.ndim == 3:
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()
    # Of masks OpenCV's are a fifth smaller than Pillow's and take half the time.
    is_mask = pixels.dtype == np.bool_
    grey_HW = pixels.view(np.uint8) * np.uint8(255 if is_mask else 1)
    flags = [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_BILEVEL, int(is_mask)]
    return cv2.imencode(".png", grey_HW, flags)[1].tobytes()


def decode_pixels(png: bytes) -> NDArray[np.uint8]:
    """Decode what `encode_pixels` wrote: uint8 (H, W) or (H, W, 3)."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)
