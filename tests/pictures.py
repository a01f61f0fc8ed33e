"""Tiny pictures with a known answer: a textured disc on another texture."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Picture(NamedTuple):
    name: str
    image: NDArray[np.uint8]
    """(H, W, 3) RGB."""
    mask: NDArray[np.bool_]
    """(H, W), True on the disc."""


def textured_disc(seed: int, height: int = 64, width: int = 80) -> Picture:
    """A disc of about a fifth of the area near the centre; the two textures differ in colour."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    radius = 0.26 * min(height, width) * rng.uniform(0.9, 1.1)
    centre_y, centre_x = height / 2 + rng.uniform(-4, 4), width / 2 + rng.uniform(-4, 4)
    mask = (y - centre_y) ** 2 + (x - centre_x) ** 2 < radius**2
    image = np.where(mask[..., None], _texture(rng, 190, x), _texture(rng, 70, y))
    return Picture(f"disc_{seed:03d}", image.astype(np.uint8), mask)


def write_folder(folder: Path, pictures: list[Picture]) -> None:
    """Write every second picture as JPEG and the others as PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    for index, picture in enumerate(pictures):
        extension = "jpg" if index % 2 else "png"
        Image.fromarray(picture.image).save(folder / f"{picture.name}.{extension}", quality=95)


def write_masks(folder: Path, pictures: list[Picture]) -> None:
    """Write the true masks as 8-bit PNG, 255 = foreground, under the pictures' names."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        Image.fromarray(picture.mask.astype(np.uint8) * 255).save(folder / f"{picture.name}.png")


def _texture(
    rng: np.random.Generator, level: int, coordinate: NDArray[np.int64]
) -> NDArray[np.float64]:
    colour = level + rng.uniform(-40, 40, 3)
    stripes = 15 * np.sin(coordinate * rng.uniform(0.5, 1.5))
    noise = rng.normal(0, 8, (*coordinate.shape, 3))
    return np.clip(colour + stripes[..., None] + noise, 0, 255)
