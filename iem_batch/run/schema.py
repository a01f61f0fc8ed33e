"""The tables of a run folder: constants with a version, never inferred from rows."""

import hashlib
from collections.abc import Container, Sequence

import pyarrow as pa

from iem_batch.errors import SettingsError
from iem_batch.sources.parquet_columns import features_metadata, features_of

VERSION = "3"

VERSION_KEY = b"iem_batch.schema_version"
"""Of the metadata that all tables have."""

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""An encoded picture, as Hugging Face `datasets` stores its Image feature."""


def _schema(fields: list[tuple[str, pa.DataType]]) -> pa.Schema:
    """Add the version, and the metadata by which `datasets` decodes IMAGE columns by itself."""
    features = {
        name: {"_type": "Image"} if kind == IMAGE else {"dtype": str(kind), "_type": "Value"}
        for name, kind in fields
    }
    metadata = {
        VERSION_KEY: VERSION,
        **features_metadata(features),
    }
    return pa.schema([pa.field(name, kind) for name, kind in fields], metadata=metadata)


MANIFEST = _schema(
    [
        ("uri", pa.string()),
        ("start", pa.int64()),
        ("stop", pa.int64()),
        ("num_bytes", pa.int64()),
        ("count", pa.string()),
        ("offset", pa.int64()),
        ("end", pa.int64()),
        ("first_key", pa.binary()),
        ("codec", pa.string()),
        ("repeats", pa.list_(pa.int64())),
        ("problem", pa.string()),
    ]
)
"""_run/manifest/: the pieces of the source that make a shard; images start..stop-1 of each.

The columns are those of `iem_batch.sources.Entry`.
"""

IMAGES = _schema([("image_id", pa.string()), ("image", IMAGE)])
"""What `convert` writes: images as they were in the source."""

_IMAGE_FIELDS: list[tuple[str, pa.DataType]] = [
    ("image_id", pa.string()),
    ("uri", pa.string()),
    ("width", pa.int32()),
    ("height", pa.int32()),
]
"""Which image a row is about; width and height in pixels, of the original."""

_ERROR_FIELDS: list[tuple[str, pa.DataType]] = [
    ("error", pa.float64()),
    ("error_foreground", pa.float64()),
    ("error_background", pa.float64()),
    ("area", pa.float64()),
]
"""Inpainting error (Eq. 8) and its two terms; area is the foreground's share of the pixels."""

MASKS = _schema(
    [
        *_IMAGE_FIELDS,
        ("mask", IMAGE),
        *_ERROR_FIELDS,
        ("init_side", pa.int32()),
        ("agreement", pa.float64()),
        ("iterations", pa.int32()),
        ("status", pa.string()),
    ]
)
"""segment/: one row for each image and first mask.

agreement: mean IoU with the image's masks from the other first masks; null where there is none."""

ENGINE_MASKS = _schema([(field.name, field.type) for field in MASKS] + [("vote", IMAGE)])
"""segment/ by another engine than IEM: one row for each image.

vote: its soft mask, an 8-bit PNG, 255 = certainly foreground. The mask is where that is above one
half. init_side and agreement are null, and iterations 0: there is no first mask."""

FUSED = _schema(
    [
        *_IMAGE_FIELDS,
        ("mask", IMAGE),
        ("vote", IMAGE),
        *_ERROR_FIELDS,
        ("agreement", pa.float64()),
        ("status", pa.string()),
    ]
)
"""fuse/: the one mask of each image, and its error.

vote: the share of the image's masks of segment/ that call a pixel foreground, an 8-bit PNG, 255 =
all; agreement: the mean IoU of two of these masks; null where there is one."""

REFINED = _schema([*_IMAGE_FIELDS, ("mask", IMAGE), *_ERROR_FIELDS, ("status", pa.string())])
"""refine/, and predict/ without probabilities: one row for each image."""

PREDICTED = _schema(
    [
        *_IMAGE_FIELDS,
        ("mask", IMAGE),
        ("probability", IMAGE),
        *_ERROR_FIELDS,
        ("status", pa.string()),
    ]
)
"""predict/: mask is where the probability of foreground is above the threshold of the run;
probability is an 8-bit PNG, 255 = certainly foreground."""

UPSCALED = _schema(
    [
        *_IMAGE_FIELDS,
        ("mask", IMAGE),
        ("rle", pa.string()),
        ("area", pa.float64()),
        ("seen_left", pa.int32()),
        ("seen_top", pa.int32()),
        ("seen_right", pa.int32()),
        ("seen_bottom", pa.int32()),
    ]
)
"""upscale/: the mask at the size of its photo, as PNG or as COCO's compressed run lengths; the
other column is null.

The engine saw the box from seen_left and seen_top to seen_right and seen_bottom, these exclusive;
area is the foreground's share of it. The PNG has 1 bit, and with `decode.fit` crop 8: 0 background,
1 foreground, 255 not seen. Run lengths are of the foreground alone."""

APPLIED = _schema(
    [
        *_IMAGE_FIELDS,
        ("mask", IMAGE),
        ("photo_mask", IMAGE),
        ("probability", IMAGE),
        ("area", pa.float64()),
    ]
)
"""A network's masks of new photos: at its own size and at the photo's. probability is as in
PREDICTED, null if it was not asked for; area is the foreground's share of the mask."""

APPLIED_FILES = _schema(
    [*_IMAGE_FIELDS, ("mask_file", pa.string()), ("probability_file", pa.string())]
)
"""The same where masks are files beside the table: their names, from its folder."""

QUARANTINE = _schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("error_class", pa.string()),
        ("message", pa.string()),
    ]
)
"""quarantine/: one row for each image that could not be used."""

GONE = _schema([("uri", pa.string()), ("start", pa.int64()), ("stop", pa.int64())])
"""_run/gone.parquet: pieces of the plan that the source no longer had when it was extended."""

SELECTION = _schema(
    [
        ("image_id", pa.string()),
        ("shard", pa.int32()),
        ("error", pa.float64()),
        ("score", pa.float64()),
        ("rank", pa.int32()),
    ]
)
"""topk/topk.parquet: the images of highest score; rank 0 is the highest."""

CORPUS = _schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("image", IMAGE),
        ("mask", IMAGE),
        ("error", pa.float64()),
        ("rank", pa.int32()),
    ]
)
"""export/: (image, mask) pairs at the engine's size, both as PNG."""

EVALUATION = _schema(
    [
        ("image_id", pa.string()),
        ("method", pa.string()),
        ("error", pa.float64()),
        *((name, pa.float64()) for name in ("accuracy", "iou", "miou", "dice")),
        *((f"best_{name}", pa.float64()) for name in ("accuracy", "iou", "miou", "dice")),
    ]
)
"""evaluate/per_image/: one row for each image with truth and method, scores in [0, 1].

Scores are as labelled, or of the better polarity (best_). The error is null for the baselines.
"""


def add_kept(table: pa.Table, kept: pa.Schema, values: Sequence[tuple[object, ...]]) -> pa.Table:
    """Add the columns that are kept of a source, and what Hugging Face `datasets` knows of them.

    Args:
        table: of N rows.
        kept: the columns.
        values: of each row.
    """
    if not kept.names:
        return table
    known = features_of(table.schema) | features_of(kept)
    for place, field in enumerate(kept):
        column = pa.array([row[place] for row in values], field.type)
        table = table.append_column(field, column)
    return table.replace_schema_metadata(table.schema.metadata | features_metadata(known))


def kept_of(schema: pa.Schema, names: Container[str]) -> pa.Schema:
    """Give the columns of a table that `add_kept` has added, by their names."""
    fields = [field for field in schema if field.name in names]
    own = {name: kind for name, kind in features_of(schema).items() if name in names}
    return pa.schema(fields, metadata=features_metadata(own))


_OF_FORMATS = ("file_name", "mask_file_name")
"""Columns of lists beside the files of a corpus."""

_TAKEN = {
    *_OF_FORMATS,
    *(name for table in (FUSED, CORPUS, APPLIED, APPLIED_FILES) for name in table.names),
}
"""Columns of the tables that `add_kept` adds to."""


def require_free(names: Sequence[str]) -> None:
    """Check that columns can be added to the tables.

    Raises:
        SettingsError: a table has one of that name already, or two are the same.
    """
    for name in names:
        if name in _TAKEN or names.count(name) > 1:
            raise SettingsError(f"plan.keep: there is a column {name} in the tables already")


def quarantine_row(image_id: str, uri: str, error_class: str, message: str) -> dict[str, str]:
    """Make a row of `QUARANTINE`."""
    return {"image_id": image_id, "uri": uri, "error_class": error_class, "message": message}


def image_column(encoded: list[bytes]) -> pa.Array:
    """Make an IMAGE column of encoded pictures; their path is null."""
    return pa.array([{"bytes": data, "path": None} for data in encoded], type=IMAGE)


def checksum(data: bytes) -> str:
    """Hash the bytes of a file: SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()
