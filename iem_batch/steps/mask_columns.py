"""The columns that all tables with one mask for each image share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.result import IEMResult, Status
from iem_batch.images.png import encode_mask
from iem_batch.run import schema
from iem_batch.run.load import LoadedShard


def mask_columns(
    images: LoadedShard, mask_BHW: NDArray[np.bool_], scores: IEMResult
) -> dict[str, Any]:
    """Give what is known of images and their masks, by the names of `schema.REFINED`.

    Args:
        images: B images; their pixels are not needed.
        mask_BHW: True is foreground.
        scores: what the engine gave for one mask of each.
    """
    return {
        "image_id": images.image_id,
        "uri": images.uri,
        "width": images.width,
        "height": images.height,
        "mask": schema.image_column([encode_mask(mask_HW) for mask_HW in mask_BHW]),
        "error": scores.error_BS[:, 0],
        "error_foreground": scores.error_foreground_BS[:, 0],
        "error_background": scores.error_background_BS[:, 0],
        "area": mask_BHW.mean(axis=(1, 2)) if len(mask_BHW) else np.empty(0),
        "status": [Status(int(code)).name.lower() for code in scores.status_BS[:, 0]],
    }
