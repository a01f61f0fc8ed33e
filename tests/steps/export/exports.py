"""A run of images with awkward names and encodings, and what a corpus of it must give back."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.images.decode import decode, decode_whole
from iem_batch.images.geometry import mask_to_image
from iem_batch.images.png import decode_mask
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import part
from iem_batch.run.plan import read_plan, write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import open_source
from iem_batch.steps.do import do
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.export.target import corpus_place
from iem_batch.steps.topk.settings import TopkSettings
from tests.pictures import textured_disc
from tests.steps.jobs import SETTINGS, job_at

DECODE = SETTINGS.decode

LONG = f"{'x' * 150}/{'y' * 145}.jpg"
"""300 characters."""

NAMES = {
    "plain.jpg": "JPEG",
    "plain.png": "PNG",
    "a.b/c.d e.jpg": "JPEG",
    "a.b/c.d%20e.jpg": "JPEG",
    "a/b.c/d e.jpg": "JPEG",
    "ünï/ço~dé 日本.png": "PNG",
    LONG: "JPEG",
    LONG.replace("y.jpg", "z.jpg"): "JPEG",
    "turned.jpg": "JPEG",
    "see through.png": "PNG",
    "web.webp": "WEBP",
    "old.bmp": "BMP",
}

PASSED_ON = {"JPEG", "PNG", "WEBP"}


SIZES = ["engine", "original"]


class Truth(NamedTuple):
    image: NDArray[np.uint8]
    """RGB."""
    label: NDArray[np.uint8]
    """0, 1, 255."""


def write_images(folder: Path) -> None:
    """Write a picture of another size for each name."""
    for seed, (name, kind) in enumerate(NAMES.items()):
        picture = textured_disc(seed, 64 + seed, 81 - 2 * seed)
        image = Image.fromarray(picture.image)
        options = {"quality": 95} if kind in ("JPEG", "WEBP") else {}
        if name == "turned.jpg":
            exif = Image.Exif()
            exif[0x0112] = 6  # to be turned by a quarter
            options["exif"] = exif
        if name == "see through.png":
            alpha = np.where(picture.mask, 255, 100).astype(np.uint8)
            image.putalpha(Image.fromarray(alpha))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / name, kind, **options)


def make_run(root: Path) -> RunFolder:
    """Segment the images in shards of five and select them all."""
    write_images(root / "images")
    run = RunFolder(str(root / "run"))
    source = open_source(str(root / "images"))
    write_plan(run, source, PlanSettings(shard_size=5))
    do(job_at(run), "segment")
    do(job_at(run), "fuse")
    do(job_at(run, topk=TopkSettings(k=100)), "topk")
    return run


def export(run: RunFolder, **settings: object) -> RunFolder:
    """Export a run in this process; gives the folder of the corpus."""
    job = job_at(run, export=ExportSettings(**settings))  # type: ignore[arg-type]
    do(job, "export")
    return corpus_place(job)


def truth(run: RunFolder, size: str) -> dict[str, Truth]:
    """Work out what a corpus must hold, from the files and the masks of the run."""
    source = Path(run.url).parent / "images"
    found = {}
    for shard in range(read_plan(run).num_shards):
        for row in run.read_table(part("fuse", shard)).to_pylist():
            image_id = row["image_id"]
            data = (source / image_id).read_bytes()
            mask = decode_mask(row["mask"]["bytes"])
            if size == "engine":
                found[image_id] = Truth(decode(data, DECODE).pixels, mask.astype(np.uint8))
            else:
                whole, seen = mask_to_image(mask, row["width"], row["height"], DECODE.fit)
                label = np.where(seen, whole, 255).astype(np.uint8)
                found[image_id] = Truth(decode_whole(data, DECODE), label)
    return found


def rgb(image: Image.Image | bytes) -> NDArray[np.uint8]:
    if isinstance(image, bytes):
        image = Image.open(io.BytesIO(image))
    return np.asarray(image.convert("RGB"))


def require_equal(found: dict[str, Truth], expected: dict[str, Truth]) -> None:
    """Compare what a tool has read with the truth, pixel by pixel."""
    assert found.keys() == expected.keys() == NAMES.keys()
    for image_id, pair in expected.items():
        np.testing.assert_array_equal(found[image_id].image, pair.image, image_id)
        np.testing.assert_array_equal(found[image_id].label, pair.label, image_id)


def files_by_stem(target: RunFolder, folder: str) -> dict[str, Path]:
    """Find the files below a folder; path without extension -> file."""
    root = Path(target.url, folder)
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in files}


def with_unseen(target: RunFolder, key: str, mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """Make the label of an object's mask and of the mask of what was not seen, if there is one."""
    label = mask.astype(np.uint8)
    if (file := Path(target.url, f"ignore/train/{key}.png")).exists():
        with Image.open(file) as unseen:
            assert unseen.mode == "1"
            assert not label[np.asarray(unseen)].any()
            label[np.asarray(unseen)] = 255
    return label
