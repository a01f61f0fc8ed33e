"""A corpus as `export` leaves it, of pictures given."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import require_summary
from iem_batch.steps.topk.step import TABLE
from iem_batch.steps.train.pair_files import find_pairs, read_pairs
from tests.pictures import Picture, textured_disc
from tests.steps.hand_made import commit_mark


def write_corpus(run: RunFolder, pictures: Sequence[Picture], pairs_per_file: int = 100) -> None:
    """Write export/ with its marks and summary, and those of the selection it was made from."""
    selection = [
        {
            "image_id": picture.name,
            "shard": 0,
            "error": 1.0,
            "score": 1.0,
            "rank": rank,
        }
        for rank, picture in enumerate(pictures)
    ]
    table = pa.Table.from_pylist(selection, schema=schema.SELECTION)
    commit_mark(run, "topk", 0, {TABLE: run.write_table(TABLE, table)}, len(pictures))
    for index, start in enumerate(range(0, max(len(pictures), 1), pairs_per_file)):
        write_corpus_file(run, index, pictures[start : start + pairs_per_file])


def write_corpus_file(run: RunFolder, index: int, pictures: Sequence[Picture]) -> None:
    """Write one file of a corpus and its commit mark, and the sums over all marks."""
    rows = [
        {
            "image_id": picture.name,
            "uri": f"/photos/{picture.name}",
            "image": {"bytes": schema.encode_pixels(picture.image), "path": None},
            "mask": {"bytes": schema.encode_mask(picture.mask), "path": None},
            "error": 1.0 + rank / 4,
            "rank": rank,
        }
        for rank, picture in enumerate(pictures)
    ]
    name = layout.part("export", index)
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
