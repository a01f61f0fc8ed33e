"""One image of a run with everything there is of it."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.steps.fuse.step import fused_so_far
from iem_batch.steps.report.gallery import COLUMNS, Sources, draw_cards
from iem_batch.steps.report.sheet import Row, draw_sheet
from iem_batch.storage.read_ahead import map_ahead


def draw_image(sources: Sources, image_id: str) -> Image.Image | None:
    """Draw an image of a run as the report does.

    Args:
        sources: where pictures come from.
        image_id: the image.

    Returns:
        The picture; None where no committed shard has a mask of the image.
    """
    run = sources.run
    found = map_ahead(partial(_find, run, image_id), fused_so_far(run))
    rows = next((rows for rows in found if len(rows)), None)
    if rows is None:
        return None
    card = draw_cards(sources, rows)[0]
    return draw_sheet([Row(caption=f"{image_id}: {card.facts}", panels=card.panels)])


def _find(run: RunFolder, image_id: str, shard: int) -> pa.Table:
    table = run.read_table(layout.part("fuse", shard), columns=COLUMNS)
    rows = table.filter(pc.equal(table["image_id"], image_id))
    return rows.append_column("shard", pa.array([shard] * len(rows), pa.int32()))
