"""Reading export/: which files and rows there are, and the rows of a range, decoded.

N = pairs, H, W = pixels.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import UnidentifiedImageError

from iem_batch.errors import SettingsError, StorageError
from iem_batch.images.png import decode_mask, decode_pixels
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary
from iem_batch.words import count

ROWS_AT_ONCE = 64
"""Rows of a file that are decoded at once; bounds the memory."""

Map = Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]]
"""`map`, or that of a pool of threads."""


@dataclass(frozen=True, kw_only=True)
class PairFiles:
    """Which pairs there are, numbered in the order of the files; is pickled to every worker."""

    place: RunFolder
    names: tuple[str, ...]
    """Files in the place."""
    num_rows: tuple[int, ...]
    """Pairs in each file."""
    shape_HW: tuple[int, int]
    """Size in pixels that all images and masks must have."""

    @property
    def num_pairs(self) -> int:
        """Pairs in all files."""
        return sum(self.num_rows)

    @property
    def record(self) -> np.dtype[np.void]:
        """A decoded pair: RGB, and the mask as packed bits."""
        height, width = self.shape_HW
        return np.dtype(
            [
                ("image", np.uint8, (height, width, 3)),
                ("mask", np.uint8, (-(-height * width // 8),)),
            ]
        )


def find_pairs(place: RunFolder, exported: Summary) -> PairFiles:
    """List the pairs to train on, and make sure that there is something to learn from them.

    Args:
        place: the round with the corpus.
        exported: the summary of export, which has the number of pairs of each file.

    Raises:
        SettingsError: there is no pair, or no mask with two sides.
        StorageError: a file or its first picture is damaged.
    """
    num_pairs = _files(exported, held_back=False)
    shape_HW = _first_shape_with_two_sides(place, num_pairs)
    if shape_HW is None:
        number = sum(num_pairs.values())
        found = (
            f"{count(number, 'pair')}, whose masks are all empty or full" if number else "no pairs"
        )
        raise SettingsError(
            f"SegNet cannot learn from {place.url_of('export')}: it has {found}; "
            "select other images with `iem-batch topk`"
        )
    names, num_rows = tuple(num_pairs), tuple(num_pairs.values())
    return PairFiles(place=place, names=names, num_rows=num_rows, shape_HW=shape_HW)


def find_held_back(files: PairFiles, exported: Summary) -> PairFiles | None:
    """List the pairs that are not learned; None if there are none.

    Args:
        files: the others.
        exported: the summary of export.
    """
    num_pairs = _files(exported, held_back=True)
    if not sum(num_pairs.values()):
        return None
    return replace(files, names=tuple(num_pairs), num_rows=tuple(num_pairs.values()))


def _files(exported: Summary, *, held_back: bool) -> dict[str, int]:
    """Give file -> pairs; those called val- are held back."""
    return {
        f"export/{stem}.parquet": pairs
        for stem, pairs in exported.facts["files"].items()
        if stem.startswith("val-") == held_back
    }


def read_pairs(files: PairFiles, rows: range, map_rows: Map = map) -> Iterator[NDArray[np.void]]:
    """Read and decode the pairs of a range, some at once.

    Args:
        files: those of the corpus.
        rows: numbers of the pairs; may lie in several files.
        map_rows: how to decode the rows that are read at once.

    Yields:
        record_N: of the kind `PairFiles.record`.

    Raises:
        StorageError: a file cannot be read, or a picture is damaged or of another size.
    """
    first = 0
    for name, num_rows in zip(files.names, files.num_rows, strict=True):
        start, stop = max(rows.start - first, 0), min(rows.stop - first, num_rows)
        if start < stop:
            for row_N in _read(files.place, name, ["image_id", "image", "mask"], start, stop):
                yield _decode(files, row_N, map_rows)
        first += num_rows


def _first_shape_with_two_sides(place: RunFolder, names: Iterable[str]) -> tuple[int, int] | None:
    """Give the size of the first mask that has two sides; None if there is none.

    Nearly always it is the first of all, so next to nothing is read.
    """
    for name in names:
        for row_N in _read(place, name, ["image_id", "mask"], 0, None):
            for row in row_N:
                with _named(place, row):
                    mask_HW = decode_mask(row["mask"]["bytes"])
                if mask_HW.any() and not mask_HW.all():
                    return mask_HW.shape
    return None


def _read(
    place: RunFolder, name: str, columns: list[str], start: int, stop: int | None
) -> Iterator[list[dict[str, Any]]]:
    """Read some columns of the rows start..stop-1 of a file, `ROWS_AT_ONCE` or fewer at once."""
    first = 0
    try:
        with place.open_table(name) as table:
            for batch in table.iter_batches(ROWS_AT_ONCE, columns=columns):
                wanted = _part(batch, start - first, None if stop is None else stop - first)
                first += len(batch)
                if len(wanted):
                    yield wanted.to_pylist()
                if stop is not None and first >= stop:
                    return
    except OSError as error:  # pyarrow raises this or, for other damage, its own
        raise StorageError(f"cannot read {place.url_of(name)}: {error}") from error


def _part(batch: pa.RecordBatch, start: int, stop: int | None) -> pa.RecordBatch:
    start = min(max(start, 0), len(batch))
    stop = len(batch) if stop is None else min(stop, len(batch))
    return batch.slice(start, max(stop - start, 0))


def _decode(files: PairFiles, row_N: list[dict[str, Any]], map_rows: Map) -> NDArray[np.void]:
    record_N = np.empty(len(row_N), dtype=files.record)
    decoded = map_rows(partial(_decode_pair, files), row_N)
    for index, (image_HW3, mask_HW) in enumerate(decoded):
        record_N["image"][index] = image_HW3
        record_N["mask"][index] = np.packbits(mask_HW)
    return record_N


def _decode_pair(
    files: PairFiles, row: dict[str, Any]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    with _named(files.place, row):
        image_HW3 = decode_pixels(row["image"]["bytes"])
        mask_HW = decode_mask(row["mask"]["bytes"])
    shape = (*files.shape_HW, 3)
    if image_HW3.shape != shape or (*mask_HW.shape, 3) != shape:
        raise StorageError(
            f"{files.place.url_of('export')}: {row['image_id']} has an image of shape "
            f"{image_HW3.shape} and a mask of {mask_HW.shape} where {shape} is needed; all pairs "
            "must have one size"
        )
    return image_HW3, mask_HW


@contextmanager
def _named(place: RunFolder, row: dict[str, Any]) -> Iterator[None]:
    """Name the pair whose picture cannot be decoded."""
    try:
        yield
    except (UnidentifiedImageError, OSError, SyntaxError, TypeError, ValueError) as error:
        raise StorageError(
            f"{place.url_of('export')}: the picture or mask of {row['image_id']} is damaged: "
            f"{error}"
        ) from error
