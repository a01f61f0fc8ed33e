from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from iem_batch.errors import SettingsError
from iem_batch.iem import reference, torch_backend
from iem_batch.iem.settings import IEMSettings


@pytest.mark.parametrize("segment", [reference.segment, torch_backend.segment])
@pytest.mark.parametrize(
    ("image", "first_mask", "num_threads", "message"),
    [
        (np.zeros((2, 4, 6, 3)), None, 1, "images are float64"),
        (np.zeros((4, 6, 3), np.uint8), None, 1, "must be uint8"),
        (np.zeros((2, 4, 6, 4), np.uint8), None, 1, "must be uint8"),
        (np.zeros((2, 0, 6, 3), np.uint8), None, 1, "images are 0 x 6"),
        (None, np.zeros((2, 1, 4, 6), np.uint8), 1, "first masks are uint8"),
        (None, np.zeros((2, 4, 6), bool), 1, r"must be bool \(2, S, 4, 6\)"),
        (None, np.zeros((2, 1, 6, 4), bool), 1, r"must be bool \(2, S, 4, 6\)"),
        (None, np.zeros((1, 1, 4, 6), bool), 1, r"must be bool \(2, S, 4, 6\)"),
        (None, None, 0, "num_threads is 0"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(
    segment: Callable[..., Any],
    image: Any,
    first_mask: Any,
    num_threads: int,
    message: str,
) -> None:
    image = np.zeros((2, 4, 6, 3), np.uint8) if image is None else image
    first_mask = np.zeros((2, 1, 4, 6), bool) if first_mask is None else first_mask
    with pytest.raises(SettingsError, match=message):
        segment(image, first_mask, IEMSettings(), num_threads=num_threads)
