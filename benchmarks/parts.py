"""What each part of an image's default mask costs, in times of one first mask of the engine.

    python benchmarks/parts.py FOLDER [--limit 40] [--rounds 5] [--json OUT.json]

FOLDER has photographs. Processor time, not elapsed time; every round runs all parts in turn over
all photographs, and the ratios of each round are of that round. Medians and ranges of the rounds.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from iem_batch.iem.backends import load_backend, resolve
from iem_batch.iem.colors import engine_colors
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode
from iem_batch.images.png import encode_mask
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.fuse.fusion import cut, trimap, vote
from iem_batch.steps.segment.settings import SegmentSettings


def parts_of(photos: list[bytes]) -> dict[str, Callable[[], object]]:
    """Give the parts by name; each does its work on all photographs."""
    images = np.stack([decode(photo, DecodeSettings()).pixels for photo in photos])
    settings, rgb = IEMSettings(), IEMSettings(colors="rgb")
    colors = engine_colors(images, settings)
    size = images.shape[1]
    first = centred_squares(size, size, SegmentSettings().sides_px(size))
    engine = load_backend("native")

    def masks(number: int) -> object:
        first_BSHW = np.broadcast_to(first[:number], (len(images), number, size, size))
        return engine(colors, first_BSHW, rgb, num_threads=1)

    found = engine(colors, np.broadcast_to(first, (len(images), *first.shape)), rgb, num_threads=1)
    votes = [vote(mask_SHW) for mask_SHW in found.mask_BSHW]
    square = np.broadcast_to(first[3:4], (len(images), 1, size, size))
    return {
        "one first mask": lambda: engine(colors, square, rgb, num_threads=1),
        "decoding and resizing": lambda: [decode(photo, DecodeSettings()) for photo in photos],
        "whitening": lambda: engine_colors(images, settings),
        "six first masks": lambda: masks(len(first)),
        "vote": lambda: [vote(mask_SHW) for mask_SHW in found.mask_BSHW],
        "trimap": lambda: [trimap(vote_HW) for vote_HW in votes],
        "graph cut with its trimap": lambda: [
            cut(*pair) for pair in zip(images, votes, strict=True)
        ],
        "PNGs of six masks and one": lambda: [
            encode_mask(mask_HW)
            for masks_SHW in found.mask_BSHW
            for mask_HW in (*masks_SHW, masks_SHW[0])
        ],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="photographs")
    parser.add_argument("--limit", type=int, default=40, help="photographs, the first by name")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    photos = [path.read_bytes() for path in sorted(args.folder.iterdir())[: args.limit]]
    parts = parts_of(photos)
    spent: dict[str, list[float]] = {name: [] for name in parts}
    for _ in range(args.rounds):
        for name, part in parts.items():
            start = time.process_time()
            part()
            spent[name].append((time.process_time() - start) / len(photos))
    unit = np.array(spent["one first mask"])
    figures = {}
    for name, seconds in spent.items():
        ratio = np.array(seconds) / unit
        figures[name] = {
            "ratio": float(np.median(ratio)),
            "low": float(ratio.min()),
            "high": float(ratio.max()),
            "ms": 1000 * float(np.median(seconds)),
        }
        print(
            "{:28} {ratio:6.2f} ({low:.2f} to {high:.2f})  {ms:7.2f} ms".format(
                name, **figures[name]
            )
        )
    if args.json:
        record = {"engine": resolve("native"), "cpu": platform.machine(), "photos": len(photos)}
        args.json.write_text(json.dumps({**record, "parts": figures}, indent=1) + "\n")


if __name__ == "__main__":
    main()
