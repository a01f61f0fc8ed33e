"""Whether `native` gives the masks of `reference` (autograd, float64) on photographs with truth.

    python benchmarks/reference.py SET [SET ...] --work DIR [--count 60] [--minutes 4] [--json OUT]

SET is a folder with images/ and masks/ (and ignore/, whose white pixels count nowhere). A seeded
sample of it is segmented by both engines with the paper's settings and the masks are compared pixel
by pixel. The formulas take seconds an image, so their masks are kept in DIR, and the same command
goes on where the last one stopped; it ends after the minutes given. Those of `native` are made
anew each time.
"""

import argparse
import json
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.backends import load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
from iem_batch.metrics import METRICS, as_labelled, best_polarity, confusion

SIDE_PX = 78
DECODE = DecodeSettings(fit="crop", resize="nearest")
IEM = IEMSettings(colors="rgb", diversity_weight=0.001)
ENGINES = ("native", "reference")


def sample(folder: Path, count: int, seed: int) -> list[Path]:
    """Choose photographs that have a truth, all of them where there are no more than `count`."""
    photos = [path for path in sorted((folder / "images").iterdir()) if _mask(folder, path)]
    order = np.random.default_rng(seed).permutation(len(photos))[:count]
    return [photos[index] for index in order]


def _mask(folder: Path, photo: Path, kind: str = "masks") -> Path | None:
    path = folder / kind / f"{photo.stem}.png"
    return path if path.exists() else None


def segment(photo: Path, backend: str) -> tuple[NDArray[np.bool_], float]:
    """Segment one photograph; returns the mask and its inpainting error."""
    pixels_HW3 = decode(photo.read_bytes(), DECODE).pixels
    first_1HW = centred_squares(*pixels_HW3.shape[:2], [SIDE_PX])
    result = load_backend(backend)(pixels_HW3[None], first_1HW[None], IEM, num_threads=1)
    return result.mask_BSHW[0, 0], float(result.error_BS[0, 0])


def do_some(folder: Path, photos: list[Path], work: Path, deadline: float) -> int:
    """Segment photographs until the time is over; returns how many are done."""
    done = 0
    for photo in photos:
        kept = work / folder.name / f"{photo.stem}.npz"
        if not kept.exists():
            if time.monotonic() > deadline:
                continue
            kept.parent.mkdir(parents=True, exist_ok=True)
            mask_HW, value = segment(photo, "reference")
            with kept.with_suffix(".tmp").open("wb") as file:
                np.savez_compressed(file, reference=mask_HW, reference_error=value)
            kept.with_suffix(".tmp").rename(kept)
        done += 1
    return done


def compare(folder: Path, photos: list[Path], work: Path) -> dict[str, Any]:
    """Compare the masks that are there."""
    scores: dict[str, list[NDArray[np.float64]]] = {engine: [] for engine in ENGINES}
    pixels, error = [], []
    for photo in photos:
        kept = work / folder.name / f"{photo.stem}.npz"
        if not kept.exists():
            continue
        native_HW, native_error = segment(photo, "native")
        with np.load(kept) as arrays:
            masks = {"native": native_HW, "reference": arrays["reference"]}
            error.append(abs(native_error - float(arrays["reference_error"])))
        pixels.append(int((masks["native"] != masks["reference"]).sum()))
        truth_HW, ignore_HW = (_read(_mask(folder, photo, kind)) for kind in ("masks", "ignore"))
        for engine, mask_HW in masks.items():
            counts = confusion(mask_HW[None], truth_HW[None], ignore_HW[None])
            scores[engine].append(np.concatenate([as_labelled(counts), best_polarity(counts)], 1))
    names = [*METRICS, *(f"best_{name}" for name in METRICS)]
    means = {
        engine: dict(zip(names, np.concatenate(rows).mean(axis=0).tolist(), strict=True))
        for engine, rows in scores.items()
    }
    return {
        "photographs": len(pixels),
        "of": len(photos),
        "identical masks": sum(count == 0 for count in pixels),
        "pixels that differ": sum(pixels),
        "most pixels that differ in one mask": max(pixels),
        "greatest difference of the error": max(error),
        "means": means,
        "difference of mean IoU, points": 100
        * (means["native"]["iou"] - means["reference"]["iou"]),
    }


def _read(mask: Path | None) -> NDArray[np.bool_]:
    if mask is None:
        return np.zeros((DECODE.size_px, DECODE.size_px), dtype=np.bool_)
    return decode(mask.read_bytes(), DECODE).pixels.min(axis=2) >= 128


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="folders with images/ and masks/")
    parser.add_argument("--work", type=Path, required=True, help="where masks are kept")
    parser.add_argument("--count", type=int, default=60, help="photographs of each set, at most")
    parser.add_argument("--seed", type=int, default=0, help="which photographs")
    parser.add_argument("--minutes", type=float, default=4.0, help="when to stop")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def main() -> None:
    """Do what time allows, then compare what there is."""
    args = parse()
    deadline = time.monotonic() + 60 * args.minutes
    tables = {}
    for folder in args.sets:
        photos = sample(folder, args.count, args.seed)
        if do_some(folder, photos, args.work, deadline):
            tables[folder.name] = compare(folder, photos, args.work)
    print(json.dumps(tables, indent=1))
    if args.json:
        commit = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
        )
        record = {
            "date": time.strftime("%Y-%m-%d"),
            "commit": commit.stdout.strip(),
            "machine": platform.processor() or platform.machine(),
            "seed": args.seed,
            "settings": "128 x 128, nearest, first mask 78, 150 iterations",
            "sets": tables,
        }
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
