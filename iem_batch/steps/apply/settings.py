"""The settings of the step `apply`."""

from dataclasses import dataclass
from typing import Annotated, Literal

from iem_batch.checks import Section, share


@dataclass(frozen=True, kw_only=True)
class ApplySettings(Section, name="apply"):
    """What a trained network gives for photos; how they become its square, its file says."""

    model: str | None = None
    """The network: a run, its train/, a weights file, or the URL of one."""

    threshold: Annotated[float, share] | None = None
    """Probability above which a pixel is foreground; null takes the model's own."""

    refine: bool = False
    """Cut each mask out by a graph cut by the photo's colours and edges, as refine does."""

    probability: bool = False
    """Whether the probabilities are kept too, as 8-bit pictures at the network's size."""

    format: Literal["parquet", "png"] = "parquet"
    """`parquet`: masks as columns; `png`: masks/, files named like the photos, at their size, and
    tables that say which is whose. A photo whose extension is not the usual one keeps it: a.png of
    a.jpg, a.tif.png of a.tif."""

    def __post_init__(self) -> None:
        super().__post_init__()
        is_free = self.threshold is None or not self.refine
        self.require("threshold", is_free, "null with apply.refine, whose graph cut decides")
