"""One image of a run with everything there is of it."""

from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from iem_batch.data import run_folder
from iem_batch.data.read_ahead import map_ahead
from iem_batch.data.run_folder import RunFolder
from iem_batch.stages.report.gallery import COLUMNS, Sources, draw_cards
from iem_batch.stages.report.sheet import Row, draw_sheet
from iem_batch.stages.selection.choose import chosen_rows, dataset_side
from iem_batch.stages.selection.settings import InitChoice


def draw_image(sources: Sources, image_id: str, init_choice: InitChoice) -> Image.Image | None:
    """Draw an image of a run as the report does.

    Args:
        sources: where pictures come from.
        image_id: the image.
        init_choice: how one first mask is chosen where there are several.

    Returns:
        The picture; None where no committed shard has a mask of the image.
    """
    run = sources.run
    shards = sorted(run.committed("masks"))
    found = map_ahead(partial(_find, run, image_id), shards)
    rows = next((rows for rows in found if len(rows)), None)
    if rows is None:
        return None
    side = dataset_side(run.each_mark("masks", shards))
    rows = chosen_rows(rows, init_choice, side)
    card = draw_cards(sources, {"": rows})[""][0]
    return draw_sheet([Row(caption=f"{image_id}: {card.facts}", panels=card.panels)])


def _find(run: RunFolder, image_id: str, shard: int) -> pa.Table:
    table = run.read_table(run_folder.part("masks", shard), columns=COLUMNS)
    rows = table.filter(pc.equal(table["image_id"], image_id))
    return rows.append_column("shard", pa.array([shard] * len(rows), pa.int32()))
