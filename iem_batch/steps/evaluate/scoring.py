"""Masks of the engine's size against truth of any size.

H, W = pixels of the truth, S = pixels of a side of the engine's square, M = scores: those of
`METRICS` as labelled, then of the better polarity.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from iem_batch.errors import MaskError
from iem_batch.images.geometry import FOREGROUND, VOID, mask_to_image, mask_to_square, seen_in_image
from iem_batch.images.settings import DecodeSettings, Fit
from iem_batch.mask_files.protocol import MaskFiles
from iem_batch.metrics import as_labelled, best_polarity, confusion


@dataclass(frozen=True, kw_only=True)
class Yardstick:
    """What the masks of one image are compared with; height and width are the engine's or its own.

    Args:
        truth_HW: True is foreground.
        ignore_HW: True counts nowhere.
        fit: how masks of the engine's size come to the truth's; None where it has that size.
    """

    truth_HW: NDArray[np.bool_]
    ignore_HW: NDArray[np.bool_]
    fit: Fit | None

    def score(self, mask_SS: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Score one mask: score_M."""
        if self.fit is not None:
            height, width = self.truth_HW.shape
            mask_SS, _ = mask_to_image(mask_SS, width, height, self.fit)
        counts = confusion(mask_SS[None], self.truth_HW[None], self.ignore_HW[None])
        return np.concatenate([as_labelled(counts)[0], best_polarity(counts)[0]])


class SeenShares:
    """How much of the photos, and of their true foreground, the engine has seen."""

    def __init__(self) -> None:
        self._pixels: list[float] = []
        self._foreground: list[float] = []

    def add(self, truth_HW: NDArray[np.bool_], seen_HW: NDArray[np.bool_]) -> None:
        """Count an image."""
        self._pixels.append(float(seen_HW.mean()))
        if truth_HW.any():
            self._foreground.append(float(seen_HW[truth_HW].mean()))

    @property
    def pixels(self) -> float:
        """Share of the photos, mean over images."""
        return float(np.mean(self._pixels)) if self._pixels else 1.0

    @property
    def foreground(self) -> float:
        """Share of the true foreground, mean over images that have any."""
        return float(np.mean(self._foreground)) if self._foreground else 1.0


@dataclass(frozen=True, kw_only=True)
class Truths:
    """The truth of a run and how it is used."""

    truth: MaskFiles
    ignore: MaskFiles | None
    """Foreground is what counts nowhere, beside the truth's own; it need not have every image."""
    decode: DecodeSettings
    """How the images were decoded."""
    at: Literal["engine", "image"]

    def yardstick(
        self, image_id: str, width: int, height: int, seen: SeenShares
    ) -> Yardstick | None:
        """Read what the masks of an image are compared with; None where no pixel counts.

        Args:
            image_id: an image that has a truth.
            width: of the original, in pixels.
            height: of the original, in pixels.
            seen: where to count what of it the engine saw.

        Raises:
            MaskError: the truth cannot be used.
        """
        label_HW = self.truth.read(image_id, width, height)
        truth_HW, ignore_HW = label_HW == FOREGROUND, label_HW == VOID
        rows, columns = label_HW.shape
        seen.add(truth_HW, seen_in_image(columns, rows, self.decode.size_px, self.decode.fit))
        is_engine = self.at == "engine"
        if is_engine:
            truth_HW, ignore_HW = (mask_to_square(m, self.decode) for m in (truth_HW, ignore_HW))
        if self.ignore is not None and self.ignore.has(image_id):
            further_HW = self.ignore.read(image_id, width, height) == FOREGROUND
            if is_engine:
                further_HW = mask_to_square(further_HW, self.decode)
            if further_HW.shape != truth_HW.shape:
                raise MaskError(
                    f"the mask of ignored pixels of {image_id} is {_size(further_HW)}, its truth "
                    f"{_size(truth_HW)}; with evaluate.at image they must have one size"
                )
            ignore_HW |= further_HW
        if ignore_HW.all():
            return None
        fit = None if is_engine else self.decode.fit
        return Yardstick(truth_HW=truth_HW, ignore_HW=ignore_HW, fit=fit)


def _size(mask_HW: NDArray[np.bool_]) -> str:
    return f"{mask_HW.shape[1]}x{mask_HW.shape[0]}"
