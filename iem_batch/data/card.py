"""The README.md of a run folder: a data-set card by which `datasets.load_dataset(RUN)` works."""

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
| predictions/ | SegNet's mask and probability (8-bit PNG) of an image |
| refined/ | IEM's mask of an image, started from SegNet's |

`datasets.load_dataset(RUN, "masks")` opens a folder of the list that is there.
"""


def write_card(run: RunFolder, num_ok: int, num_quarantined: int) -> None:
    """Write README.md for the data folders that are there.

    Args:
        run: the run folder.
        num_ok: images with a mask.
        num_quarantined: images that could not be used.
    """
    folders = ("masks", "quarantine", "corpus", "predictions", "refined")
    configs: list[dict[str, Any]] = [
        {"config_name": folder, "data_files": f"{folder}/*.parquet"}
        for folder in folders
        if run.names(folder)
    ]
    configs[0]["default"] = True
    head = yaml.safe_dump({"configs": configs}, sort_keys=False)
    text = _TEXT.format(num_ok=num_ok, num_quarantined=num_quarantined)
    run.write_bytes("README.md", f"---\n{head}---\n{text}".encode())
