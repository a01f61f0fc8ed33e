"""The settings of the step `convert`."""

from dataclasses import dataclass
from typing import Literal

from iem_batch.checks import Section


@dataclass(frozen=True, kw_only=True)
class ConvertSettings(Section, name="convert"):
    """What a source becomes."""

    to: Literal["parquet", "tar"] = "parquet"
    """Format of the shards: Parquet, or tar as WebDataset has it."""
