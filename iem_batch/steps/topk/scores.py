"""What images are ranked by: a score, higher for surer masks. N = rows of a shard."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score of masks."""

    label: str
    """What it is called, for people."""
    columns: tuple[str, ...]
    """Numeric columns of the table of masks that it is computed from."""
    compute: Callable[[Mapping[str, NDArray[np.float64]]], NDArray[np.float64]]
    """From column -> (N,) values to (N,) scores in [0, 4]."""
    compares_first_masks: bool = False
    """Whether it needs the masks of several first masks; where an image has one mask only, images
    are ranked by the error instead."""


def _error(column_N: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return column_N["error"]


def _error_agreement(column_N: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = column_N["error"] * np.nan_to_num(column_N["agreement"])
    return scores


SCORES = {
    "error": Score(label="error", columns=("error",), compute=_error),
    "error_agreement": Score(
        label="error x agreement",
        columns=("error", "agreement"),
        compute=_error_agreement,
        compares_first_masks=True,
    ),
}
"""`topk.by` -> the score."""
