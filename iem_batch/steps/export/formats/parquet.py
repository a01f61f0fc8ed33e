"""Pairs as rows of a Parquet file with Image features, for Hugging Face datasets."""

from collections.abc import Sequence

import pyarrow as pa

from iem_batch.images.geometry import FOREGROUND
from iem_batch.images.png import encode_mask
from iem_batch.run import schema
from iem_batch.steps.export.formats.pair import Pair, Place


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as one table of schema CORPUS.

    A mask is a 1-bit PNG, white is foreground, or the label where there may be margins.

    Returns:
        Name of the file -> its rows.
    """
    if place.has_margins:
        masks = [pair.label_png for pair in pairs]
    else:
        masks = [encode_mask(pair.label_HW == FOREGROUND) for pair in pairs]
    columns = {
        "image_id": [pair.image_id for pair in pairs],
        "uri": [pair.uri for pair in pairs],
        "image": schema.image_column([pair.image for pair in pairs]),
        "mask": schema.image_column(masks),
        "error": [pair.error for pair in pairs],
        "rank": [pair.rank for pair in pairs],
    }
    table = pa.table(columns, schema=schema.CORPUS)
    kept = [tuple(pair.kept.values()) for pair in pairs]
    return {f"{place.stem}.parquet": schema.add_kept(table, place.kept, kept)}
