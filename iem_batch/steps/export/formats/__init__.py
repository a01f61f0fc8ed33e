"""The formats of a corpus: the one record that settings, step and card read.

A format has one name: of `export.format` and of its module here, which has the function

    lay_out(pairs, place)      name of each file -> its rows or its bytes

and, if something is written when all files are there, such as a list of them,

    complete(target, splits)   name of each file -> its SHA-256
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of a corpus."""

    name: str
    encodings: frozenset[str]
    """Those of images, by Pillow's names, that its tools read; others become PNG."""
    layout: str
    """What lies where and what opens it, for the card; in Markdown."""
    layout_at_engine_size: str | None = None
    """The same for a corpus at the engine's size, where it differs."""
    data_files: str | None = None
    """Where Hugging Face datasets finds the files of {split}, for the card; None if it cannot."""
    has_objects: bool = False
    """Whether it holds objects instead of a value for each pixel."""

    def lay_out(self) -> Callable[..., dict[str, Any]]:
        """Give the function that lays out pairs."""
        function: Callable[..., dict[str, Any]] = self._module().lay_out
        return function

    def complete(self) -> Callable[..., dict[str, str]] | None:
        """Give the function that completes a corpus; None if there is nothing to write."""
        function: Callable[..., dict[str, str]] | None = getattr(self._module(), "complete", None)
        return function

    def _module(self) -> Any:
        # Only now: settings import the names, and --help must not wait for pyarrow.
        return import_module(f"{__name__}.{self.name}")


FORMATS = {
    format.name: format
    for format in (
        Format(
            name="parquet",
            encodings=frozenset({"JPEG", "PNG", "WEBP"}),
            data_files="{split}-*.parquet",
            layout="""Each row is a pair, both pictures encoded:

    datasets.load_dataset("THIS FOLDER")""",
            layout_at_engine_size="""Each row is a pair, both pictures
encoded, the mask as 1-bit PNG:

    datasets.load_dataset("THIS FOLDER")""",
        ),
        Format(
            name="webdataset",
            encodings=frozenset({"JPEG", "PNG"}),
            layout="""Each sample is KEY.jpg (or .png), KEY.mask.png (8-bit grey) and KEY.json,
whose image_id names the image:

    webdataset.WebDataset("THIS FOLDER/train-{00000..00007}.tar").decode("pil")""",
        ),
        Format(
            name="coco",
            encodings=frozenset({"JPEG", "PNG", "WEBP"}),
            has_objects=True,
            layout="""The images are in images/SPLIT/, the masks in
annotations/instances_SPLIT.json, one object for each image, run-length encoded (detectron2:
INPUT.MASK_FORMAT "bitmask"). iem_image_id names the image:

    pycocotools.coco.COCO("THIS FOLDER/annotations/instances_train.json")
    supervision.DetectionDataset.from_coco(
        "THIS FOLDER/images/train", "THIS FOLDER/annotations/instances_train.json")""",
        ),
        Format(
            name="coco_polygons",
            encodings=frozenset({"JPEG", "PNG", "WEBP"}),
            has_objects=True,
            layout="""As COCO, with polygons instead of run lengths, for tools that read only
these: the images are in images/SPLIT/, the masks in annotations/instances_SPLIT.json, one object
for each image, of one polygon for each of its parts; a slit leads to a hole.

    pycocotools.coco.COCO("THIS FOLDER/annotations/instances_train.json")
    # CVAT: import annotations as COCO 1.0""",
        ),
        Format(
            name="yolo",
            encodings=frozenset({"JPEG", "PNG", "WEBP"}),
            has_objects=True,
            layout="""The images are in images/SPLIT/, their polygons in labels/SPLIT/KEY.txt, one
for each connected part of a mask; a slit leads to a hole. index/ says which image is which.

    yolo segment train data="THIS FOLDER/data.yaml" model=...""",
        ),
        Format(
            name="label_studio",
            encodings=frozenset({"JPEG", "PNG", "WEBP"}),
            has_objects=True,
            layout="""The images are in images/SPLIT/, and tasks/ has files to import, whose masks
are brush strokes that can be corrected. Label Studio has to serve this folder
(LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true, LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT=THIS FOLDER);
interface.xml is the labeling interface.

    label-studio-converter export -i tasks/train-00000.json -c interface.xml \\
        -f BRUSH_TO_PNG -o OUT""",
        ),
        Format(
            name="folder",
            encodings=frozenset({"JPEG", "PNG", "WEBP"}),
            data_files="{split}/**",
            layout="""SPLIT/images/KEY.jpg (or .png, .webp) has its mask in SPLIT/masks/KEY.png
(8-bit grey); SPLIT/metadata.csv says which image is which:

    datasets.load_dataset("imagefolder", data_dir="THIS FOLDER")
    # MMSegmentation
    data_prefix = dict(img_path="train/images", seg_map_path="train/masks")
    # FiftyOne
    fiftyone.Dataset.from_dir(dataset_type=fiftyone.types.ImageSegmentationDirectory,
                              data_path="train/images", labels_path="train/masks")""",
        ),
    )
}
"""Every format by its name."""
