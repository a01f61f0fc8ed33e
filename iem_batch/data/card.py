"""The README.md of a run folder: a data-set card by which `datasets.load_dataset(RUN)` works."""

from collections.abc import Sequence
from typing import Any

import yaml

from iem_batch.data.run_folder import RunFolder

_TEXT = """
# Segmentation masks by Inpainting Error Maximization

Made by iem_batch, without labels. {num_ok} images have a mask, {num_quarantined} could not be used.

| folder | a row is |
|---|---|
| masks/ | an image and first mask: its final mask (1-bit PNG, white is foreground) and errors |
| quarantine/ | an image that could not be used, and why |
| corpus/ | a selected (image, mask) pair |
| predictions/ | SegNet's mask of an image; its probability (8-bit PNG) if it was asked for |
| refined/ | IEM's mask of an image, started from SegNet's |
| upscaled/ | a mask at the size of its photo |
| rounds/ | corpus/, predictions/ and refined/ of earlier rounds |

`datasets.load_dataset(RUN, "masks")` opens a folder of the list that is there.
"""


_CORPUS_TEXT = """
# Pairs of an image and its mask, by Inpainting Error Maximization

Made by iem_batch, without labels: the masks are what the method is surest of. {layout}

In a mask 0 is background and 1 is foreground{beyond}. error is the inpainting error of the
pair, and rank its place in the whole collection, from 0.
"""

_LAYOUTS = {
    "parquet": """Each row is a pair, both pictures encoded{depth}:

    datasets.load_dataset("THIS FOLDER")""",
    "webdataset": """Each sample is KEY.jpg (or .png), KEY.mask.png (8-bit grey) and KEY.json,
whose image_id names the image; the key is that id in characters safe for a file:

    webdataset.WebDataset("THIS FOLDER/train-{00000..00007}.tar").decode("pil")""",
    "coco": """The images are in images/SPLIT/, the masks in annotations/instances_SPLIT.json,
run-length encoded (detectron2: INPUT.MASK_FORMAT "bitmask"). Margins that the method did not see
are annotations with iscrowd 1. iem_image_id names the image:

    pycocotools.coco.COCO("THIS FOLDER/annotations/instances_train.json")""",
    "folder": """images/SPLIT/KEY.jpg (or .png, .webp) has its mask in masks/SPLIT/KEY.png (8-bit
grey); index/ says which image is which:

    # MMSegmentation
    data_prefix = dict(img_path="images/train", seg_map_path="masks/train")
    # FiftyOne
    fiftyone.Dataset.from_dir(dataset_type=fiftyone.types.ImageSegmentationDirectory,
                              data_path="images/train", labels_path="masks/train")""",
}
"""Format of a corpus -> how it is laid out, and what opens it."""

_SPLITS = {"train": "train", "val": "validation"}
"""Split of a corpus -> its name in Hugging Face datasets."""


def write_corpus_card(target: RunFolder, kind: str, size: str, splits: Sequence[str]) -> None:
    """Write README.md of a corpus that is not in a run folder.

    Args:
        target: the folder of the corpus.
        kind: its format.
        size: engine or original.
        splits: those that have files.
    """
    is_original = size == "original"
    depth = "" if is_original else ", the mask as 1-bit PNG"
    layout = _LAYOUTS[kind].replace("{depth}", depth)  # others hold braces of their own
    beyond = ", 255 what the method did not see of the image, beyond its crop" * is_original
    text = _CORPUS_TEXT.format(layout=layout, beyond=beyond)
    if kind == "parquet":
        files = [{"split": _SPLITS[name], "path": f"{name}-*.parquet"} for name in splits]
        configs = [{"config_name": "default", "data_files": files}]
        text = f"---\n{yaml.safe_dump({'configs': configs}, sort_keys=False)}---\n{text}"
    target.write_bytes("README.md", text.encode())


def write_card(run: RunFolder, num_ok: int, num_quarantined: int) -> None:
    """Write README.md for the data folders that are there.

    Args:
        run: the run folder.
        num_ok: images with a mask.
        num_quarantined: images that could not be used.
    """
    folders = ("masks", "quarantine", "corpus", "predictions", "refined", "upscaled")
    configs: list[dict[str, Any]] = [
        {"config_name": folder, "data_files": _data_files(folder, names)}
        for folder in folders
        if (names := run.names(folder))
    ]
    configs += [
        {
            "config_name": f"round_{place.earlier_round}_{folder}",
            "data_files": _data_files(place.title(folder), names),
        }
        for place in run.earlier_rounds()
        for folder in ("corpus", "predictions", "refined")
        if (names := place.names(folder))
    ]
    configs[0]["default"] = True
    head = yaml.safe_dump({"configs": configs}, sort_keys=False)
    text = _TEXT.format(num_ok=num_ok, num_quarantined=num_quarantined)
    run.write_bytes("README.md", f"---\n{head}---\n{text}".encode())


def _data_files(folder: str, names: list[str]) -> str | list[dict[str, str]]:
    if not any(name.startswith("val-") for name in names):
        return f"{folder}/*.parquet"
    return [
        {"split": "train", "path": f"{folder}/part-*.parquet"},
        {"split": "validation", "path": f"{folder}/val-*.parquet"},
    ]
