"""The settings of the steps that are not IEM's, the decoder's or the network's own."""

from dataclasses import dataclass

from iem_batch.errors import SettingsError

INIT_CHOICES = ("dataset", "image")


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Which engine runs IEM, and what it starts from."""

    init_sides: tuple[int, ...] = (78,)
    """Sides of the centred squares each image starts from, in pixels; the paper tries 44, 78, 92."""

    backend: str = "auto"
    """Engine: native, torch, reference, or auto for the fastest one of this machine."""

    def __post_init__(self) -> None:
        sides = self.init_sides
        if not sides or len(set(sides)) < len(sides) or min(sides) < 1:
            raise SettingsError(
                f"segment.init_sides is {list(sides)}; give one or more different sides above 0"
            )


@dataclass(frozen=True, kw_only=True)
class SelectSettings:
    """Which masks become labels."""

    k: int = 8000
    """Masks of highest inpainting error to select; all of them where there are fewer."""

    init_choice: str = "dataset"
    """How one first mask is chosen without labels: the side with the highest mean error over the
    data set (dataset, the paper's), or the highest error of each image (image)."""

    def __post_init__(self) -> None:
        if self.k < 0:
            raise SettingsError(f"select.k is {self.k}; it must be 0 or above")
        if self.init_choice not in INIT_CHOICES:
            raise SettingsError(
                f"select.init_choice is {self.init_choice!r}; use {' or '.join(INIT_CHOICES)}"
            )


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How the corpus is cut into files."""

    pairs_per_file: int = 1024
    """(image, mask) pairs in one Parquet file of the corpus."""

    def __post_init__(self) -> None:
        if self.pairs_per_file < 1:
            raise SettingsError(
                f"export.pairs_per_file is {self.pairs_per_file}; it must be at least 1"
            )
