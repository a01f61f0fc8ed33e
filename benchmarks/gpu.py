"""The engines on one NVIDIA GPU: are the masks right, how fast are they, and what is the limit.

    python -m benchmarks.gpu PHOTOS [--json OUT.json]

PHOTOS is a folder of photographs (subfolders too), or an .npz with images uint8 (N, 128, 128, 3);
`--pack OUT.npz` writes such a file without a card, to take along to a machine without photographs.
Needs there: Python 3.11 or newer with numpy, a CUDA build of torch, cuda-bindings and NVRTC, and
this repository as the working directory; Pillow for a folder. It takes less than 10 minutes.

Every figure is the median of rounds, with the least and the greatest; warm, copies from and to the
host included, unless it says otherwise. The GPU must have nothing else to do.

`--emulated` goes through all of it without a card, in seconds: a few photographs, the kernel on the
tests' emulator (it needs g++), torch on the CPU. Its rates say nothing.
"""

import argparse
import datetime
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.gpu_float64 import segment_by_autograd
from benchmarks.gpu_program import Images, Masks, Program, emulated, on_the_card
from benchmarks.gpu_work import Work, count_work, share_of_limits
from iem_batch.errors import IEMBatchError
from iem_batch.iem.batch import Batch, Item, make_engine, run_batch
from iem_batch.iem.cuda import driver
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.torch_state import exact_torch

SIZE_PX = 128
SIDES_PX = (32, 44, 60, 78, 92, 108)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """The median of the rounds, the least and the greatest."""

    median: float
    least: float
    greatest: float


def figure(values: list[float]) -> Figure:
    """Summarise the rounds."""
    return Figure(median=statistics.median(values), least=min(values), greatest=max(values))


def load_photos(path: Path, count: int) -> Images:
    """Read an .npz, or decode the first photographs of a folder as the paper does."""
    if path.is_file():
        with np.load(path) as packed:
            images: Images = packed["images"][:count]
            return images
    from iem_batch.images.decode import decode
    from iem_batch.images.settings import DecodeSettings

    files = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = [p for p in files if p.parent.name not in ("masks", "ignore")][:count]
    settings = DecodeSettings(fit="crop", resize="nearest", size_px=SIZE_PX)
    return np.stack([decode(p.read_bytes(), settings).pixels for p in photos])


def composites(images: Images, count: int) -> Images:
    """Paste a disc of one photograph into another; the paper's image model, with known masks."""
    rng = np.random.default_rng(0)
    y, x = np.indices((SIZE_PX, SIZE_PX))
    out = []
    for _ in range(count):
        near, far = images[rng.integers(0, len(images), 2)]
        (cy, cx), radius = rng.uniform(40, 88, 2), rng.uniform(18, 45)
        disc = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        out.append(np.where(disc[..., None], near, far))
    return np.stack(out)


def first_masks(num_images: int, sides_px: tuple[int, ...]) -> Masks:
    """Centred squares for every image."""
    mask_SHW = centred_squares(SIZE_PX, SIZE_PX, sides_px)
    return np.broadcast_to(mask_SHW, (num_images, *mask_SHW.shape))


def wait() -> None:
    """Wait for the card, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def rates(run: Callable[[], object], items: int, rounds: int) -> Figure:
    """Time a call after one warm-up: items per second."""
    run()
    values = []
    for _ in range(rounds):
        wait()
        start = time.perf_counter()
        run()
        wait()
        values.append(items / (time.perf_counter() - start))
    return figure(values)


def repeat(images: Images, count: int) -> Images:
    """Fill a batch with the photographs, over and over."""
    return images[np.arange(count) % len(images)]


def run_torch(program: Program, images: Images, captured: bool) -> None:
    """Run the `torch` engine's iterations, eager or as a graph."""
    engine = make_engine(
        SIZE_PX, SIZE_PX, program.settings, torch.device(program.device), captured=captured
    )
    first_HW = first_masks(1, (78,))[0, 0]
    items = (
        Item(position=(b, 0), image_HW3=image, first_mask_HW=first_HW)
        for b, image in enumerate(images)
    )
    with exact_torch(1):
        for _ in run_batch(items, Batch(min(256, len(images)), SIZE_PX, SIZE_PX, engine)):
            pass


def correctness(program: Program, images: Images, budget_s: float) -> dict[str, Any]:
    """Compare final masks with the printed formulas in float64, by autograd on the same card."""
    result = program.segment(images, first_masks(len(images), (78,)), program.settings)
    same, compared, error, start = 0, 0, 0.0, time.monotonic()
    for begin in range(0, len(images), 128):
        part = slice(begin, begin + 128)
        mask_BHW, error_B = segment_by_autograd(
            images[part],
            first_masks(1, (78,))[0, 0],
            program.settings.iterations,
            torch.float64,
            program.device,
        )
        equal_B = (mask_BHW == result.mask_BSHW[part, 0]).all(axis=(1, 2))
        same, compared = same + int(equal_B.sum()), compared + len(equal_B)
        error = max(
            error, float(np.abs(error_B - result.error_BS[part, 0])[equal_B].max(initial=0))
        )
        if time.monotonic() - start > budget_s:
            break
    return {
        "final masks compared with float64": compared,
        "identical": same,
        "largest difference of E where the masks are": error,
    }


def schedules(program: Program, images: Images) -> dict[str, bool]:
    """Check that neither order nor batch changes a bit, and that `native` gives the same bits."""
    from iem_batch.iem import native_backend

    first = first_masks(len(images), SIDES_PX)
    once = program.segment(images, first, program.settings)
    back = program.segment(images[::-1], first, program.settings)
    names = ("mask_BSHW", "error_foreground_BS", "error_background_BS", "iterations_BS")
    found = {
        "backwards": all(
            np.array_equal(getattr(once, name), getattr(back, name)[::-1]) for name in names
        )
    }
    if native_backend.unavailable() is None:
        by_native = native_backend.segment(images, first, program.settings, num_threads=16)
        found["native, every bit"] = all(
            np.array_equal(getattr(once, name), getattr(by_native, name)) for name in names
        )
    return found


def speeds(program: Program, images: Images, rounds: int) -> dict[str, Any]:
    """Measure the kernel at several batch sizes with one first mask and with six."""
    table = {}
    for sides in ((78,), SIDES_PX):
        for size in program.batches:
            batch, first = repeat(images, size), first_masks(size, sides)
            rate = rates(
                lambda batch=batch, first=first: program.segment(batch, first, program.settings),
                size,
                rounds,
            )
            table[f"{len(sides)} first masks, batch {size}"] = {
                "images/s": asdict(rate),
                "images/s per SM": rate.median / program.multiprocessors,
            }
    return table


def comparison(program: Program, images: Images, rounds: int) -> dict[str, Any]:
    """Measure the other programs on the same card, one first mask, 150 iterations."""
    few, square = images[: program.autograd_images], first_masks(1, (78,))[0, 0]
    many = repeat(images, program.torch_images)

    def autograd(dtype: torch.dtype) -> object:
        return segment_by_autograd(few, square, program.settings.iterations, dtype, program.device)

    runs: dict[str, tuple[Callable[[], object], int]] = {
        "torch, eager": (lambda: run_torch(program, many, False), len(many)),
        "torch, graph": (lambda: run_torch(program, many, True), len(many)),
        "autograd, float32": (lambda: autograd(torch.float32), len(few)),
        "autograd, float64": (lambda: autograd(torch.float64), len(few)),
    }
    if program.device == "cpu":
        del runs["torch, graph"]
    return {name: asdict(rates(run, n, min(rounds, 3))) for name, (run, n) in runs.items()}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=1100, help="photographs")
    parser.add_argument("--composites", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--float64-seconds", type=float, default=240, help="for the comparison")
    parser.add_argument("--json", type=Path, help="where to write; else benchmarks/results/")
    parser.add_argument("--emulated", action="store_true", help="without a card, to its end")
    parser.add_argument("--pack", type=Path, help="only write the photographs to this .npz")
    return parser.parse_args()


def write(record: dict[str, Any], path: Path | None) -> None:
    """Write the results under the card's name and the date."""
    card = record["card"]["name"].lower().replace(" ", "_")
    name = f"gpu_{card}_{record['date']}.json"
    path = path or Path(__file__).parent / "results" / name
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(f"wrote {path}")


def main() -> None:
    """Measure everything, print it and write it down."""
    args = parse()
    if args.pack is not None:
        np.savez_compressed(args.pack, images=load_photos(args.photos, args.count))
        return
    program = emulated() if args.emulated else on_the_card()
    if args.emulated:
        args.count, args.composites, args.rounds = 3, 2, 1
    photos = load_photos(args.photos, args.count)
    images = np.concatenate([photos, composites(photos, args.composites)])
    record: dict[str, Any] = {
        "command": " ".join(sys.argv),
        "date": datetime.date.today().isoformat(),
        "card": {
            "name": program.name,
            "architecture": f"sm_{program.architecture}",
            "SMs": program.multiprocessors,
            "torch": torch.__version__,
        },
        "images": {"photographs": len(photos), "composites": args.composites},
    }
    steps: dict[str, Callable[[], Any]] = {
        "same bits": lambda: schedules(program, images[:1000]),
        "cuda": lambda: speeds(program, photos, args.rounds),
        "beside it, images/s": lambda: comparison(program, photos, args.rounds),
        "correctness": lambda: correctness(program, images, args.float64_seconds),
    }
    for name, step in steps.items():
        record[name] = step()
        print(name, json.dumps(record[name], indent=2), flush=True)
    best = max(row["images/s"]["median"] for key, row in record["cuda"].items() if key[0] == "1")
    work: Work = count_work(photos[:64], program.device)
    if not args.emulated:
        record["limits"] = share_of_limits(work, best, driver.open_device())
        print("limits", json.dumps(record["limits"], indent=2))
    record["times of autograd in float32"] = (
        best / record["beside it, images/s"]["autograd, float32"]["median"]
    )
    write(record, args.json)


if __name__ == "__main__":
    try:
        main()
    except IEMBatchError as error:
        sys.exit(f"benchmarks.gpu: {error}")
