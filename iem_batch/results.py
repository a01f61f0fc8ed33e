"""What notebooks have of masks that were found: a list of photos that shows and saves itself.

B = images, H, W = pixels of a photo.
"""

import base64
import html
import io
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import SettingsError

MAX_PLOTTED = 16
"""Rows of a plot; more make a picture that no screen shows."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """Photos and their masks; `results[3]`, `results[:5]` and `results["cat.jpg"]` are likewise."""

    names: list[str]
    """B names: the path, the URL, or the place in what was given."""

    masks: list[NDArray[np.bool_]]
    """B masks, each (H, W) at the size of its photo; True is foreground. What a crop left out is
    False."""

    rejected: dict[str, str] = field(default_factory=dict)
    """Name of each image that could not be used -> why."""

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
        raise NotImplementedError

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
            grey_HW = mask_HW.view(np.uint8) * np.uint8(255)
            png = cv2.imencode(".png", grey_HW, [cv2.IMWRITE_PNG_BILEVEL, 1])[1]
            path.write_bytes(png.tobytes())
        return paths

    def _repr_html_(self) -> str:
        """Show the plot, and what could not be used, at the end of a notebook's cell."""
        lines = []
        if len(self) > MAX_PLOTTED:
            lines.append(f"The first {MAX_PLOTTED} of {len(self):,} images:")
        lines += [f"{name}: {reason}" for name, reason in self.rejected.items()]
        text = "".join(f"<div>{html.escape(line)}</div>" for line in lines)
        if not len(self):
            return text or "<div>no images</div>"
        buffer = io.BytesIO()
        self.plot().save(buffer, "PNG")
        data = base64.b64encode(buffer.getvalue()).decode()
        return f'{text}<img alt="photos and masks" src="data:image/png;base64,{data}">'


def _file_names(names: list[str]) -> list[str]:
    taken: dict[str, None] = {}
    for name in names:
        stem = Path(name).stem
        number = next(n for n in range(1, len(names) + 1) if _numbered(stem, n) not in taken)
        taken[_numbered(stem, number)] = None
    return list(taken)


def _numbered(stem: str, number: int) -> str:
    return f"{stem}.png" if number == 1 else f"{stem}-{number}.png"
