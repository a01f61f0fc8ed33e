"""The README.md of a corpus: what it is and what opens it."""

from collections.abc import Sequence

import yaml

_CORPUS_TEXT = """
# Pairs of an image and its mask, by Inpainting Error Maximization

Made by iem_batch, without labels: the masks are what the method is surest of. {layout}

In a mask 0 is background and 1 is foreground{beyond}. error is the inpainting error of the
pair, and rank its place in the whole collection, from 0.
"""

_LAYOUTS = {
    "parquet": """Each row is a pair, both pictures encoded:

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

_ONE_BIT = """Each row is a pair, both pictures encoded, the mask as 1-bit PNG:

    datasets.load_dataset("THIS FOLDER")"""

_SPLITS = {"train": "train", "val": "validation"}
"""Split of a corpus -> its name in Hugging Face datasets."""


def corpus_card(kind: str, size: str, splits: Sequence[str]) -> str:
    """Make the card of a corpus that is not in a run folder.

    Args:
        kind: its format.
        size: engine or original.
        splits: those that have files.
    """
    is_original = size == "original"
    layout = _LAYOUTS[kind] if is_original or kind != "parquet" else _ONE_BIT
    beyond = ", 255 what the method did not see of the image, beyond its crop" * is_original
    text = _CORPUS_TEXT.format(layout=layout, beyond=beyond)
    if kind != "parquet":
        return text
    files = [{"split": _SPLITS[name], "path": f"{name}-*.parquet"} for name in splits]
    configs = [{"config_name": "default", "data_files": files}]
    return f"---\n{yaml.safe_dump({'configs': configs}, sort_keys=False)}---\n{text}"
