"""The README.md of a corpus: what it is and what opens it."""

from collections.abc import Sequence

import yaml

from iem_batch.steps.export.formats import Format

_CORPUS_TEXT = """
# Pairs of an image and its mask, by Inpainting Error Maximization

Made by iem_batch, without labels: the masks are what the method is surest of. {layout}

In a mask 0 is background and 1 is foreground.{beyond} error is the inpainting error of the
pair, and rank its place in the whole collection, from 0.
"""

_UNSEEN = {
    False: " 255 is what the method did not see of an image, beyond its crop.",
    True: " What the method did not see of an image, beyond its crop, is in no object; "
    "ignore/SPLIT/KEY.png shows it white, of each image that has such margins.",
}
"""Whether a format has objects -> the rule about pixels that were not seen."""

_SPLITS = {"train": "train", "val": "validation"}
"""Split of a corpus -> its name in Hugging Face datasets."""


def corpus_card(format: Format, size: str, splits: Sequence[str]) -> str:
    """Make the card of a corpus that is not in a run folder.

    Args:
        format: its format.
        size: engine or original.
        splits: those that have files.
    """
    is_original = size == "original"
    at_engine_size = format.layout_at_engine_size or format.layout
    beyond = _UNSEEN[format.has_objects] * is_original
    layout = format.layout if is_original else at_engine_size
    text = _CORPUS_TEXT.format(layout=layout, beyond=beyond)
    if format.data_files is None:
        return text
    files = [
        {"split": _SPLITS[name], "path": format.data_files.format(split=name)} for name in splits
    ]
    configs = [{"config_name": "default", "data_files": files}]
    return f"---\n{yaml.safe_dump({'configs': configs}, sort_keys=False)}---\n{text}"
