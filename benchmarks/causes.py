"""Where IEM goes wrong on photographs with truth: the objective, the search, or the settings?

    python benchmarks/causes.py SET [SET ...] [--count 100] [--json OUT]

For each set (a folder with images/ and masks/, and ignore/ whose white pixels count nowhere) and a
seeded sample of it: the terms of the objective at IEM's mask, at the true mask, at the centre
square and at the mask IEM reaches when it starts from the truth; which term decides the sign of the
gradient on their boundaries; then what other first masks, lambda, sigma, resizing and image sizes
change. IoU is as labelled, in percent; E and D as in the paper, for images in [-1, 1].
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from iem_batch.iem.backends import load_backend
from iem_batch.iem.dynamics import movable_pixels
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.objective import centred, diversity, inpainting_errors
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.decode import decode
from iem_batch.images.settings import DecodeSettings
from iem_batch.metrics import as_labelled, confusion

Masks = NDArray[np.bool_]

TERMS = {
    "E_F": "mean error of the foreground inpainted from the background",
    "E_B": "mean error of the background inpainted from the foreground",
    "lambda D": "the diversity term",
    "|dE/dm|": "median over the boundary, without the frame of the image, as all that follows",
    "|lambda dD/dm|": "likewise",
    "E against D": "share where the two want a pixel on different sides",
    "D wins": "share of those where dL/dm has the sign of -dD/dm",
}
"""What is computed of a mask."""

SIDE_PX = 78
PAPER = IEMSettings(colors="rgb", diversity_weight=0.001)
DECODE = DecodeSettings(fit="crop", resize="nearest")
SWEEP = {
    "paper": (SIDE_PX, PAPER, DECODE),
    **{f"first mask {side}": (side, PAPER, DECODE) for side in (32, 44, 60, 92, 108, 120)},
    **{
        f"lambda {weight:g}": (SIDE_PX, replace(PAPER, diversity_weight=weight), DECODE)
        for weight in (0.0, 0.00025, 0.0005, 0.002, 0.004)
    },
    **{
        f"sigma {sigma:g}, kernel {taps}": (
            SIDE_PX,
            replace(PAPER, sigma_px=sigma, kernel_px=taps),
            DECODE,
        )
        for sigma, taps in ((2.5, 5), (10.0, 21), (20.0, 41))
    },
    "antialiased resizing": (SIDE_PX, PAPER, replace(DECODE, resize="antialias")),
    **{
        f"size {size}, all lengths scaled": (
            SIDE_PX * size // 128,
            # E is a mean over pixels and D a sum, so lambda goes with the number of pixels.
            replace(
                PAPER,
                sigma_px=5.0 * size / 128,
                kernel_px=(11 * size // 128) | 1,
                diversity_weight=0.001 * (128 / size) ** 2,
            ),
            replace(DECODE, size_px=size),
        )
        for size in (64, 256)
    },
}


@dataclass(frozen=True, kw_only=True)
class Photos:
    """A sample of a set, decoded."""

    name: list[str]
    image_BHW3: NDArray[np.uint8]
    truth_BHW: Masks
    ignore_BHW: Masks


def load(folder: Path, count: int, settings: DecodeSettings) -> Photos:
    """Decode a seeded sample of the photographs that have a truth."""
    files = [f for f in sorted((folder / "images").iterdir()) if _mask(folder, "masks", f).exists()]
    files = [files[k] for k in np.random.default_rng(0).permutation(len(files))[:count]]
    return Photos(
        name=[file.stem for file in files],
        image_BHW3=np.stack([decode(f.read_bytes(), settings).pixels for f in files]),
        truth_BHW=np.stack([_read(_mask(folder, "masks", f), settings) for f in files]),
        ignore_BHW=np.stack([_read(_mask(folder, "ignore", f), settings) for f in files]),
    )


def _mask(folder: Path, kind: str, file: Path) -> Path:
    return folder / kind / f"{file.stem}.png"


def _read(file: Path, settings: DecodeSettings) -> Masks:
    if not file.exists():
        return np.zeros((settings.size_px, settings.size_px), dtype=np.bool_)
    return decode(file.read_bytes(), settings).pixels.min(axis=2) >= 128


def iem(
    photos: Photos, first_BHW: Masks, settings: IEMSettings
) -> tuple[Masks, NDArray[np.float64]]:
    """Run IEM from one first mask for each photograph; returns masks and their E."""
    result = load_backend("auto")(photos.image_BHW3, first_BHW[:, None], settings, num_threads=1)
    return result.mask_BSHW[:, 0], result.error_BS[:, 0]


def iou(photos: Photos, mask_BHW: Masks) -> NDArray[np.float64]:
    """Score masks as labelled."""
    return as_labelled(confusion(mask_BHW, photos.truth_BHW, photos.ignore_BHW))[:, 1]


def terms(photos: Photos, mask_BHW: Masks) -> NDArray[np.float64]:
    """Compute the columns of `TERMS` for each mask, in float64; NaN where a side is empty."""
    rows = []
    for image_HW3, mask_HW in zip(photos.image_BHW3, mask_BHW, strict=True):
        if mask_HW.all() or not mask_HW.any():
            rows.append((np.nan,) * len(TERMS))
            continue
        image_CHW = torch.from_numpy(centred(image_HW3)).double().permute(2, 0, 1) / 127.5
        field_HW = torch.from_numpy(mask_HW).double().requires_grad_()
        foreground, background = inpainting_errors(image_CHW, field_HW, PAPER)
        weighted = PAPER.diversity_weight * diversity(image_CHW, field_HW)
        (of_error_HW,) = torch.autograd.grad(foreground + background, field_HW)
        (of_diversity_HW,) = torch.autograd.grad(-weighted, field_HW)
        movable_HW = movable_pixels(torch.from_numpy(mask_HW), PAPER)
        movable_HW[[0, -1]] = movable_HW[:, [0, -1]] = False
        error_N, diversity_N = of_error_HW[movable_HW], of_diversity_HW[movable_HW]
        disagrees = error_N.sign() != diversity_N.sign()
        wins = diversity_N[disagrees].abs() > error_N[disagrees].abs()
        values = [
            foreground,
            background,
            weighted,
            error_N.abs().median(),
            diversity_N.abs().median(),
            disagrees.double().mean(),
            wins.double().mean() if len(wins) else torch.tensor(0.5),
        ]
        rows.append(tuple(float(value.detach()) for value in values))
    return np.array(rows)


def where_it_stops(photos: Photos) -> dict[str, Any]:
    """Hold the objective at IEM's masks against that at other masks."""
    size_px = photos.image_BHW3.shape[1]
    square_BHW = np.broadcast_to(
        centred_squares(size_px, size_px, [SIDE_PX]), photos.truth_BHW.shape
    ).copy()
    final_BHW, _ = iem(photos, square_BHW, PAPER)
    masks = {
        "centre square": square_BHW,
        "IEM": final_BHW,
        "truth": photos.truth_BHW,
        "IEM from the truth": iem(photos, photos.truth_BHW, PAPER)[0],
    }
    found = {name: terms(photos, mask_BHW) for name, mask_BHW in masks.items()}
    score = {name: iou(photos, mask_BHW) for name, mask_BHW in masks.items()}
    is_defined = ~np.any([np.isnan(t).any(axis=1) for t in found.values()], axis=0)
    error = {name: t[:, 0] + t[:, 1] for name, t in found.items()}
    objective = {name: error[name] - t[:, 2] for name, t in found.items()}
    loses = score["IEM"] < score["centre square"]
    groups = {"all": np.ones_like(loses), "IEM below the square": loses, "others": ~loses}
    return {
        "photographs": len(photos.name),
        "of them with all terms defined": int(is_defined.sum()),
        "IEM below the square": int(loses.sum()),
        "by group": {
            group: _group(masks, found, score, objective, error, chosen & is_defined)
            for group, chosen in groups.items()
            if (chosen & is_defined).any()
        },
        "lowest IoU": {
            photos.name[b]: {
                "IoU": 100 * score["IEM"][b],
                "square": 100 * score["centre square"][b],
                "from the truth": 100 * score["IEM from the truth"][b],
                "L(IEM) - L(truth)": objective["IEM"][b] - objective["truth"][b],
            }
            for b in np.argsort(score["IEM"])[:10]
        },
    }


def _group(
    masks: dict[str, Masks],
    found: dict[str, NDArray[np.float64]],
    score: dict[str, NDArray[np.float64]],
    objective: dict[str, NDArray[np.float64]],
    error: dict[str, NDArray[np.float64]],
    chosen: NDArray[np.bool_],
) -> dict[str, Any]:
    return {
        "photographs": int(chosen.sum()),
        "share with L(IEM) > L(truth)": float(
            (objective["IEM"] > objective["truth"])[chosen].mean()
        ),
        "share with E(IEM) > E(truth)": float((error["IEM"] > error["truth"])[chosen].mean()),
        "masks": {
            name: {
                "IoU": 100 * float(score[name][chosen].mean()),
                "area": float(mask_BHW[chosen].mean()),
                **dict(zip(TERMS, found[name][chosen].mean(axis=0).tolist(), strict=True)),
                "L": float(objective[name][chosen].mean()),
            }
            for name, mask_BHW in masks.items()
        },
    }


def sweep(folder: Path, count: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Change one setting after the other."""
    paper: NDArray[np.float64] | None = None
    for name, (side, settings, decoding) in SWEEP.items():
        photos = load(folder, count, decoding)
        first_1HW = centred_squares(decoding.size_px, decoding.size_px, [side])
        first_BHW = np.broadcast_to(first_1HW, photos.truth_BHW.shape).copy()
        final_BHW, error_B = iem(photos, first_BHW, settings)
        score = 100 * iou(photos, final_BHW)
        paper = score if paper is None else paper
        difference = score - paper
        yield (
            name,
            {
                "IoU": float(score.mean()),
                "difference": float(difference.mean()),
                "standard error": float(difference.std() / len(score) ** 0.5),
                "area": float(final_BHW.mean()),
                "E": float(error_B.mean()),
            },
        )


def main() -> None:
    """Look at each set, print, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", type=Path, nargs="+", help="folders with images/ and masks/")
    parser.add_argument("--count", type=int, default=100, help="photographs of each, at most")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    record: dict[str, Any] = {"date": time.strftime("%Y-%m-%d"), "count": args.count, "sets": {}}
    for folder in args.sets:
        found = where_it_stops(load(folder, args.count, DECODE))
        found["settings"] = dict(sweep(folder, args.count))
        record["sets"][folder.name] = found
        print(folder.name, json.dumps(found, indent=1), flush=True)
    if args.json:
        args.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
