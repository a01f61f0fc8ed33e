"""Run folders written by hand: masks whose scores and errors are known."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import (
    Mark,
    StepRecord,
    add_up,
    committed,
    write_mark,
    write_record,
    write_summary,
)

SIZE = 8


def square(top: int, left: int, side: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def row(image_id: str, mask: NDArray[np.bool_], error: float = 0.5, side: int | None = 4) -> dict:
    grey = encode_pixels(mask.astype(np.uint8) * 255)
    return {
        "image_id": image_id,
        "uri": f"/photos/{image_id}",
        "width": SIZE,
        "height": SIZE,
        "mask": {"bytes": encode_mask(mask), "path": None},
        "error": error,
        "error_foreground": error / 2,
        "error_background": error / 2,
        "area": float(mask.mean()),
        "init_side": side,
        "vote": {"bytes": grey, "path": None},
        "agreement": 1.0,
        "iterations": 7,
        "status": "ok" if 0 < mask.mean() < 1 else "full" if mask.all() else "empty",
    }


def prediction(image_id: str, mask: NDArray[np.bool_], error: float = 0.5) -> dict:
    grey = encode_pixels(mask.astype(np.uint8) * 255)
    return row(image_id, mask, error) | {"probability": {"bytes": grey, "path": None}}


def write_shard(
    run: RunFolder, step: str, shard: int, rows: list[dict], rejected: list[dict] | None = None
) -> None:
    """Write what a step leaves for one shard: the table, the quarantine and the commit mark."""
    table = pa.Table.from_pylist(rows, schema=_SCHEMAS[step])
    files = {layout.part(step, shard): run.write_table(layout.part(step, shard), table)}
    rejected = rejected or []
    if rejected:
        name = layout.part(layout.QUARANTINE, shard)
        table = pa.Table.from_pylist(rejected, schema=schema.QUARANTINE)
        files[name] = run.write_table(name, table)
    sides: dict[str, dict[str, float]] = {}
    for item in rows:
        side = sides.setdefault(str(item["init_side"]), {"count": 0, "sum_error": 0.0})
        side["count"] += 1
        side["sum_error"] += item["error"]
    num_ok = len({item["image_id"] for item in rows})
    facts = {"sides": sides, "first_masks": 2}
    commit_mark(run, step, shard, files, num_ok, len(rejected), facts)


def commit_mark(
    run: RunFolder,
    step: str,
    shard: int,
    files: dict[str, str],
    num_ok: int,
    num_rejected: int = 0,
    facts: dict[str, Any] | None = None,
) -> None:
    """Write a commit mark, and the record and the sums of all shards that the step has now."""
    write_mark(run, step, make_mark(shard, files, num_ok, num_rejected, facts))
    shards = sorted(committed(run, step))
    write_record(run, step, StepRecord(num_shards=shards[-1] + 1, settings={}, versions={}))
    write_summary(run, step, add_up(run, step, shards, _COMBINE[step]))


def make_mark(
    shard: int,
    files: dict[str, str],
    num_ok: int,
    num_rejected: int = 0,
    facts: dict[str, Any] | None = None,
) -> Mark:
    """Make a commit mark; benchmarks of many shards write it themselves, and add up once."""
    return Mark(
        shard=shard,
        planned=num_ok + num_rejected,
        ok=num_ok,
        quarantined=num_rejected,
        files=files,
        facts=facts or {},
        settings_digest="",
        attempts=1,
        seconds=2.0,
        finished=1000.0 + shard,
        host="here",
    )


def _nothing(facts: list[dict[str, Any]]) -> dict[str, Any]:
    return {}


def _whole(facts: list[dict[str, Any]]) -> dict[str, Any]:
    return facts[0]


def _sides(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """Give the means of the errors, added up naively."""
    found: dict[str, dict[str, float]] = {}
    for name in dict.fromkeys(name for each in facts for name in each["sides"]):
        sides = [each["sides"][name] for each in facts if name in each["sides"]]
        count = sum(side["count"] for side in sides)
        total = sum(side["sum_error"] for side in sides)
        found[name] = {"count": count, "mean_error": total / count}
    return {"sides": found}


def _pairs(facts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "splits": ["train"],
        "files": {each["stem"]: each["pairs"] for each in facts},
        "turned": 0,
        "lost": None,
    }


_SCHEMAS = {
    "segment": schema.MASKS,
    "fuse": schema.FUSED,
    "predict": schema.REFINED,
    "refine": schema.REFINED,
}

_COMBINE = {
    "segment": _sides,
    "fuse": _whole,
    "topk": _whole,
    "export": _pairs,
    "train": _whole,
    "predict": _nothing,
    "refine": _nothing,
}
"""Step -> what makes the facts of its summary of those of its marks."""


def write_png(path: Path | str, mask: NDArray[np.bool_]) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
