"""The pictures of one image: the photo, what lies inside each mask, and both inpaintings.

H, W = pixels.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.inpainting import composed_inpaintings
from iem_batch.iem.settings import IEMSettings
from iem_batch.steps.registry import MASKS, STEPS

BACKGROUND_SHARE = 0.2
"""How much of its brightness the background keeps in a cut-out."""

OUTLINE = (255, 64, 160)
"""A colour that photos seldom have."""

PHOTO, TRUTH, VOTE, INPAINTED = "photo", "truth", "vote", "inpainted"
IEM, *_LATER = (STEPS[name].masks for name in MASKS[1:])
LABELS = (PHOTO, TRUTH, VOTE, IEM, INPAINTED, *_LATER)
"""What panels are called, in the order in which they are shown."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture and what it is called."""

    label: str
    alt: str
    """For those who do not see it."""
    picture_HW3: NDArray[np.uint8]


def draw_panels(
    image_id: str,
    photo_HW3: NDArray[np.uint8] | None,
    masks: Mapping[str, NDArray[np.bool_]],
    iem: IEMSettings,
    vote_HW: NDArray[np.uint8] | None = None,
) -> Iterator[Panel]:
    """Draw the panels of the paper's Figures 4 to 6, as far as there is something to draw.

    Args:
        image_id: what the image is called.
        photo_HW3: uint8 RGB, or None where it cannot be read.
        masks: label -> mask, in the order to draw them; after `IEM` comes what each side of that
            mask predicts of the other.
        iem: the inpainter.
        vote_HW: how many of the image's masks call a pixel foreground, 255 is all; None draws none.
    """
    if photo_HW3 is not None:
        yield Panel(label=PHOTO, alt=f"photo {image_id}", picture_HW3=photo_HW3)
    for label, mask_HW in masks.items():
        if label == IEM and vote_HW is not None:
            grey_HW3 = np.repeat(vote_HW[..., None], 3, axis=2)
            yield Panel(label=VOTE, alt=f"{VOTE} mask of {image_id}", picture_HW3=grey_HW3)
        cut = cut_out(photo_HW3, mask_HW)
        yield Panel(label=label, alt=f"{label} mask of {image_id}", picture_HW3=cut)
        if label == IEM and photo_HW3 is not None and mask_HW.any() and not mask_HW.all():
            yield Panel(
                label=INPAINTED,
                alt=f"{image_id}, each side of the IEM mask inpainted from the other",
                picture_HW3=composed_inpaintings(photo_HW3, mask_HW, iem),
            )


def cut_out(photo_HW3: NDArray[np.uint8] | None, mask_HW: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Show a mask: the photo with its background dimmed, or white on black without a photo.

    A one-pixel line runs along the inside of the mask, so that dark photos show it too.

    Args:
        photo_HW3: uint8 RGB, or None.
        mask_HW: True is foreground.

    Returns:
        uint8 (H, W, 3) RGB.
    """
    if photo_HW3 is None:
        return np.repeat(mask_HW[..., None] * np.uint8(255), 3, axis=2)
    picture_HW3 = np.where(mask_HW[..., None], photo_HW3, photo_HW3 * BACKGROUND_SHARE)
    picture_HW3[_inner_line(mask_HW)] = OUTLINE
    return picture_HW3.astype(np.uint8)


def _inner_line(mask_HW: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Find the foreground pixels that have a background neighbour, of four, inside the image."""
    padded = np.pad(mask_HW, 1, mode="edge")
    is_inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask_HW & ~is_inside
