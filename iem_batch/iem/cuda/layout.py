"""Where the arrays of one block lie: in shared memory as far as it goes, else in global memory."""

from dataclasses import dataclass

from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.tables import STRIP_ROWS, TILE_COLUMNS, TILE_ROWS

THREADS = 512
"""Threads of a block; each may have 128 registers."""

CONTROL_BYTES = 8192
"""At least the size of `Control` in state.cuh, which asserts it."""

PLANES = 8
"""Bit planes; `Plane` in state.cuh."""

SUMS = 7
"""Sums over all pixels; `Sums` in predict.cuh."""

MAX_WINDOWS = 32
"""Float64 windows done at once; `kMaxWindows` in state.cuh."""

ALIGNMENT = 16
"""Bytes; every array starts at a multiple."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The values of `Shape` in state.cuh, and what they take."""

    fields: dict[str, int]
    """By the names of `IEM_SHAPE_FIELDS`, in its order."""

    shared_bytes: int
    """Dynamic shared memory of a block."""

    workspace_bytes: int
    """Global memory of a block."""


def _array_bytes(height: int, width: int, rows: int, window: int, threads: int) -> dict[str, int]:
    """Size the arrays that may lie in shared memory, those first that gain most by it."""
    words = -(-width // 32)
    strips = -(-height // STRIP_ROWS)
    tiles = -(-height // TILE_ROWS) * -(-width // TILE_COLUMNS)
    bands = -(-height // rows)
    bits = PLANES * height * words + -(-height // 32) + strips * words + bands
    return {
        "control": CONTROL_BYTES,
        "planes": 4 * bits,
        "spread": max(16 * rows * width, 8 * SUMS * threads, 8 * window),
        "bounds": 3 * 4 * tiles,
        "sign": height * width,
        "v": 4 * height * width,
        "r": 4 * height * width,
        "edges": 4 * bands * rows * width,
    }


def plan_layout(
    height: int,
    width: int,
    radius_y: int,
    radius_x: int,
    settings: IEMSettings,
    *,
    shared_limit: int,
    threads: int = THREADS,
) -> Layout:
    """Place the arrays for images of one size.

    Args:
        height: rows.
        width: columns.
        radius_y: reach of the blur down.
        radius_x: reach of the blur across.
        settings: the switches, and the most iterations, whose masks are kept.
        shared_limit: bytes of shared memory that a block may have.
        threads: of a block.
    """
    window = min(2 * radius_y + 1, height) * min(2 * radius_x + 1, width)
    most_rows = -(-height // STRIP_ROWS) * STRIP_ROWS
    for rows in (32, 16, 8):
        band_rows = min(rows, most_rows)
        sizes = _array_bytes(height, width, band_rows, window, threads)
        # A taller band has fewer barriers; but V and R want their place first.
        if sum(sizes.values()) - sizes["edges"] + len(sizes) * ALIGNMENT <= shared_limit:
            break
    pixels, words = height * width, -(-width // 32)
    private = {
        "uncertain": 4 * pixels,
        "pixel": 4 * pixels,
        "other": 32 * pixels,
        "full": 32 * pixels,
        "scratch": 40 * pixels,
        "hashes": 8 * (settings.iterations + 1),
        "history": 4 * (settings.iterations + 1) * height * words,
    }
    places, shared, workspace = {}, 0, 0
    for name, size in (sizes | private).items():
        padded = -(-size // ALIGNMENT) * ALIGNMENT
        if name in sizes and shared + padded <= shared_limit:
            places[name] = shared
            shared += padded
        else:
            places[name] = ~workspace
            workspace += padded
    fields = {
        "threads": threads,
        "height": height,
        "width": width,
        "radius_y": radius_y,
        "radius_x": radius_x,
        "band_rows": band_rows,
        "windows": min(MAX_WINDOWS, sizes["spread"] // (8 * window)),
        "smoothing": int(settings.smoothing),
        "boundary_only": int(settings.boundary_only),
    }
    return Layout(
        fields=fields | {f"place_{name}": place for name, place in places.items()},
        shared_bytes=shared,
        workspace_bytes=-(-workspace // 256) * 256,
    )
