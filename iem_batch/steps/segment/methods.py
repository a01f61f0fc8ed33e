"""What may find the masks of images: IEM, an engine of the user's, or files that have them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.backends import Segment, load_backend, score_masks
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings
from iem_batch.run.load import LoadedShard
from iem_batch.steps.segment.settings import SegmentSettings


@dataclass(frozen=True, kw_only=True)
class Found:
    """What was found in the images of a shard."""

    result: IEMResult
    """Of the images that have masks."""
    vote_BHW: NDArray[np.uint8] | None = None
    """Their soft masks; None of IEM, which has none."""
    failed: dict[int, str] = field(default_factory=dict)
    """Place of an image that has none -> why."""


Find: TypeAlias = Callable[[LoadedShard], Found]


class Method(Protocol):
    """One of them; it is pickled to every worker."""

    @property
    def size_px(self) -> int:
        """Side of the square that it takes images at."""

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Sides of the first masks, in pixels; none where an image has one mask without."""

    @property
    def failure(self) -> str:
        """`error_class` of images that it finds no mask of; empty if it finds one of each."""

    @property
    def facts(self) -> dict[str, Any] | None:
        """What its masks depend on beside the settings of the step, in JSON types."""

    def open(self, num_threads: int) -> Find:
        """Set up, once per worker, what finds masks."""


@dataclass(frozen=True, kw_only=True)
class ByIEM:
    """IEM.

    Raises:
        SettingsError: a first mask does not fit the size of the images.
    """

    size_px: int
    iem: IEMSettings
    segment: SegmentSettings
    failure: str = ""
    facts: None = None

    def __post_init__(self) -> None:
        self._first_masks()

    @property
    def sides_px(self) -> tuple[int, ...]:
        """Sides of the first masks, in pixels."""
        return self.segment.sides_px(self.size_px)

    def open(self, num_threads: int) -> Find:
        """Load the backend and draw the first masks."""
        backend, first_SHW = load_backend(self.segment.backend), self._first_masks()

        def find(loaded: LoadedShard) -> Found:
            image_BHW3 = loaded.image_BHW3
            first_BSHW = np.broadcast_to(first_SHW, (len(image_BHW3), *first_SHW.shape))
            result = backend(image_BHW3, first_BSHW, self.iem, num_threads=num_threads)
            return Found(result=result)

        return find

    def _first_masks(self) -> NDArray[np.bool_]:
        return centred_squares(self.size_px, self.size_px, self.sides_px)


def score_soft(
    backend: Segment,
    image_KHW3: NDArray[np.uint8],
    soft_KHW: NDArray[np.float32],
    failed: dict[int, str],
    iem: IEMSettings,
    num_threads: int,
) -> Found:
    """Score the soft masks that another method than IEM gives, one for each image.

    Args:
        backend: as `load_backend` gives it.
        image_KHW3: uint8 RGB of the K images that have a mask.
        soft_KHW: in [0, 1]; a pixel is foreground above a half.
        failed: as in `Found`.
        iem: of which blur and colours matter.
        num_threads: how many images may be worked on at once.
    """
    result = score_masks(backend, image_KHW3, soft_KHW > 0.5, iem, num_threads)
    vote_KHW = np.rint(255 * soft_KHW).astype(np.uint8)
    return Found(result=result, vote_BHW=vote_KHW, failed=failed)
