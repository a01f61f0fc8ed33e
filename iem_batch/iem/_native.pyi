"""The compiled module of native/module.cpp; absent where there was no compiler."""

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.tables import Tables

def segment(
    image: NDArray[np.uint8],
    first: NDArray[np.uint8],
    *,
    tables: Tables,
    diversity_weight: float,
    iterations: int,
    smoothing: bool,
    boundary_only: bool,
    num_threads: int,
    instruction_set: str = "",
) -> tuple[
    NDArray[np.uint8],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.int32],
    NDArray[np.uint8],
]: ...
def instruction_sets() -> list[str]: ...
