"""Draw photos, the paper's masks, the vote, the final masks and the truth, for the README.

    python benchmarks/picture.py PHOTO... --truth FOLDER --out PICTURE.jpg

FOLDER has masks named like the photos.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from iem_batch import segment
from iem_batch.iem.backends import load_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.fuse.fusion import vote
from iem_batch.steps.fuse.settings import FuseSettings
from iem_batch.steps.report.panels import Panel, cut_out
from iem_batch.steps.report.sheet import Row, draw_sheet
from iem_batch.steps.segment.settings import SegmentSettings


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", nargs="+", help="photographs")
    parser.add_argument("--truth", type=Path, required=True, help="their masks")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    found = segment(args.photos)
    paper = segment(
        args.photos,
        iem=IEMSettings(colors="rgb", diversity_weight=0.001),
        decode=DecodeSettings(fit="crop", resize="nearest"),
        first_masks=SegmentSettings(init_shares=(44 / 128, 78 / 128, 92 / 128)),
        fuse=FuseSettings(method="dataset"),
    )
    size = found.images.shape[1]
    first = centred_squares(size, size, SegmentSettings().sides_px(size))
    engine = load_backend("auto")
    first_BSHW = np.broadcast_to(first, (len(found), *first.shape))
    masks = engine(found.images, first_BSHW, IEMSettings(), num_threads=1).mask_BSHW
    rows = []
    for b, name in enumerate(args.photos):
        truth = Image.open(args.truth / f"{Path(name).stem}.png").convert("L")
        truth_HW = np.asarray(truth.resize((size, size), Image.Resampling.NEAREST)) > 127
        grey_HW = np.rint(255 * vote(masks[b])).astype(np.uint8)
        pictures = {
            "photo": found.images[b],
            "the paper's mask": cut_out(paper.images[b], paper.masks[b]),
            "vote of six masks": np.repeat(grey_HW[..., None], 3, axis=2),
            "final mask": cut_out(found.images[b], found.masks[b]),
            "truth": cut_out(found.images[b], truth_HW),
        }
        panels = [Panel(label=k, alt=k, picture_HW3=v) for k, v in pictures.items()]
        either = (found.masks[b] | truth_HW).sum()
        iou = 100 * (found.masks[b] & truth_HW).sum() / max(1, either)
        rows.append(Row(caption=f"{Path(name).name}: IoU {iou:.0f} %", panels=panels))
    draw_sheet(rows).save(args.out, quality=85)


if __name__ == "__main__":
    main()
