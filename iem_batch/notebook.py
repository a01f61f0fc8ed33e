"""IEM on some images in memory or on disk, for a notebook: no run folder, no Ray, no pyarrow.

B = images, S = pixels of a side of the engine's square, H, W = pixels of an original.
"""

import os
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.given import decode_given
from iem_batch.iem.backends import load_backend, score_masks
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.settings import DecodeSettings
from iem_batch.steps.fuse.fusion import fuse_one
from iem_batch.steps.fuse.settings import FuseSettings
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.storage.read_ahead import map_ahead

MAX_PLOTTED = 16
"""Rows of a plot; more make a picture that no screen shows."""


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What `segment` found."""

    names: list[str]
    """B names: the path, or the place in what was given."""

    images: NDArray[np.uint8]
    """(B, S, S, 3) RGB, what the engine saw."""

    masks: NDArray[np.bool_]
    """(B, S, S); True is foreground. An image can end with an empty or a full mask."""

    errors: NDArray[np.float64]
    """(B,) inpainting errors E (Eq. 8) in [0, 4]: the higher, the surer; 0 where a mask is empty
    or full."""

    iem: IEMSettings
    """The settings the masks were made with."""

    def __len__(self) -> int:
        return len(self.names)

    def plot(self) -> Image.Image:
        """Draw photo, mask, and what each side of the mask predicts of the other.

        Returns:
            A picture that a notebook shows by itself and that has `save`; of many images the first
            `MAX_PLOTTED`.
        """
        from iem_batch.steps.report.panels import draw_panels
        from iem_batch.steps.report.sheet import Row, draw_sheet

        shown = zip(self.names, self.images, self.masks, self.errors, strict=True)
        return draw_sheet(
            [
                Row(
                    caption=f"{name}: error {error:.3f}, area {100 * mask_SS.mean():.0f} %",
                    panels=list(draw_panels(name, image_SS3, {"IEM": mask_SS}, self.iem)),
                )
                for name, image_SS3, mask_SS, error in list(shown)[:MAX_PLOTTED]
            ]
        )


def segment(
    images: Any,
    *,
    iem: IEMSettings | None = None,
    decode: DecodeSettings | None = None,
    first_masks: SegmentSettings | None = None,
    fuse: FuseSettings | None = None,
    num_threads: int | None = None,
) -> Segmentation:
    """Find the foreground of every image, without labels: what the command `run` gives as well.

    IEM is run from several first masks, and what they led to is fused into one mask.

    Args:
        images: one image or any number of them; see `iem_batch.given.decode_given`.
        iem: how IEM runs; None takes the defaults, as for all settings.
        decode: how images become the engine's square.
        first_masks: what IEM starts from, and which engine runs it.
        fuse: how masks are fused. `dataset` means the images given here.
        num_threads: images worked on at once; None takes one for each processor.

    Raises:
        ImageRejectedError: an image cannot be decoded; the message names it.
        SettingsError: something is not an image, or a setting cannot be used.
        BackendUnavailableError: the backend cannot run here.
    """
    iem, decode = iem or IEMSettings(), decode or DecodeSettings()
    first_masks, fuse = first_masks or SegmentSettings(), fuse or FuseSettings()
    threads = num_threads or os.cpu_count() or 1
    named = [(name, decoded.pixels) for name, decoded in decode_given(images, decode)]
    size = decode.size_px
    image_BSS3 = np.array([pixels for _, pixels in named], np.uint8).reshape(-1, size, size, 3)
    sides = first_masks.sides_px(size)
    first_SHW = centred_squares(size, size, sides)
    engine = load_backend(first_masks.backend)
    result = engine(
        image_BSS3,
        np.broadcast_to(first_SHW, (len(named), *first_SHW.shape)),
        iem,
        num_threads=threads,
    )
    best = int(result.error_BS.mean(axis=0).argmax()) if named else 0
    fused = map_ahead(
        partial(fuse_one, fuse.method, best),
        image_BSS3,
        result.mask_BSHW,
        result.error_BS,
        num_threads=threads,
    )
    mask_BHW = np.array(list(fused), np.bool_).reshape(-1, size, size)
    scores = score_masks(engine, image_BSS3, mask_BHW, iem, threads)
    return Segmentation(
        names=[name for name, _ in named],
        images=image_BSS3,
        masks=mask_BHW,
        errors=scores.error_BS[:, 0],
        iem=iem,
    )
