"""One image of a run with everything there is of it."""

from collections.abc import Iterator
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.steps.report.gallery import COLUMNS, Sources, draw_cards
from iem_batch.steps.report.sheet import Row, draw_sheet
from iem_batch.steps.report.survey import READERS
from iem_batch.steps.topk.choose import chosen_rows, dataset_side
from iem_batch.steps.topk.settings import InitChoice
from iem_batch.storage.read_ahead import read_ahead


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
    parts = (partial(_find, run, shard, image_id) for shard in shards)
    rows = next(read_ahead(parts, READERS), None)
    if rows is None:
        return None
    side = dataset_side(run.each_mark("masks", shards))
    rows = chosen_rows(rows, init_choice, side)
    card = draw_cards(sources, {"": rows})[""][0]
    return draw_sheet([Row(caption=f"{image_id}: {card.facts}", panels=card.panels)])


def _find(run: RunFolder, shard: int, image_id: str) -> Iterator[pa.Table]:
    table = run.read_table(layout.part("masks", shard), columns=COLUMNS)
    rows = table.filter(pc.equal(table["image_id"], image_id))
    if len(rows):
        yield rows.append_column("shard", pa.array([shard] * len(rows), pa.int32()))
