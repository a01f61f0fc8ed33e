"""A corpus as `export` leaves it, of pictures given."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import require_summary
from iem_batch.steps.topk.selection import TABLE, Selection
from iem_batch.steps.train.pair_files import find_pairs, read_pairs
from tests.pictures import Picture, textured_disc
from tests.steps.hand_made import commit_mark


def write_corpus(
    run: RunFolder,
    pictures: Sequence[Picture],
    pairs_per_file: int = 100,
    held_back: Sequence[Picture] = (),
) -> None:
    """Write export/ with its marks and summary, and those of the selection it was made from."""
    selected = [*pictures, *held_back]
    selection = [
        {
            "image_id": picture.name,
            "shard": 0,
            "error": 1.0,
            "score": 1.0,
            "rank": rank,
        }
        for rank, picture in enumerate(selected)
    ]
    table = pa.Table.from_pylist(selection, schema=schema.SELECTION)
    files = {TABLE: run.write_table(TABLE, table)}
    commit_mark(run, "topk", 0, files, len(selected), facts=asdict(take_all(len(selected))))
    starts = range(0, max(len(pictures), 1), pairs_per_file)
    for index, start in enumerate(starts):
        write_corpus_file(run, index, pictures[start : start + pairs_per_file])
    if held_back:
        write_corpus_file(run, len(starts), held_back, "export/val-00000.parquet")


def take_all(num_images: int) -> Selection:
    """What topk says where it has taken everything."""
    return Selection(
        num_images=num_images,
        num_undefined=0,
        num_outside=0,
        num_near_duplicates=0,
        num_gone=0,
        num_selected=num_images,
        cut=None,
        histogram=[],
        histogram_selected=[],
        by="error",
    )


def write_corpus_file(
    run: RunFolder, index: int, pictures: Sequence[Picture], name: str | None = None
) -> None:
    """Write one file of a corpus and its commit mark, and the sums over all marks."""
    rows = [
        {
            "image_id": picture.name,
            "uri": f"/photos/{picture.name}",
            "image": {"bytes": encode_pixels(picture.image), "path": None},
            "mask": {"bytes": encode_mask(picture.mask), "path": None},
            "error": 1.0 + rank / 4,
            "rank": rank,
        }
        for rank, picture in enumerate(pictures)
    ]
    name = name or layout.part("export", index)
    checksum = run.write_table(name, pa.Table.from_pylist(rows, schema=schema.CORPUS))
    stem = name.removeprefix("export/").removesuffix(".parquet")
    facts = {"split": "train", "stem": stem, "pairs": len(rows), "turned": 0, "rejected": []}
    commit_mark(run, "export", index, {name: checksum}, len(rows), facts=facts)


def small_discs(count: int) -> list[Picture]:
    """Pictures of 24 x 32 pixels."""
    return [textured_disc(seed, 24, 32) for seed in range(count)]


def with_mask(picture: Picture, mask_HW: NDArray[np.bool_]) -> Picture:
    """Give a picture another mask."""
    return picture._replace(mask=mask_HW)


def read_images(run: RunFolder) -> NDArray[np.uint8]:
    """Read all images of a corpus."""
    files = find_pairs(run, require_summary(run, "export"))
    return np.concatenate([part["image"] for part in read_pairs(files, range(files.num_pairs))])
