"""The whole job beside its parts, in one run: engine, decoding, tar to committed Parquet.

    python -m benchmarks.pipeline PHOTOS [--copies 12] [--rounds 3] [--json OUT.json]

PHOTOS is a folder of photographs. Every round measures the native engine alone on decoded arrays,
decoding alone, and the whole job from a tar on the local disk to committed Parquet on a local Ray,
one after the other. What a job may reach is what the slower part reaches alone. Processor time is
that of all processes taken together and does not depend on what else the machine does; of the job
that and the rate are taken while all workers are at work, without starting them. Then: the memory
of the driver for plans of 10,000 to 1,000,000 tiny images with an instant engine, and what Ray adds
to a shard.
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fake import Counter, EmptyStep, InstantEngine, work_of, write_parquet
from benchmarks.memory import peak_mb
from iem_batch.exec.local import LocalExecutor
from iem_batch.exec.ray.cluster import cluster
from iem_batch.exec.ray.pipeline import run_on_cluster
from iem_batch.exec.settings import ClusterSettings
from iem_batch.exec.step import Work
from iem_batch.iem.backends import load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode
from iem_batch.images.png import encode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.processes import descendants
from iem_batch.run.folder import RunFolder
from iem_batch.run.load import load_shard
from iem_batch.run.marks import Mark
from iem_batch.run.plan import Plan, write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.steps.segment.step import SegmentStep

DECODE = DecodeSettings(fit="crop", resize="nearest")
SHARD_SIZE = 128
CPUS = 2
PLANS = (10_000, 100_000, 1_000_000)
EMPTY_SHARDS = 300


RAYS_OWN = re.compile(r"^ray::(Dashboard|RuntimeEnv)|site-packages/ray/(?!.*default_worker)")
"""Command lines of what Ray runs beside the workers."""

Ticks = dict[int, tuple[int, bool]]
"""Process -> processor time in ticks so far, and whether it is one of Ray's own."""


def processor_ticks() -> Ticks:
    """Look at this process and all below it."""
    ticks: Ticks = {}
    for pid in {os.getpid()} | descendants(os.getpid()):
        with suppress(OSError):
            folder = Path(f"/proc/{pid}")
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            ticks[pid] = (int(fields[11]) + int(fields[12]), bool(RAYS_OWN.search(command)))
    return ticks


def processor_seconds(before: Ticks, after: Ticks, *, rays_own: bool = False) -> float:
    """Give the time that processes took which are there at the end: those at work, or Ray's own."""
    return sum(
        ticks - before.get(pid, (0, own))[0]
        for pid, (ticks, own) in after.items()
        if own == rays_own
    ) / os.sysconf("SC_CLK_TCK")


def measured(work: Callable[[], int]) -> dict[str, float]:
    """Give images a second and processor milliseconds an image of something that does images."""
    before, started = processor_ticks(), time.monotonic()
    count = work()
    seconds, cpu = time.monotonic() - started, processor_seconds(before, processor_ticks())
    return {"images/s": count / seconds, "cpu ms": 1000 * cpu / count}


def write_tar(photos: Path, copies: int, path: Path) -> None:
    """Write the photographs into a tar, each so many times under other names."""
    files = sorted(file for file in photos.iterdir() if file.is_file())
    with tarfile.open(path, "w") as tar:
        for copy in range(copies):
            for file in files:
                tar.add(file, f"{copy}_{file.name}")


def engine_alone(image_BHW3: np.ndarray) -> int:
    """Run the native engine on decoded photographs, each once."""
    first_mask_BSHW = np.broadcast_to(
        centred_squares(DECODE.size_px, DECODE.size_px, (78,)),
        (len(image_BHW3), 1, DECODE.size_px, DECODE.size_px),
    )
    load_backend("native")(
        image_BHW3,
        first_mask_BSHW,
        IEMSettings(colors="rgb", diversity_weight=0.001),
        num_threads=CPUS,
    )
    return len(image_BHW3)


def load_one(run: RunFolder, url: str, shard: int) -> int:
    """Read and decode a shard."""
    return len(load_shard(run, shard, open_source(url), DECODE).image_id)


def whole_job(run: RunFolder, plan: Plan, cpus: int) -> dict[str, float]:
    """Do all shards on Ray; the figures are those of the time in which all workers are at work.

    At both ends of it as many shards are in the works, so what is done of them cancels out.
    """
    step = SegmentStep(
        run=run,
        place=run,
        plan=plan,
        decode=DECODE,
        memory_bytes=None,
        iem=IEMSettings(colors="rgb", diversity_weight=0.001),
        segment=SegmentSettings(backend="native", init_shares=(78 / 128,)),
    )
    points: list[tuple[float, Ticks, int]] = []

    class Points(Counter):
        def done(self, mark: Mark) -> None:
            super().done(mark)
            points.append((time.monotonic(), processor_ticks(), self.ok))

    started = time.monotonic()
    run_on_cluster(work_of(step), range(plan.num_shards), ClusterSettings(), Points())
    window = cpus * ClusterSettings().shards_per_worker
    (began, ticks_began, before), (ended, ticks_ended, done) = points[cpus], points[-1 - window]
    cpu = processor_seconds(ticks_began, ticks_ended)
    rays_own = processor_seconds(ticks_began, ticks_ended, rays_own=True)
    return {
        "images/s": (done - before) / (ended - began),
        "cpu ms": 1000 * cpu / (done - before),
        "share of a processor for Ray's own processes": rays_own / (ended - began),
        "images/s with the start of the workers": points[-1][2] / (points[-1][0] - started),
    }


def throughput(photos: Path, copies: int, rounds: int, folder: Path) -> dict[str, Any]:
    """Measure the parts and the whole, round by round."""
    write_tar(photos, copies, folder / "photos.tar")
    source = open_source(str(folder / "photos.tar"))
    results: dict[str, list[dict[str, float]]] = {"engine": [], "decoding": [], "job": []}
    context = get_context("spawn")
    files = sorted(file for file in photos.iterdir() if file.is_file())
    images = np.stack([decode(file.read_bytes(), DECODE).pixels for file in files])
    with cluster(ClusterSettings()), ProcessPoolExecutor(CPUS, context) as pool:
        for number in range(rounds):
            run = RunFolder(str(folder / f"run{number}"))
            plan = write_plan(run, source, PlanSettings(shard_size=SHARD_SIZE))
            load = partial(load_one, run, plan.source_url)
            list(pool.map(load, range(CPUS)))  # the processes have imported what they need
            results["engine"].append(measured(partial(engine_alone, images)))
            results["decoding"].append(measured(partial(_sum, pool, load, range(plan.num_shards))))
            results["job"].append(whole_job(run, plan, CPUS))
    by_round = list(zip(*results.values(), strict=True))
    shares = {
        "images/s": [
            job["images/s"] / min(part["images/s"] for part in parts) for *parts, job in by_round
        ],
        "processor time": [
            max(part["cpu ms"] for part in parts) / job["cpu ms"] for *parts, job in by_round
        ],
        # On the same processors nothing can be quicker than both parts together.
        "processor time of both parts": [
            sum(part["cpu ms"] for part in parts) / job["cpu ms"] for *parts, job in by_round
        ],
    }
    return {"rounds": results, "job as a share of its slower part": shares}


def _sum(pool: ProcessPoolExecutor, work: Callable[[int], int], shards: range) -> int:
    return sum(pool.map(work, shards))


def driver_memory(num_images: int, folder: Path) -> dict[str, float]:
    """Plan and do tiny images with an instant engine; run in a process of its own."""
    picture = encode_pixels(np.full((8, 8), 128, np.uint8))
    write_parquet(folder / "images", num_images, picture, 100_000)
    run = RunFolder(str(folder / "run"))
    started = time.monotonic()
    plan = write_plan(run, open_source(str(folder / "images")), PlanSettings(shard_size=1000))
    planned = peak_mb()
    step = InstantEngine(
        run=run,
        place=run,
        plan=plan,
        decode=DecodeSettings(fit="crop", resize="nearest", size_px=8),
        memory_bytes=None,
        iem=IEMSettings(colors="rgb", diversity_weight=0.001),
        segment=SegmentSettings(backend="native", init_shares=(0.25,)),
    )
    counter, settings = Counter(), ClusterSettings(num_workers=CPUS)
    with cluster(ClusterSettings()):
        run_on_cluster(work_of(step), range(plan.num_shards), settings, counter)
    assert counter.ok == num_images
    return {
        "images": num_images,
        "MB at most while planning": planned,
        "MB at most": peak_mb(),
        "images/s with plan and start": num_images / (time.monotonic() - started),
    }


def overhead(folder: Path) -> dict[str, float]:
    """Send empty shards through Ray and through this process."""

    def work(name: str) -> Work:
        run = RunFolder(str(folder / name))
        return work_of(
            EmptyStep(
                name="segment", run=run, place=run, plan=None, decode=DECODE, memory_bytes=None
            )
        )

    marks: list[float] = []

    class Times(Counter):
        def done(self, mark: Mark) -> None:
            marks.append(time.monotonic())

    with cluster(ClusterSettings()):
        cpu = time.process_time()
        shards = range(EMPTY_SHARDS)
        settings = ClusterSettings(num_workers=CPUS)
        run_on_cluster(work("ray"), shards, settings, Times())
        cpu = time.process_time() - cpu
    started = time.monotonic()
    LocalExecutor().run(work("here"), range(EMPTY_SHARDS), Counter())
    here = (time.monotonic() - started) / EMPTY_SHARDS
    skipped = 20
    wall = (marks[-1] - marks[skipped]) / (EMPTY_SHARDS - skipped - 1)
    return {
        "ms of wall time for an empty shard on Ray, two at a time": 1000 * wall,
        "ms of the driver's processor time for it": 1000 * cpu / EMPTY_SHARDS,
        "ms for it in one process": 1000 * here,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--copies", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plans", type=int, nargs="*", default=PLANS)
    parser.add_argument("--only-memory", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    # Else everybody else's processes go before Ray's workers, and the parts alone before the whole.
    os.environ.setdefault("RAY_worker_niceness", "0")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only_memory:
            print(json.dumps(driver_memory(options.only_memory, folder)))
            return
        results: dict[str, Any] = {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "load average before": os.getloadavg()[0],
            "overhead": overhead(folder / "overhead"),
        }
        if options.rounds:
            parts = throughput(options.photos, options.copies, options.rounds, folder)
            results["throughput"] = parts
            for figure, values in parts["job as a share of its slower part"].items():
                print(f"job, share of its slower part, {figure}: {statistics.median(values):.3f}")
    results["driver"] = [_in_new_process(count) for count in options.plans]
    print(json.dumps(results, indent=1))
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


def _in_new_process(num_images: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.pipeline", ".", "--only-memory", str(num_images)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, float] = json.loads(printed.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
