"""A run of LSUN Car's size with GPUs that are not there: how much can one driver keep busy?

    python -m benchmarks.simulate [--images 5500000] [--shard-size 4096] [--json OUT.json]

Several raylets on this machine say that they have GPUs. The collection, its plan, the tasks, the
actors and the commits are real; decoding and the engine only wait as long as they would take, and
all masks are one. What limits the run here is the machine that plays all nodes at once. What would
limit it on a cluster is the driver, which has its own machine there: the processor time it takes
for a shard says at how many images a second it would be fully busy. Its main thread is the first to
be: Python runs one thread at a time.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.cluster_utils import Cluster

from benchmarks.fake import Counter, PretendStep, work_of, write_parquet
from benchmarks.memory import peak_mb
from iem_batch.exec.ray.pipeline import run_on_cluster
from iem_batch.exec.settings import ClusterSettings
from iem_batch.images.png import encode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed
from iem_batch.run.plan import write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source

LOAD_RATE = 2_000.0
"""Images one CPU decodes in a second."""


def simulate(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Plan and run; returns the figures."""
    picture = encode_pixels(np.full((8, 8), 128, np.uint8))
    write_parquet(folder / "images", options.images, picture, 100_000)
    run = RunFolder(str(folder / "run"))
    started = time.monotonic()
    source = open_source(str(folder / "images"))
    plan = write_plan(run, source, PlanSettings(shard_size=options.shard_size))
    planned_s = time.monotonic() - started
    planned_mb = peak_mb()
    step = PretendStep(
        name="segment",
        run=run,
        place=run,
        plan=plan,
        decode=DecodeSettings(),
        memory_bytes=None,
        load_rate=LOAD_RATE,
        engine_rate=options.engine_rate,
    )
    settings = ClusterSettings(
        device="gpu",
        num_workers=options.nodes * options.gpus,
        shards_per_worker=options.in_flight // (options.nodes * options.gpus),
    )
    counter = Counter()
    main_s, all_s, started = time.thread_time(), time.process_time(), time.monotonic()
    run_on_cluster(work_of(step), range(plan.num_shards), settings, counter)
    wall_s = time.monotonic() - started
    main_s, all_s = time.thread_time() - main_s, time.process_time() - all_s
    assert counter.ok == plan.num_images == options.images
    assert len(committed(run, "segment")) == plan.num_shards
    return {
        "images": counter.ok,
        "shards": plan.num_shards,
        "shards in flight at most": options.in_flight + options.nodes * options.cpus,
        "raylets, GPUs, CPUs": [
            options.nodes,
            options.nodes * options.gpus,
            options.nodes * options.cpus,
        ],
        "s to plan": planned_s,
        "s to run": wall_s,
        "images/s here": counter.ok / wall_s,
        "driver, ms of processor time for a shard": 1000 * all_s / plan.num_shards,
        "driver, ms of its main thread for a shard": 1000 * main_s / plan.num_shards,
        "driver, share of one processor here": all_s / wall_s,
        "images/s at which the driver's main thread is busy": counter.ok / main_s,
        "images/s at which the driver takes one processor": counter.ok / all_s,
        "MB of the driver at most, planned": planned_mb,
        "MB of the driver at most, at the end": peak_mb(),
    }


def main() -> None:
    """Start the raylets, simulate, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=5_500_000)
    parser.add_argument("--shard-size", type=int, default=4096)
    parser.add_argument("--engine-rate", type=float, default=10_000.0)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--gpus", type=int, default=3, help="of each node")
    parser.add_argument("--cpus", type=int, default=6, help="of each node")
    parser.add_argument("--in-flight", type=int, default=300)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    # The workers are started by raylets that know nothing of this folder.
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    memory = {"object_store_memory": 400_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **memory})
    try:
        for _ in range(options.nodes):
            cluster.add_node(num_cpus=options.cpus, num_gpus=options.gpus, **memory)
        ray.init(address=cluster.address, log_to_driver=False)
        with tempfile.TemporaryDirectory() as name:
            results = {
                "machine": f"{platform.machine()}, {os.cpu_count()} cores",
                "load average before": os.getloadavg()[0],
                **simulate(options, Path(name)),
            }
    finally:
        ray.shutdown()
        cluster.shutdown()
    print(json.dumps(results, indent=1))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
