"""Run folders written by hand: masks whose scores and errors are known."""

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder

SIZE = 8


def square(top: int, left: int, side: int) -> NDArray[np.bool_]:
    mask = np.zeros((SIZE, SIZE), dtype=np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def row(image_id: str, mask: NDArray[np.bool_], error: float = 0.5, side: int | None = 4) -> dict:
    return {
        "image_id": image_id,
        "uri": f"/photos/{image_id}",
        "width": SIZE,
        "height": SIZE,
        "mask": {"bytes": schema.encode_mask(mask), "path": None},
        "error": error,
        "error_foreground": error / 2,
        "error_background": error / 2,
        "area": float(mask.mean()),
        "init_side": side,
        "agreement": 1.0,
        "iterations": 7,
        "status": "ok" if 0 < mask.mean() < 1 else "full" if mask.all() else "empty",
    }


def prediction(image_id: str, mask: NDArray[np.bool_], error: float = 0.5) -> dict:
    grey = schema.encode_pixels(mask.astype(np.uint8) * 255)
    return row(image_id, mask, error) | {"probability": {"bytes": grey, "path": None}}


def write_shard(
    run: RunFolder, step: str, shard: int, rows: list[dict], rejected: list[dict] | None = None
) -> None:
    """Write what a step leaves for one shard: the table, the quarantine and the commit mark."""
    table_schema = schema.PREDICTIONS if step == "predictions" else schema.MASKS
    table = pa.Table.from_pylist(rows, schema=table_schema)
    files = {layout.part(step, shard): ""}
    run.write_table(layout.part(step, shard), table)
    rejected = rejected or []
    if rejected:
        files[layout.part("quarantine", shard)] = ""
        run.write_table(
            layout.part("quarantine", shard),
            pa.Table.from_pylist(rejected, schema=schema.QUARANTINE),
        )
    sides: dict[str, dict[str, float]] = {}
    for item in rows:
        side = sides.setdefault(str(item["init_side"]), {"count": 0, "sum_error": 0.0})
        side["count"] += 1
        side["sum_error"] += item["error"]
    num_ok = len({item["image_id"] for item in rows})
    mark = {
        "shard": shard,
        "planned": num_ok + len(rejected),
        "ok": num_ok,
        "quarantined": len(rejected),
        "sides": sides,
        "files": files,
        "seconds": 2.0,
        "finished": 1000.0 + shard,
        "host": "here",
    }
    run.write_json(layout.mark(step, shard), mark)


def write_png(path: Path | str, mask: NDArray[np.bool_]) -> None:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)
