"""A faster way to the same pixels of a JPEG: simplejpeg in the place of Pillow, if installed.

Both are libjpeg-turbo, but each brings a copy of its own, and versions may differ in the inverse
transform or in the interpolation of colours. So the first use in a process decodes pictures made to
show such differences both ways, and if one pixel differs, Pillow does everything. That is why no
setting chooses: pixels depend on it as little as on the number of threads.

Only the pixels come from here. Pillow still reads the header and judges the image, and decodes
every image that libjpeg has a warning for.
"""

import functools
import io
import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.geometry import pad_edges, placement
from iem_batch.images.settings import DecodeSettings

_MODES = ("RGB", "L")
_SUBSAMPLINGS = ("444", "422", "420", "440", "411", "Gray")


def decode_jpeg(image: Image.Image, data: bytes, divisor: int) -> NDArray[np.uint8] | None:
    """Decode a JPEG whose header Pillow has read; only where `unavailable` gives None.

    Args:
        image: opened by Pillow, not loaded.
        data: the bytes it was opened from.
        divisor: of its sides, 1, 2, 4 or 8.

    Returns:
        pixels_HW3: RGB, as Pillow would give, sides divided and rounded up; None if Pillow has to
        do it.
    """
    if image.format != "JPEG" or image.mode not in _MODES:
        return None
    return _decode(data, *image.size, divisor)


def nearest_square(pixels_HW3: NDArray[np.uint8], decode: DecodeSettings) -> NDArray[np.uint8]:
    """Do as `geometry.to_square` does with ``nearest``, taking no more pixels.

    Returns:
        pixels_SS3: S = `decode.size_px`.
    """
    height, width, _ = pixels_HW3.shape
    place = placement(width, height, decode.size_px, decode.fit)
    left, top, right, bottom = place.box
    row_S = _taken(height, place.height)[top:bottom]
    column_S = _taken(width, place.width)[left:right]
    inside = pixels_HW3.take(row_S, axis=0).take(column_S, axis=1)
    return pad_edges(inside, place)


@functools.lru_cache(4096)
def _taken(length: int, resized: int) -> NDArray[np.intp]:
    """Say which pixels Pillow's NEAREST takes along an axis, by asking it."""
    ramp = Image.fromarray(np.arange(length, dtype=np.int32)[None])
    taken = np.asarray(ramp.resize((resized, 1), Image.Resampling.NEAREST))[0]
    return taken.astype(np.intp)  # type: ignore[no-any-return]


def _decode(data: bytes, width: int, height: int, divisor: int) -> NDArray[np.uint8] | None:
    import simplejpeg

    try:
        pixels_HW3: NDArray[np.uint8] = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_width=-(-width // divisor),
            min_height=-(-height // divisor),
            min_factor=divisor,
            strict=True,
        )
    except ValueError:  # also what libjpeg only warns of; Pillow has a reason for each
        return None
    return pixels_HW3


@functools.cache
def unavailable() -> str | None:
    """Say why Pillow does everything in this process; None if it does not."""
    try:
        import simplejpeg
    except ImportError:
        return "simplejpeg is not installed; pip install 'iem-batch[fast]'"
    for (name, data), divisor in itertools.product(_pictures(simplejpeg), (1, 2, 4, 8)):
        with Image.open(io.BytesIO(data)) as image:
            width, height = image.size
            image.draft(None, (width // divisor, height // divisor))
            expected_HW3 = np.asarray(image.convert("RGB"))
        pixels_HW3 = _decode(data, width, height, divisor)
        if pixels_HW3 is None or not np.array_equal(pixels_HW3, expected_HW3):
            return f"simplejpeg {simplejpeg.__version__} and Pillow decode {name} differently"
    return None


def _pictures(simplejpeg: Any) -> list[tuple[str, bytes]]:
    """Make JPEGs of noise, which drives every coefficient to its limits, with edges everywhere.

    Their sizes are no multiples of a block, so that the interpolation at the borders shows.
    """
    noise_HW3 = np.random.default_rng(0).integers(0, 256, (83, 131, 3), dtype=np.uint8)
    smooth_HW3 = np.cumsum(noise_HW3 // 64, axis=1, dtype=np.uint8)
    pictures = []
    for subsampling in _SUBSAMPLINGS:
        pixels = noise_HW3[..., :1] if subsampling == "Gray" else noise_HW3
        space = "GRAY" if subsampling == "Gray" else "RGB"
        for quality in (10, 95):
            data = simplejpeg.encode_jpeg(
                np.ascontiguousarray(pixels),
                quality=quality,
                colorspace=space,
                colorsubsampling=subsampling,
            )
            pictures.append((f"a {subsampling} JPEG of quality {quality}", data))
    for progressive in (False, True):
        sink = io.BytesIO()
        Image.fromarray(smooth_HW3).save(sink, "JPEG", quality=75, progressive=progressive)
        pictures.append((f"a {'progressive' if progressive else 'baseline'} JPEG", sink.getvalue()))
    return pictures
