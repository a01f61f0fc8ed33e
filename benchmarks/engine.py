"""How fast the engines are, against one another and against cv2.grabCut, on photographs.

    python benchmarks/engine.py FOLDER [--rounds 5] [--threads 2] [--json OUT.json]

Every round runs every program once, one after the other, so that what else the machine does meets
all of them. A figure is the median of the rounds, with the least and the greatest; a ratio is
formed within each round. The slow programs get only the first photographs, and `native` runs on the
same ones for its ratio to each of them. Processor time is that of all threads and processes of a
program: on a busy machine it is the steadier one.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.backends import BACKENDS
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings

Images = NDArray[np.uint8]
Run = Callable[[Images], float]
"""Segments a batch and returns the seconds of processor time it took."""

SIDE_PX = 78
SIDES_PX = (44, 78, 92)
GRABCUT_SIDES_PX = (78, 112)
GRABCUT_ITERATIONS = 5
GRABCUT_PROCESSES = 2
ITERATIONS = (0, 10, 25, 50, 100, 150)
SIZES_PX = (64, 96, 128, 192, 256, 512)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The median of the rounds, the least and the greatest."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.least:.4g} to {self.greatest:.4g})"


Figures = dict[str, Figure]


def figures(values: dict[str, list[float]]) -> Figures:
    """Summarise the rounds of each program."""
    return {
        name: Figure(median=statistics.median(rounds), least=min(rounds), greatest=max(rounds))
        for name, rounds in values.items()
    }


def load_photos(folder: Path, count: int, size_px: int) -> Images:
    """Decode the first files of a folder as the paper does: uint8 (count, size_px, size_px, 3)."""
    files = sorted(path for path in folder.iterdir() if path.is_file())[:count]
    settings = DecodeSettings(fit="crop", resize="nearest", size_px=size_px)
    return np.stack([decode(path.read_bytes(), settings).pixels for path in files])


def run_iem(
    images: Images,
    *,
    backend: str,
    threads: int,
    sides_px: Sequence[int] = (SIDE_PX,),
    iterations: int = 150,
) -> float:
    """Segment a batch with one of the engines; the squares keep their share of 128 pixels."""
    size_px = images.shape[1]
    scaled = [side * size_px // 128 for side in sides_px]
    mask_SHW = centred_squares(size_px, size_px, scaled)
    first_mask_BSHW = np.broadcast_to(mask_SHW, (len(images), *mask_SHW.shape))
    segment = BACKENDS[backend].load()
    start = time.process_time()
    segment(
        images,
        first_mask_BSHW,
        IEMSettings(colors="rgb", diversity_weight=0.001, iterations=iterations),
        num_threads=threads,
    )
    return time.process_time() - start


def grabcut(image: Images, side_px: int) -> float:
    """Segment one image with a centred rectangle; return the processor time."""
    start = time.process_time()
    cv2.setNumThreads(1)
    mask = np.zeros(image.shape[:2], np.uint8)
    corner = (image.shape[0] - side_px) // 2
    rectangle = (corner, corner, side_px, side_px)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, mask, rectangle, *models, GRABCUT_ITERATIONS, cv2.GC_INIT_WITH_RECT)
    return time.process_time() - start


def run_grabcut(images: Images, *, pool: ProcessPoolExecutor, side_px: int) -> float:
    """Segment a batch in the processes of the pool."""
    chunk = max(1, len(images) // (4 * GRABCUT_PROCESSES))
    return sum(pool.map(partial(grabcut, side_px=side_px), images, chunksize=chunk))


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of one call."""

    wall: float
    processor: float


def cost(run: Run, images: Images) -> Cost:
    """Time one call."""
    start = time.perf_counter()
    processor = run(images)
    return Cost(wall=time.perf_counter() - start, processor=processor)


def compare(
    programs: dict[str, tuple[Run, int]], images: Images, rounds: int
) -> dict[str, Figures]:
    """Time programs on the first images, as many as each is given."""
    rates: dict[str, list[float]] = {name: [] for name in programs}
    wall: dict[str, list[float]] = {name: [] for name in programs}
    processor: dict[str, list[float]] = {name: [] for name in programs}
    native, _ = programs["native"]
    for run, count in programs.values():
        run(images[: min(2, count)])
    for _ in range(rounds):
        for name, (run, count) in programs.items():
            own = images[:count]
            taken, base = cost(run, own), cost(native, own)
            rates[name].append(len(own) / taken.wall)
            wall[name].append(taken.wall / base.wall)
            processor[name].append(taken.processor / base.processor)
    return {
        "images per second": figures(rates),
        "wall time in times of native": figures(wall),
        "processor time in times of native": figures(processor),
    }


def milliseconds(
    runs: dict[str, tuple[Run, Images]], rounds: int, *, processor: bool = True
) -> Figures:
    """Time several calls in turn, in milliseconds per image."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, (run, images) in runs.items():
            spent = cost(run, images)
            total = spent.processor if processor else spent.wall
            taken[name].append(1e3 * total / len(images))
    return figures(taken)


def compare_programs(images: Images, args: argparse.Namespace) -> dict[str, Figures]:
    """Compare every engine and cv2.grabCut."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(GRABCUT_PROCESSES, mp_context=spawn) as pool:
        counts = {"native": len(images), "torch": args.torch, "reference": args.reference}
        programs: dict[str, tuple[Run, int]] = {
            name: (partial(run_iem, backend=name, threads=args.threads), count)
            for name, count in counts.items()
        }
        for side_px in GRABCUT_SIDES_PX:
            run = partial(run_grabcut, pool=pool, side_px=side_px)
            programs[f"grabCut, rectangle {side_px}"] = (run, args.grabcut)
        return compare(programs, images, args.rounds)


def dissect_native(images: Images, args: argparse.Namespace) -> dict[str, Figures]:
    """Time native against what its time depends on."""
    native = partial(run_iem, backend="native")
    one = partial(native, threads=1)
    first = images[: args.torch]
    by_iterations: dict[str, tuple[Run, Images]] = {
        f"at most {n}": (partial(one, iterations=n), images) for n in ITERATIONS
    }
    by_size: dict[str, tuple[Run, Images]] = {
        f"{size} x {size}": (one, load_photos(args.folder, len(first), size)) for size in SIZES_PX
    }
    by_threads: dict[str, tuple[Run, Images]] = {
        str(n): (partial(native, threads=n), images) for n in range(1, args.threads + 1)
    }
    by_masks: dict[str, tuple[Run, Images]] = {
        "78": (one, images),
        "44, 78, 92": (partial(one, sides_px=SIDES_PX), images),
    }
    return {
        "native, processor ms by iterations": milliseconds(by_iterations, args.rounds),
        "native, processor ms by size": milliseconds(by_size, args.rounds),
        "native, wall ms by threads": milliseconds(by_threads, args.rounds, processor=False),
        "native, processor ms by first masks": milliseconds(by_masks, args.rounds),
    }


def show(title: str, measured: Figures) -> None:
    """Print one table."""
    print(f"\n{title}: median (least to greatest)")
    for name, value in measured.items():
        print(f"  {name:24} {value}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--native", type=int, default=200, help="photographs for native")
    parser.add_argument("--torch", type=int, default=16, help="photographs for torch")
    parser.add_argument("--grabcut", type=int, default=64, help="photographs for cv2.grabCut")
    parser.add_argument("--reference", type=int, default=1, help="photographs for reference")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write what was asked for."""
    args = parse()
    images = load_photos(args.folder, args.native, 128)
    tables = compare_programs(images, args) | dissect_native(images, args)
    for title, measured in tables.items():
        show(title, measured)
    if args.json:
        record = {
            "command": {name: str(value) for name, value in vars(args).items()},
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "tables": {
                title: {name: asdict(value) for name, value in measured.items()}
                for title, measured in tables.items()
            },
        }
        args.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
