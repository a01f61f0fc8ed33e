"""What notebooks have of masks that were found: a list of photos that shows and saves itself.

B = images, S = pixels of a side of the square, H, W = pixels of a photo.
"""

import base64
import html
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.checks import needs_extra
from iem_batch.errors import SettingsError
from iem_batch.images.decode import Decoded
from iem_batch.images.png import encode_mask, encode_pixels
from iem_batch.images.settings import Fit
from iem_batch.steps.upscale.upsampling import round_corners

if TYPE_CHECKING:
    from iem_batch.steps.report.sheet import Row

MAX_PLOTTED = 16
"""Rows of a plot; more make a picture that no screen shows."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Results(ABC):
    """Photos and their masks; `results[3]`, `results[:5]` and `results["cat.jpg"]` are likewise."""

    names: list[str]
    """B names: the path, the URL, or the place in what was given."""

    masks: list[NDArray[np.bool_]]
    """B masks, each (H, W) at the size of its photo; True is foreground. What a crop left out is
    False."""

    images: NDArray[np.uint8]
    """(B, S, S, 3) RGB, what the engine or the network saw."""

    rejected: dict[str, str] = field(default_factory=dict)
    """Name of each image that could not be used -> why."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self):,} images, {len(self.rejected):,} not usable>"

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, key: int | slice | str) -> Self:
        if isinstance(key, str):
            if key not in self.names:
                raise KeyError(f"{key}: {self.rejected.get(key, 'is none of these images')}")
            key = self.names.index(key)
        if isinstance(key, int):
            key = range(len(self))[key]
            key = slice(key, key + 1)
        per_image = {
            of.name: getattr(self, of.name)[key]
            for of in fields(self)
            if isinstance(getattr(self, of.name), list | np.ndarray)
        }
        return replace(self, **per_image, rejected={})

    def __iter__(self) -> Iterator[Self]:
        return (self[number] for number in range(len(self)))

    def plot(self) -> Image.Image:
        """Draw the photos and their masks, of many the first `MAX_PLOTTED`.

        Returns:
            A picture that a notebook shows by itself and that has `save`.
        """
        from iem_batch.steps.report.sheet import draw_sheet

        return draw_sheet([self._row(b) for b in range(min(len(self), MAX_PLOTTED))])

    @abstractmethod
    def _row(self, b: int) -> "Row":
        """Lay out the plot of an image."""

    def save(self, folder: str | Path) -> list[Path]:
        """Write each mask as a 1-bit PNG named like its photo; white is foreground.

        Args:
            folder: made if it is not there. No file in it is replaced.

        Returns:
            The files, in the order of the photos; of equal names the later ones get numbers.

        Raises:
            SettingsError: there is a file of such a name; nothing is written.
        """
        paths = [Path(folder) / name for name in _file_names(self.names)]
        if found := [path for path in paths if path.exists()]:
            raise SettingsError(f"{found[0]} is there already; save to another folder")
        Path(folder).mkdir(parents=True, exist_ok=True)
        for path, mask_HW in zip(paths, self.masks, strict=True):
            path.write_bytes(encode_mask(mask_HW))
        return paths

    def to_supervision(self) -> list[Any]:
        """Give the masks to the library supervision: a `Detections` for each photo.

        Returns:
            One detection each, of class 0, with its box and its mask; none where a mask is empty.

        Raises:
            BackendUnavailableError: supervision is not installed.
        """
        with needs_extra("supervision", "to_supervision"):
            import supervision
        masks = [mask_HW[None][: int(mask_HW.any())] for mask_HW in self.masks]
        return [
            supervision.Detections(
                xyxy=supervision.mask_to_xyxy(mask_1HW),
                mask=mask_1HW,
                class_id=np.zeros(len(mask_1HW), np.int64),
            )
            for mask_1HW in masks
        ]

    def _repr_html_(self) -> str:
        """Show the plot, and what could not be used, at the end of a notebook's cell."""
        lines = []
        if len(self) > MAX_PLOTTED:
            lines.append(f"The first {MAX_PLOTTED} of {len(self):,} images:")
        lines += [f"{name}: {reason}" for name, reason in self.rejected.items()]
        text = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        if not len(self):
            return text or "<div>no images</div>"
        data = base64.b64encode(encode_pixels(np.asarray(self.plot()))).decode()
        return f'{text}<img alt="photos and masks" src="data:image/png;base64,{data}">'


def at_photo_size(
    mask_BSS: NDArray[np.bool_], images: Sequence[Decoded], fit: Fit
) -> list[NDArray[np.bool_]]:
    """Bring masks of the square to the size of their photos.

    Args:
        mask_BSS: True is foreground.
        images: B photos, of which the sizes matter.
        fit: how they became the square.
    """
    return [
        round_corners(mask_SS, image.width, image.height, fit)
        for mask_SS, image in zip(mask_BSS, images, strict=True)
    ]


def _file_names(names: list[str]) -> list[str]:
    taken: dict[str, None] = {}
    for name in names:
        stem = Path(name).stem
        number = next(n for n in range(1, len(names) + 1) if _numbered(stem, n) not in taken)
        taken[_numbered(stem, number)] = None
    return list(taken)


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.png" if number == 1 else f"{stem}-{number}.png"
