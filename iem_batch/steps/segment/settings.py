"""The settings of the step `segment`."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from iem_batch.checks import Rule, Section

_SHARES = Rule(
    "one or more different shares above 0 and below 1",
    lambda shares: len(shares) == len(set(shares)) > 0 and 0 < min(shares) <= max(shares) < 1,
)


@dataclass(frozen=True, kw_only=True)
class SegmentSettings(Section, name="segment"):
    """Which engine runs IEM, and what it starts from; or what gives masks in IEM's place."""

    init_shares: Annotated[tuple[float, ...], _SHARES] = (0.25, 0.34, 0.47, 0.61, 0.72, 0.84)
    """Sides of the centred squares each image starts from, as shares of the engine's square. IEM's
    time is proportional to their number."""

    backend: str = "auto"
    """Engine: native, torch, reference, or auto for the fastest one of this machine."""

    engine: str | None = None
    """Masks by other means than IEM, "package.module:Class": a class, importable on every worker,
    that turns uint8 images (B, S, S, 3) into masks (B, S, S), bool, or float32 in [0, 1], and says
    whether it is deterministic; see docs/howto/own-masks.md. Their inpainting errors are still
    those of `backend`."""

    engine_args: dict[str, Any] = field(default_factory=dict)
    """What that class is called with."""

    masks: str | None = None
    """Masks in IEM's place that are there already: a folder of pictures named like the images,
    Parquet, tar or COCO JSON; mask_files says how they are read. Images without one have no label,
    and are `no_mask` in quarantine/."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require("masks", None in (self.masks, self.engine), "null where an engine is named")
        named = self.engine is not None or not self.engine_args
        self.require("engine_args", named, "empty unless segment.engine names a class")

    @property
    def by_iem(self) -> bool:
        """Whether the masks are IEM's."""
        return self.engine is None and self.masks is None

    @property
    def method(self) -> str:
        """What the masks are by, for a card: the paths of files are the user's own."""
        if self.masks is not None:
            return "masks given in files"
        return self.engine or "Inpainting Error Maximization"

    @property
    def origin(self) -> str:
        """Which part people had in the masks, for a card."""
        if self.masks is not None:
            return "of masks that it was given in files; it does not know who made those"
        if self.engine is not None:
            return "with an engine of its user's; nobody has looked at these masks"
        return "without labels: nobody has looked at these masks"

    def sides_px(self, size_px: int) -> tuple[int, ...]:
        """Give the sides of the first masks in pixels of a square."""
        return tuple(round(share * size_px) for share in self.init_shares)
