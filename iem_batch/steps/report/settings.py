"""The settings of the report."""

from dataclasses import dataclass

from iem_batch.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What the page about a run shows."""

    num_samples: int = 12
    """Images in each gallery."""

    seed: int = 0
    """Decides which images are drawn at random."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_samples <= 50:
            raise SettingsError(f"report.num_samples is {self.num_samples}; it must be in 1..50")
        if self.seed < 0:
            raise SettingsError(f"report.seed is {self.seed}; it must be 0 or above")
