"""How well masks fit at the size of their photos, by each way to bring them there.

    python benchmarks/upscale.py FOLDER... [--count 60] [--json OUT.json]

A FOLDER has images/ and masks/ of the same names. Masks are those of `segment` and `fuse` with the
defaults, over whole photos. Scores in percent, with 95 % intervals over photos, for each half of a
set (by the MD5 of a name): IoU of the foreground, and F, the boundary F-score: pixels of either
outline within one pixel of the other. The cost is processor time in masks of the engine.
"""

import argparse
import hashlib
import json
import time
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from iem_batch import segment
from iem_batch.iem.backends import load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode_whole
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.evaluate.bootstrap import interval
from iem_batch.steps.upscale.settings import UpscaleMethod
from iem_batch.steps.upscale.upsampling import upsample

Mask = NDArray[np.bool_]
METHODS = get_args(UpscaleMethod)
SHARE, RESAMPLES, SEED = 0.6, 2000, 0


def boundary_f(mask: Mask, truth: Mask) -> float:
    """Compare two outlines."""
    lines = [_outline(mask), _outline(truth)]
    if not (lines[0].any() and lines[1].any()):
        return float(lines[0].any() == lines[1].any())
    far = [ndimage.distance_transform_edt(~line) for line in lines]
    precision, recall = (far[1][lines[0]] <= 1).mean(), (far[0][lines[1]] <= 1).mean()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def _outline(mask: Mask) -> Mask:
    """Find the foreground pixels with a background neighbour, of four, inside the picture."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def measure(folder: Path, count: int) -> list[dict[str, Any]]:
    """Measure a set of photos, by halves."""
    every = sorted((folder / "masks").iterdir())
    truths = [every[i] for i in np.linspace(0, len(every) - 1, min(count, len(every))).astype(int)]
    photos = [next((folder / "images").glob(f"{path.stem}.*")) for path in truths]
    found = segment([str(path) for path in photos])
    engine, first_1SS = load_backend("native"), centred_squares(128, 128, [int(SHARE * 128)])
    started = time.process_time()
    for image_SS3 in found.images:
        engine(image_SS3[None], first_1SS[None], IEMSettings(), num_threads=1)
    engine_s = (time.process_time() - started) / len(photos)
    figure_BMK = np.empty((len(photos), len(METHODS), 3))
    for b, (photo, path, mask_SS) in enumerate(zip(photos, truths, found.masks, strict=True)):
        photo_HW3 = decode_whole(photo.read_bytes(), DecodeSettings())
        truth_HW = np.asarray(Image.open(path).convert("L")) >= 128
        for m, method in enumerate(METHODS):
            started = time.process_time()
            mask_HW, _ = upsample(mask_SS, photo_HW3, method, "squash")
            seconds = time.process_time() - started
            iou = (mask_HW & truth_HW).sum() / max((mask_HW | truth_HW).sum(), 1)
            figure_BMK[b, m] = 100 * iou, 100 * boundary_f(mask_HW, truth_HW), seconds / engine_s
    half_B = np.array([hashlib.md5(path.stem.encode()).digest()[0] % 2 for path in truths])
    return [
        {"photos": folder.name, "half": half, "count": int((half_B == half).sum())}
        | {"method": method, **summary(figure_BMK[half_B == half, m])}
        for half in (0, 1)
        for m, method in enumerate(METHODS)
    ]


def summary(figure_BK: NDArray[np.float64]) -> dict[str, list[float]]:
    """Give the mean, and the ends of its interval, of each figure."""
    values_3K = np.vstack([figure_BK.mean(axis=0), interval(figure_BK, RESAMPLES, SEED)]).round(2)
    return dict(zip(("iou", "f", "cost"), values_3K.T.tolist(), strict=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--count", type=int, default=60, help="photos of a set, at most")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rows = [row for folder in options.folders for row in measure(folder, options.count)]
    print(*rows, sep="\n")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
