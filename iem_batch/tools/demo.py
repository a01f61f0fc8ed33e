"""The source of the demo: composites of real photographs, whose ground truth is known.

Each composite follows the paper's image model X = F * M + B * (1 - M) (Section 3.1): F and B are
crops of different photographs, M is a random smooth shape. The photographs come with
scikit-image and scikit-learn; nothing is downloaded.
"""

import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.checks import needs_extra
from iem_batch.tools.settings import DemoSettings

# H, W = pixels.

_SKIMAGE, _SKLEARN = "skimage.data", "sklearn.datasets.images"
_SUBJECTS = (
    (_SKIMAGE, "chelsea.png"),
    (_SKIMAGE, "coffee.png"),
    (_SKIMAGE, "ihc.png"),
    (_SKIMAGE, "retina.jpg"),
    (_SKLEARN, "flower.jpg"),
)
_SCENES = (
    (_SKIMAGE, "brick.png"),
    (_SKIMAGE, "grass.png"),
    (_SKIMAGE, "gravel.png"),
    (_SKIMAGE, "hubble_deep_field.jpg"),
    (_SKIMAGE, "rocket.jpg"),
)
_OTHERS = (
    (_SKIMAGE, "astronaut.png"),
    (_SKIMAGE, "motorcycle_left.png"),
    (_SKLEARN, "china.jpg"),
)
"""Scenes of several parts, in which a blob is not the only foreground; shown whole only."""


@dataclass(frozen=True, kw_only=True)
class DemoSource:
    """What `make_composites` wrote."""

    photos: Path
    """Composites, the photographs they were cut from, and a few broken files."""
    truth: Path
    """One PNG for each composite, 255 = foreground."""
    num_composites: int
    num_photographs: int
    num_broken: int


def make_composites(folder: Path, settings: DemoSettings) -> DemoSource:
    """Write the photos of the demo and the ground truth of the composites.

    Args:
        folder: photos/ and truth/ are written below it.
        settings: how many, and the seed.

    Raises:
        BackendUnavailableError: scikit-image or scikit-learn is not installed.
    """
    source = DemoSource(
        photos=folder / "photos",
        truth=folder / "truth",
        num_composites=settings.num_images,
        num_photographs=len(_SUBJECTS) + len(_SCENES) + len(_OTHERS),
        num_broken=3,
    )
    source.photos.mkdir(parents=True, exist_ok=True)
    source.truth.mkdir(parents=True, exist_ok=True)
    subjects, scenes = _open_photographs(_SUBJECTS), _open_photographs(_SCENES)
    for name, photograph in {**subjects, **scenes, **_open_photographs(_OTHERS)}.items():
        photograph.save(source.photos / f"photograph_{Path(name).stem}.jpg", quality=95)
    for index in range(settings.num_images):
        # One generator for each image, so that image 7 does not depend on images 0 to 6.
        rng = np.random.default_rng((settings.seed, index))
        pixels_HW3, truth_HW = draw_composite(list(subjects.values()), list(scenes.values()), rng)
        stem = f"composite_{index:05d}"
        Image.fromarray(pixels_HW3).save(source.photos / f"{stem}.jpg", quality=95)
        Image.fromarray(truth_HW).save(source.truth / f"{stem}.png")
    _write_broken_files(source.photos)
    return source


def draw_composite(
    subjects: list[Image.Image], scenes: list[Image.Image], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Draw one composite X = F * M + B * (1 - M).

    Args:
        subjects: RGB photographs the foreground F is cropped from.
        scenes: RGB photographs the background B is cropped from.
        rng: decides everything.

    Returns:
        The composite, uint8 (H, W, 3) with sides of 144 to 192 pixels, and M, True is foreground.
    """
    height, width = (int(side) for side in rng.integers(144, 193, 2))
    mask_HW = draw_shape(height, width, rng)
    foreground_HW3 = _crop(subjects[rng.integers(len(subjects))], height, width, rng)
    background_HW3 = _crop(scenes[rng.integers(len(scenes))], height, width, rng)
    return np.where(mask_HW[..., None], foreground_HW3, background_HW3), mask_HW


def draw_shape(height: int, width: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a connected blob: all points nearer to a centre than a smooth radius r(angle).

    Its area is 10 % to 45 % of the image, less what the image's border cuts off.

    Returns:
        mask_HW: True inside.
    """
    area = rng.uniform(0.10, 0.45) * height * width
    centre_y, centre_x = rng.uniform(0.38, 0.62, 2) * (height, width)
    y_H1, x_1W = np.ogrid[:height, :width]
    y_H1, x_1W = y_H1 + 0.5 - centre_y, x_1W + 0.5 - centre_x
    angle_HW = np.arctan2(y_H1, x_1W)
    wave_HW = np.zeros((height, width))
    mean_square = 1.0
    for order in range(1, 6):
        amplitude = rng.normal(0, 0.3 / order)
        wave_HW += amplitude * np.cos(order * angle_HW + rng.uniform(0, 2 * np.pi))
        mean_square += amplitude**2 / 2
    # The area inside r = r0 (1 + wave) is pi r0^2 (1 + mean of wave^2).
    radius_HW = np.sqrt(area / (np.pi * mean_square)) * np.maximum(1 + wave_HW, 0.15)
    return np.asarray(np.hypot(y_H1, x_1W) < radius_HW)


def _crop(
    photograph: Image.Image, height: int, width: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Cut a random part, scale it to the size, flip it by chance and shift its colours a little."""
    share = rng.uniform(0.3, 0.8) * min(photograph.height / height, photograph.width / width)
    crop_height, crop_width = share * height, share * width
    top = rng.uniform(0, photograph.height - crop_height)
    left = rng.uniform(0, photograph.width - crop_width)
    box = (left, top, left + crop_width, top + crop_height)
    pixels_HW3 = np.asarray(
        photograph.resize((width, height), Image.Resampling.BICUBIC, box), dtype=np.float32
    )
    if rng.random() < 0.5:
        pixels_HW3 = pixels_HW3[:, ::-1]
    return np.clip(pixels_HW3 * rng.uniform(0.8, 1.2, 3), 0, 255).astype(np.uint8)


def _open_photographs(names: tuple[tuple[str, str], ...]) -> dict[str, Image.Image]:
    """Open files that lie inside installed packages."""
    photographs = {}
    for package, name in names:
        with needs_extra("demo", "the demo, which cuts its images from photographs of packages,"):
            file = importlib.resources.files(package).joinpath(name)
        with importlib.resources.as_file(file) as path, Image.open(path) as image:
            photographs[name] = image.convert("RGB")
    return photographs


def _write_broken_files(photos: Path) -> None:
    """Write files that cannot be used, so that the demo shows what becomes of them."""
    whole = (photos / "photograph_chelsea.jpg").read_bytes()
    (photos / "broken_truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (photos / "broken_text.jpg").write_bytes(b"This is not an image.\n")
    (photos / "broken_empty.png").write_bytes(b"")
