"""The engines on one NVIDIA GPU: are the masks right, how fast are they, and what is the limit.

    python -m benchmarks.gpu PHOTOS [--json OUT.json]

PHOTOS is a folder of photographs (subfolders too), or an .npz with images uint8 (N, 128, 128, 3);
`--pack OUT.npz` writes such a file without a card, to take along to a machine without photographs.
Needs there: Python 3.11 or newer with numpy, a CUDA build of torch, cuda-bindings and NVRTC, and
this repository as the working directory; Pillow for a folder. It takes less than 10 minutes.

Every figure is the median of rounds, with the least and the greatest; warm, copies from and to the
host included, unless it says otherwise. The GPU must have nothing else to do.
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
from numpy.typing import NDArray

from benchmarks.gpu_float64 import segment_by_autograd
from benchmarks.gpu_work import Work, count_work, share_of_limits
from iem_batch.errors import IEMBatchError
from iem_batch.iem import cuda_backend
from iem_batch.iem.batch import Batch, Item, make_engine, run_batch
from iem_batch.iem.cuda import driver
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.torch_state import exact_torch

Images = NDArray[np.uint8]
Masks = NDArray[np.bool_]
SIZE_PX = 128
SIDES_PX = (32, 44, 60, 78, 92, 108)
BATCHES = (132, 512, 1024, 4096)
TORCH_IMAGES = 512
AUTOGRAD_IMAGES = 64


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


def rates(run: Callable[[], object], items: int, rounds: int) -> Figure:
    """Time a call after one warm-up: items per second."""
    run()
    values = []
    for _ in range(rounds):
        torch.cuda.synchronize()
        start = time.perf_counter()
        run()
        torch.cuda.synchronize()
        values.append(items / (time.perf_counter() - start))
    return figure(values)


def repeat(images: Images, count: int) -> Images:
    """Fill a batch with the photographs, over and over."""
    return images[np.arange(count) % len(images)]


def run_torch(images: Images, captured: bool) -> None:
    """Run the `torch` engine's iterations on the card, eager or as a graph."""
    device = torch.device("cuda")
    engine = make_engine(
        SIZE_PX,
        SIZE_PX,
        IEMSettings(colors="rgb", diversity_weight=0.001),
        device,
        captured=captured,
    )
    first_HW = first_masks(1, (78,))[0, 0]
    items = (
        Item(position=(b, 0), image_HW3=image, first_mask_HW=first_HW)
        for b, image in enumerate(images)
    )
    with exact_torch(1):
        for _ in run_batch(items, Batch(256, SIZE_PX, SIZE_PX, engine)):
            pass


def correctness(images: Images, budget_s: float) -> dict[str, Any]:
    """Compare final masks with the printed formulas in float64, by autograd on the same card."""
    result = cuda_backend.segment(
        images, first_masks(len(images), (78,)), IEMSettings(colors="rgb", diversity_weight=0.001)
    )
    same, compared, error, start = 0, 0, 0.0, time.monotonic()
    for begin in range(0, len(images), 128):
        part = slice(begin, begin + 128)
        mask_BHW, error_B = segment_by_autograd(
            images[part], first_masks(1, (78,))[0, 0], 150, torch.float64
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


def schedules(images: Images) -> dict[str, bool]:
    """Check that neither order nor batch changes a bit, and that `native` gives the same bits."""
    from iem_batch.iem import native_backend

    first = first_masks(len(images), SIDES_PX)
    once = cuda_backend.segment(images, first, IEMSettings(colors="rgb", diversity_weight=0.001))
    back = cuda_backend.segment(
        images[::-1], first, IEMSettings(colors="rgb", diversity_weight=0.001)
    )
    names = ("mask_BSHW", "error_foreground_BS", "error_background_BS", "iterations_BS")
    found = {
        "backwards": all(
            np.array_equal(getattr(once, name), getattr(back, name)[::-1]) for name in names
        )
    }
    if native_backend.unavailable() is None:
        by_native = native_backend.segment(
            images, first, IEMSettings(colors="rgb", diversity_weight=0.001), num_threads=16
        )
        found["native, every bit"] = all(
            np.array_equal(getattr(once, name), getattr(by_native, name)) for name in names
        )
    return found


def speeds(images: Images, rounds: int, multiprocessors: int) -> dict[str, Any]:
    """Measure the kernel at several batch sizes with one first mask and with six."""
    table = {}
    for sides in ((78,), SIDES_PX):
        for size in BATCHES:
            batch, first = repeat(images, size), first_masks(size, sides)
            rate = rates(
                lambda batch=batch, first=first: cuda_backend.segment(
                    batch, first, IEMSettings(colors="rgb", diversity_weight=0.001)
                ),
                size,
                rounds,
            )
            table[f"{len(sides)} first masks, batch {size}"] = {
                "images/s": asdict(rate),
                "images/s per SM": rate.median / multiprocessors,
            }
    return table


def comparison(images: Images, rounds: int) -> dict[str, Any]:
    """Measure the other programs on the same card, one first mask, 150 iterations."""
    few, square = images[:AUTOGRAD_IMAGES], first_masks(1, (78,))[0, 0]
    torch_images = repeat(images, TORCH_IMAGES)
    runs: dict[str, tuple[Callable[[], object], int]] = {
        "torch, eager": (lambda: run_torch(torch_images, False), TORCH_IMAGES),
        "torch, graph": (lambda: run_torch(torch_images, True), TORCH_IMAGES),
        "autograd, float32": (
            lambda: segment_by_autograd(few, square, 150, torch.float32),
            AUTOGRAD_IMAGES,
        ),
        "autograd, float64": (
            lambda: segment_by_autograd(few, square, 150, torch.float64),
            AUTOGRAD_IMAGES,
        ),
    }
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
    reason = cuda_backend.unavailable()
    if reason is None and not torch.cuda.is_available():
        reason = "torch was built without CUDA, and the comparison needs it"
    if reason is not None:
        sys.exit(f"benchmarks.gpu needs an NVIDIA GPU: {reason}")
    device = driver.open_device()
    photos = load_photos(args.photos, args.count)
    images = np.concatenate([photos, composites(photos, args.composites)])
    record: dict[str, Any] = {
        "command": " ".join(sys.argv),
        "date": datetime.date.today().isoformat(),
        "card": {
            "name": device.name,
            "architecture": f"sm_{device.architecture}",
            "SMs": device.multiprocessors,
            "torch": torch.__version__,
        },
        "images": {"photographs": len(photos), "composites": args.composites},
    }
    steps: dict[str, Callable[[], Any]] = {
        "same bits": lambda: schedules(images[:1000]),
        "cuda": lambda: speeds(photos, args.rounds, device.multiprocessors),
        "beside it, images/s": lambda: comparison(photos, args.rounds),
        "correctness": lambda: correctness(images, args.float64_seconds),
    }
    for name, step in steps.items():
        record[name] = step()
        print(name, json.dumps(record[name], indent=2), flush=True)
    best = max(row["images/s"]["median"] for key, row in record["cuda"].items() if key[0] == "1")
    work: Work = count_work(photos[:64])
    record["limits"] = share_of_limits(work, best, device)
    record["times of autograd in float32"] = (
        best / record["beside it, images/s"]["autograd, float32"]["median"]
    )
    print("limits", json.dumps(record["limits"], indent=2))
    write(record, args.json)


if __name__ == "__main__":
    try:
        main()
    except IEMBatchError as error:
        sys.exit(f"benchmarks.gpu: {error}")
