"""What `topk` found: the facts of its summary, and where its table lies."""

from dataclasses import dataclass

from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import read_summary

TABLE = "topk/topk.parquet"


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What `topk` found."""

    num_images: int
    """Images with a mask."""
    num_undefined: int
    """Images whose mask came out empty or full; they are never selected."""
    num_outside: int
    """Images left out for the area of their mask, or because they are in no group."""
    num_near_duplicates: int
    """Images left out for a near-duplicate of higher error."""
    num_gone: int
    """Images left out because they can no longer be read, which only diversity asks for."""
    num_selected: int
    """Images taken."""
    cut: float | None
    """Score of the last mask selected; None where nothing is selected."""
    histogram: list[int]
    """Images with a defined mask by score, in `ERROR_BINS`."""
    histogram_selected: list[int]
    """Selected images by score, in `ERROR_BINS`."""
    by: str
    """The score, a name of `SCORES`; `error` also where the one asked for compares first masks and
    each image has one mask."""

    num_unlisted: int = 0
    """Images left out because `topk.exclude` names them, or `topk.only` does not."""
    num_unknown_ids: int = 0
    """Entries of these lists that are no image with a mask."""

    @property
    def num_available(self) -> int:
        """Images with a mask that can be taken."""
        return self.num_images - self.num_undefined - self.num_outside - self.num_unlisted

    @property
    def takes_all(self) -> bool:
        """Whether no image is left that could be taken."""
        left_out = self.num_near_duplicates + self.num_gone
        return self.num_selected + left_out >= self.num_available


def read_selection(place: RunFolder) -> Selection | None:
    """Read what a finished step has selected; None if it has not finished."""
    summary = read_summary(place, "topk")
    return None if summary is None else Selection(**summary.facts)
