"""How fast `topk` is on a run of LSUN car's size, against pyarrow and DuckDB on the same files.

    python -m benchmarks.topk make RUN PHOTOS [PHOTOS ...] [--images 5520753] [--shards 1350]
    python -m benchmarks.topk measure RUN [-k 8000] [--rounds 3] [--json OUT.json]

`make` writes fuse/ of a run by the program's own writer: ids of 40 hexadecimal characters as
LSUN has them, drawn errors, and the encoded masks that IEM gives for photographs, also turned and
mirrored, in an order drawn for each file. `measure` starts every program in a process of its own,
one after the other in each round, so that what else the machine does meets all of them; a ratio is
formed within a round. Before the first round all files are read once, so that none waits for the
disk.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from benchmarks.memory import peak_mb
from iem_batch.images.png import encode_mask
from iem_batch.run import layout, schema
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import add_up, write_mark, write_summary
from tests.steps.hand_made import make_mark

SIDES_PX = (44, 78, 92)
"""First masks of the masks that are drawn from."""

CHUNK = 64
"""Photographs segmented at once."""


def pool_of_masks(folders: list[Path]) -> pa.Table:
    """Run IEM from three first masks on every photograph.

    Returns:
        png and status of the masks, each in 8 positions.
    """
    from iem_batch.iem.backends import load_backend
    from iem_batch.iem.masks import centred_squares
    from iem_batch.iem.result import Status
    from iem_batch.iem.settings import IEMSettings
    from iem_batch.images.decode import decode
    from iem_batch.images.settings import DecodeSettings

    files = sorted(file for folder in folders for file in folder.iterdir() if file.is_file())
    engine, first_SHW = load_backend("native"), centred_squares(128, 128, SIDES_PX)
    encoded: list[bytes] = []
    status: list[str] = []
    for start in range(0, len(files), CHUNK):
        chunk = files[start : start + CHUNK]
        images = np.stack(
            [
                decode(file.read_bytes(), DecodeSettings(fit="crop", resize="nearest")).pixels
                for file in chunk
            ]
        )
        first_BSHW = np.broadcast_to(first_SHW, (len(images), *first_SHW.shape))
        result = engine(
            images,
            first_BSHW,
            IEMSettings(colors="rgb", diversity_weight=0.001),
            num_threads=os.cpu_count() or 1,
        )
        for mask, code in zip(
            result.mask_BSHW.reshape(-1, 128, 128), result.status_BS.ravel(), strict=True
        ):
            turned = [np.rot90(mask, turns) for turns in range(4)]
            positions = [*turned, *(mask[::-1] for mask in turned)]
            encoded += [encode_mask(np.ascontiguousarray(mask)) for mask in positions]
            status += len(positions) * [Status(int(code)).name.lower()]
    return pa.table({"png": encoded, "status": status})


def hexadecimal_ids(count: int, rng: np.random.Generator) -> pa.Array:
    """Draw ids of 40 characters."""
    text = pa.py_buffer(rng.bytes(20 * count).hex().encode())
    offsets = pa.py_buffer(np.arange(0, 40 * count + 1, 40, dtype=np.int32))
    return pa.Array.from_buffers(pa.string(), count, [None, offsets, text])


def write_shard(run: RunFolder, masks: pa.Table, edges: NDArray[np.int64], shard: int) -> None:
    """Write the masks of one shard and its commit mark."""
    rng = np.random.default_rng(shard)
    count = int(edges[shard + 1] - edges[shard])
    ids = hexadecimal_ids(count, rng)
    order = rng.choice(len(masks), count, replace=count > len(masks))
    encoded = masks["png"].take(order).combine_chunks()
    picture = pa.StructArray.from_arrays(
        [encoded, pa.nulls(count, pa.string())], fields=list(schema.IMAGE)
    )
    status = masks["status"].take(order)
    error = rng.normal(0.6, 0.12, count).clip(0.01, 2) * pc.equal(status, "ok").to_numpy()
    share = rng.uniform(0.3, 0.7, count)
    columns = {
        "image_id": ids,
        "uri": pc.binary_join_element_wise("/lsun/car/data.mdb", ids, "/"),
        "width": rng.integers(256, 400, count, dtype=np.int32),
        "height": np.full(count, 256, np.int32),
        "mask": picture,
        "vote": picture,
        "error": error,
        "error_foreground": error * share,
        "error_background": error * (1 - share),
        "area": rng.integers(1000, 12000, count) / 128**2,
        "agreement": rng.uniform(0.3, 1, count),
        "status": status,
    }
    name = layout.part("fuse", shard)
    digest = run.write_table(name, pa.table(columns, schema=schema.FUSED))
    write_mark(run, "fuse", make_mark(shard, {name: digest}, count))


def make(args: argparse.Namespace) -> None:
    """Write the run."""
    pool = pool_of_masks(args.photos)
    mean = pc.mean(pc.binary_length(pool["png"])).as_py()
    one_sided = len(pool) - pc.sum(pc.equal(pool["status"], "ok")).as_py()
    print(f"{len(pool):,} masks, {mean:.0f} bytes on average, {one_sided:,} empty or full")
    edges = np.linspace(0, args.images, args.shards + 1).astype(np.int64)
    run = RunFolder(str(args.run))
    write = partial(write_shard, run, pool, edges)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as workers:
        list(workers.map(write, range(args.shards), chunksize=8))
    summary = add_up(run, "fuse", range(args.shards), lambda _: {"first_masks": len(SIDES_PX)})
    write_summary(run, "fuse", summary)


def run_topk(run: Path, k: int) -> int:
    """Select with this program: all of the step, the reading of the summary included."""
    from iem_batch.config import Settings
    from iem_batch.exec.local import LocalExecutor
    from iem_batch.exec.step import commit
    from iem_batch.job import Job
    from iem_batch.steps.topk.settings import TopkSettings
    from iem_batch.steps.topk.step import build

    settings = Settings(topk=TopkSettings(k=k))
    job = Job(run=RunFolder(str(run)), settings=settings, executor=LocalExecutor())

    def select() -> int:
        step = build(job)
        return commit(step, step.compute(), seconds=0.0).ok

    return clock(select)


def run_pyarrow(run: Path, k: int) -> int:
    """Read the two columns, and forget them."""
    import pyarrow.dataset as ds

    masks = ds.dataset(run / "fuse", format="parquet")
    columns = ["image_id", "error"]
    return clock(lambda: sum(len(batch) for batch in masks.to_batches(columns=columns)))


def run_duckdb(run: Path, k: int) -> int:
    """Select by SQL."""
    import duckdb

    query = (
        f"SELECT image_id, error FROM read_parquet('{run}/fuse/*.parquet') WHERE status = 'ok' "
        f"ORDER BY error DESC, image_id LIMIT {k}"
    )
    return clock(lambda: len(duckdb.sql(query).fetchall()))


PROGRAMS = {"topk": run_topk, "pyarrow": run_pyarrow, "duckdb": run_duckdb}


def clock(call: Callable[[], int]) -> int:
    """Print what a call takes, as JSON; imports have been done before."""
    before = time.process_time()
    start = time.perf_counter()
    rows = call()
    taken = {
        "wall_s": time.perf_counter() - start,
        "processor_s": time.process_time() - before,
        "peak_mb": peak_mb(),
        "rows": rows,
    }
    print(json.dumps(taken))
    return rows


def start(program: str, run: Path, k: int) -> dict[str, float]:
    """Run one program in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.topk", "one", program, str(run), str(k)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(args: argparse.Namespace) -> None:
    """Compare the programs."""
    num_bytes = 0
    for file in sorted((args.run / "fuse").iterdir()):
        num_bytes += len(file.read_bytes())
    rounds = [
        {name: start(name, args.run, args.k) for name in PROGRAMS} for _ in range(args.rounds)
    ]
    record = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "load": os.getloadavg(),
        "files": len(list((args.run / "fuse").iterdir())),
        "megabytes": round(num_bytes / 1e6),
        "k": args.k,
        "rounds": rounds,
        "ratios of topk": {
            f"{unit}, to {other}": sorted(r["topk"][unit] / r[other][unit] for r in rounds)
            for other in ("pyarrow", "duckdb")
            for unit in ("wall_s", "processor_s")
        },
        "peak_mb of topk": max(r["topk"]["peak_mb"] for r in rounds),
    }
    text = json.dumps(record, indent=1)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make", help="write the run")
    making.add_argument("run", type=Path)
    making.add_argument("photos", type=Path, nargs="+")
    making.add_argument("--images", type=int, default=5_520_753)
    making.add_argument("--shards", type=int, default=1350)
    measuring = commands.add_parser("measure", help="compare the programs")
    measuring.add_argument("run", type=Path)
    measuring.add_argument("-k", type=int, default=8000)
    measuring.add_argument("--rounds", type=int, default=3)
    measuring.add_argument("--json", type=Path, help="write the figures here")
    one = commands.add_parser("one", help="run one program in this process")
    one.add_argument("program", choices=PROGRAMS)
    one.add_argument("run", type=Path)
    one.add_argument("k", type=int)
    return parser.parse_args()


def main() -> None:
    """Do what is asked for."""
    args = parse()
    if args.command == "make":
        make(args)
    elif args.command == "measure":
        measure(args)
    else:
        PROGRAMS[args.program](args.run, args.k)


if __name__ == "__main__":
    main()
