"""How well masks fit at the size of their photos, by each way to bring them there.

    python benchmarks/native.py FOLDER... [--limit 150] [--json OUT.json]

A FOLDER has images/ and masks/ of the same names. Masks of 128 x 128 pixels are made by IEM with
the paper's settings (first mask 78), and, to see what enlarging alone does, from the truth itself.
Each is brought to the size of its photo and compared with the truth there, inside the crop:

    IoU       of the foreground, as labelled
    F 0.75 %  boundary F-score: pixels of either outline within 0.75 % of the diagonal of the other
    F 1 px    the same within one pixel
    cost      processor time of enlarging, in times of that of IEM at 128 x 128
"""

import argparse
import json
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from iem_batch.iem.backends import load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode, decode_whole
from iem_batch.images.geometry import mask_to_square
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.upscale.settings import UpscaleMethod
from iem_batch.steps.upscale.upsampling import upsample

Mask = NDArray[np.bool_]
Photo = NDArray[np.uint8]

SIDE_PX = 78
TOLERANCE = 0.0075
DECODE, IEM = (
    DecodeSettings(fit="crop", resize="nearest"),
    IEMSettings(colors="rgb", diversity_weight=0.001),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """Means over photographs; scores in percent."""

    photos: str
    start: str
    method: str
    num_photos: int
    iou: float
    f_diagonal: float
    f_one_pixel: float
    milliseconds: float
    cost: float


def scores(mask: Mask, truth: Mask) -> tuple[float, float, float]:
    """Give IoU and the two boundary F-scores."""
    union = (mask | truth).sum()
    iou = (mask & truth).sum() / union if union else 1.0
    lines = [_outline(mask), _outline(truth)]
    if not (lines[0].any() and lines[1].any()):
        both = float(lines[0].any() == lines[1].any())
        return iou, both, both
    far = [ndimage.distance_transform_edt(~line) for line in lines]
    tolerance = TOLERANCE * float(np.hypot(*mask.shape))
    return iou, *(_f_score(lines, far, limit) for limit in (tolerance, 1.0))


def _outline(mask: Mask) -> Mask:
    """Find the foreground pixels with a background neighbour, of four, inside the picture."""
    padded = np.pad(mask, 1, mode="edge")
    inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def _f_score(lines: Sequence[Mask], far: Sequence[NDArray[np.float64]], limit: float) -> float:
    precision = (far[1][lines[0]] <= limit).mean()
    recall = (far[0][lines[1]] <= limit).mean()
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def timed(mask: Mask, photo: Photo, method: UpscaleMethod) -> tuple[Mask, float]:
    """Enlarge a mask and say how much processor time it took."""
    started = time.process_time()
    enlarged, _ = upsample(mask, photo, method, DECODE.fit)
    return enlarged, time.process_time() - started


def measure(folder: Path, limit: int) -> list[Row]:
    """Measure one set of photographs."""
    engine = load_backend("native")
    first = centred_squares(DECODE.size_px, DECODE.size_px, [SIDE_PX])[None]
    truths = sorted((folder / "masks").iterdir())
    truths = truths[:: -(-len(truths) // limit)]
    found: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    base = []
    for path in truths:
        data = next((folder / "images").glob(f"{path.stem}.*")).read_bytes()
        truth = np.asarray(Image.open(path).convert("L")) >= 128
        photo, small = decode_whole(data, DECODE), decode(data, DECODE).pixels
        started = time.process_time()
        result = engine(small[None], first, IEM, num_threads=1)
        base.append(time.process_time() - started)
        starts = {
            "IEM": result.mask_BSHW[0, 0],
            "truth": mask_to_square(truth, DECODE),
        }
        for start, mask in starts.items():
            _, seen = upsample(mask, photo, "nearest", DECODE.fit)
            rows, columns = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            for method in get_args(UpscaleMethod):
                enlarged, seconds = timed(mask, photo, method)
                figures = (*scores(enlarged[box], truth[box]), seconds)
                found.setdefault((start, method), []).append(figures)
    return [
        row(folder.name, start, method, figures, float(np.mean(base)))
        for (start, method), figures in found.items()
    ]


def row(
    photos: str, start: str, method: str, figures: Sequence[Sequence[float]], base: float
) -> Row:
    """Form the means of one method on one set."""
    iou, f_diagonal, f_one_pixel, seconds = np.mean(figures, axis=0).tolist()
    return Row(
        photos=photos,
        start=start,
        method=method,
        num_photos=len(figures),
        iou=100 * iou,
        f_diagonal=100 * f_diagonal,
        f_one_pixel=100 * f_one_pixel,
        milliseconds=1000 * seconds,
        cost=seconds / base,
    )


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows as a Markdown table."""
    print("| photos | mask | way | IoU | F 0.75 % | F 1 px | cost |\n|---|---|---|---|---|---|---|")
    for item in rows:
        print(
            f"| {item.photos} ({item.num_photos}) | {item.start} | {item.method} | {item.iou:.1f} "
            f"| {item.f_diagonal:.1f} | {item.f_one_pixel:.1f} | {item.cost:.2f} |"
        )


def main() -> None:
    """Measure all sets and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--limit", type=int, default=150, help="photographs of a set, at most")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows = [row for folder in options.folders for row in measure(folder, options.limit)]
    print_table(rows)
    if options.json:
        record = {
            "machine": platform.processor() or platform.machine(),
            "rows": [asdict(row) for row in rows],
        }
        options.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
