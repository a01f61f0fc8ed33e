"""The README.md of a corpus: what it is, what opens it, and how it was made."""

from dataclasses import dataclass

import iem_batch
from iem_batch.run.marks import Summary
from iem_batch.steps.card import card_head
from iem_batch.steps.export.formats import FORMATS
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.words import count

_TEXT = """
# Pairs of an image and its mask, by {method}

Made by iem_batch {version}, {origin}. They are those of `{masks}`. {layout}

{values}{unseen}

image_id names the image and uri says where it lay; error is the inpainting error of the pair, and
rank its place in the whole collection, from 0.

## How it was made

{procedure}

## Figures

- {pairs}: {splits}.
- They were selected of {images} with a mask.
- On average {foreground:.1%} of an image is foreground.
"""

_VALUES = {
    False: "In a mask 0 is background and 1 is foreground.",
    True: "The one class is foreground.",
}
"""Whether a format has objects -> what a mask says."""

_UNSEEN = {
    False: " 255 is what the method did not see of an image, beyond its crop.",
    True: " What the method did not see of an image, beyond its crop, is in\nno object; "
    "ignore/SPLIT/KEY.png shows it white, of each image that has such margins.",
}
"""Whether a format has objects -> the rule about pixels that were not seen."""

_SPLITS = {"train": "train", "val": "validation"}
"""Split of a corpus -> its name in Hugging Face datasets."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a corpus was made of."""

    segment: SegmentSettings
    """What the masks are by."""
    procedure: str
    """Lines of Markdown, one for each step."""
    num_images: int
    """Those with a mask, among which the pairs were selected."""


def corpus_card(settings: ExportSettings, origin: Origin, summary: Summary) -> str:
    """Make the card of a corpus that is not in a run folder.

    Args:
        settings: what the corpus is.
        origin: what it was made of.
        summary: of its step.
    """
    format, facts = FORMATS[settings.format], summary.facts
    is_original = settings.size == "original"
    splits = {
        split: sum(num for stem, num in facts["files"].items() if stem.startswith(f"{split}-"))
        for split in facts["splits"]
    }
    files = [
        {"split": _SPLITS[split], "path": format.data_files.format(split=split)}
        for split in splits
        if format.data_files is not None
    ]
    configs = [{"config_name": "default", "data_files": files}] if files else []
    head = card_head(settings.license, summary.ok, configs, origin.segment.by_iem)
    return head + _TEXT.format(
        method=origin.segment.method,
        origin=origin.segment.origin,
        version=iem_batch.__version__,
        masks=settings.masks,
        layout=format.layout if is_original else format.layout_at_engine_size or format.layout,
        values=_VALUES[format.has_objects],
        unseen=_UNSEEN[format.has_objects] * is_original,
        procedure=origin.procedure,
        pairs=count(summary.ok, "pair"),
        splits=", ".join(f"{num:,} in {split}" for split, num in splits.items()),
        images=count(origin.num_images, "image"),
        foreground=facts["foreground"] / max(summary.ok, 1),
    )
