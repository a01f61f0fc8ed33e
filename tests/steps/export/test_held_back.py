"""Which pairs of a corpus are held back."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from iem_batch.run import schema
from iem_batch.run.folder import RunFolder
from iem_batch.steps.export.files import Selected, corpus_files
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.topk.selection import TABLE

IDS = [f"{number}.jpg" for number in range(40)]
HELD_BACK = {"11.jpg", "12.jpg"}
"""Those whose hash, the first 8 bytes of BLAKE2b over 2 ** 64, is below 0.1."""


def ids_of(run: RunFolder, split: str, ids: Sequence[str], num_shards: int) -> list[str]:
    """Select images that lie in shards, and say which are in a split."""
    rows = [
        {"image_id": name, "shard": rank % num_shards, "error": 1.0, "score": 1.0, "rank": rank}
        for rank, name in enumerate(ids)
    ]
    run.write_table(TABLE, pa.Table.from_pylist(rows, schema=schema.SELECTION))
    share = ExportSettings().val_share_of(len(ids))
    selected = Selected(
        place=run, digest=f"{num_shards} {len(ids)}", pairs_per_file=7, val_share=share
    )
    files = [file for file in corpus_files(selected) if file.split == split]
    return [name for file in files for name in file.rows["image_id"].to_pylist()]


@pytest.mark.parametrize("num_shards", [1, 3, 40])
def test_a_tenth_by_hash_however_sharded(tmp_path: Path, num_shards: int) -> None:
    run = RunFolder(str(tmp_path))
    assert set(ids_of(run, "val", IDS, num_shards)) == HELD_BACK
    assert set(ids_of(run, "train", IDS, num_shards)) == set(IDS) - HELD_BACK


def test_nothing_of_fewer_than_40(tmp_path: Path) -> None:
    assert ids_of(RunFolder(str(tmp_path)), "val", IDS[:39], 1) == []


@pytest.mark.parametrize(
    ("settings", "share"),
    [
        (ExportSettings(), 0.1),
        (ExportSettings(pairs_per_file=7, foreground="as_found"), 0.1),
        (ExportSettings(val_share=0.0), 0.0),
        (ExportSettings(val_share=0.3), 0.3),
        (ExportSettings(format="coco"), 0.0),  # for others, who cut it as they like
        (ExportSettings(to="elsewhere"), 0.0),
    ],
)
def test_share(settings: ExportSettings, share: float) -> None:
    assert settings.val_share_of(40) == share
