from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from iem_batch.data import schema
from iem_batch.data.run_folder import TOPK, RunFolder, mark, part
from iem_batch.stages.settings import SelectSettings
from iem_batch.stages.topk import topk

PNG = schema.encode_mask(np.ones((2, 2), dtype=np.bool_))


def write_masks(run: RunFolder, shards: list[list[tuple[str, float]]], status: str = "ok") -> None:
    """Write shards of (image_id, error), one first mask of side 78 each."""
    for shard, rows in enumerate(shards):
        table = pa.Table.from_pylist(
            [
                {
                    "image_id": image_id,
                    "mask": {"bytes": PNG, "path": None},
                    "error": error,
                    "init_side": 78,
                    "status": status,
                }
                for image_id, error in rows
            ],
            schema=schema.MASKS,
        )
        run.write_table(part("masks", shard), table)
        sums = {"count": len(rows), "sum_error": sum(error for _, error in rows)}
        run.write_json(mark("masks", shard), {"sides": {"78": sums}})


@settings(max_examples=40, deadline=None)
@given(
    errors=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.7]), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=4),
    k=st.integers(0, 30),
    seed=st.integers(0, 99),
)
def test_equals_sorting_everything(
    tmp_path_factory: object, errors: list[float], cuts: list[int], k: int, seed: int
) -> None:
    """Any sharding, ties, k = 0, k above the number of rows."""
    run = RunFolder(str(tmp_path_factory.mktemp("run")))  # type: ignore[attr-defined]
    rows = [(f"image_{index:02d}", error) for index, error in enumerate(errors)]
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    edges = [0, *sorted(cuts), len(rows)]
    shards = [shuffled[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    write_masks(run, shards)
    selection = topk(run, len(shards), SelectSettings(k=k))
    expected = sorted(rows, key=lambda row: (-row[1], row[0]))[:k]
    table = run.read_table(TOPK)
    assert table.schema.equals(schema.SELECTION, check_metadata=True)
    found = table.to_pylist()
    assert [(row["image_id"], row["error"]) for row in found] == expected
    assert [row["rank"] for row in found] == list(range(len(expected)))
    assert all((row["image_id"], row["error"]) in shards[row["shard"]] for row in found)
    assert selection.num_selected == len(expected)
    assert selection.cut == (expected[-1][1] if expected else None)


def test_empty_masks_are_never_labels(tmp_path: Path) -> None:
    """An empty mask teaches the network nothing, however few masks there are."""
    run = RunFolder(str(tmp_path / "run"))
    write_masks(run, [[("a", 0.0), ("b", 0.0)]], status="empty")
    selection = topk(run, 1, SelectSettings(k=5))
    assert (selection.num_images, selection.num_undefined, selection.num_selected) == (2, 2, 0)
    assert run.read_table(TOPK).to_pylist() == []
