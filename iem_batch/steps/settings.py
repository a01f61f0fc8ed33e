"""The settings of the steps that are not IEM's, the decoder's or the network's own."""

from dataclasses import dataclass

from iem_batch.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class SegmentSettings:
    """Which engine runs IEM, and what it starts from."""

    init_sides: tuple[int, ...] = (44, 78, 92)
    """Sides in pixels of the centred squares each image starts from. IEM's time is proportional to
    their number."""

    backend: str = "auto"
    """Engine: native, torch, reference, or auto for the fastest one of this machine."""

    def __post_init__(self) -> None:
        sides = self.init_sides
        if not sides or len(set(sides)) < len(sides) or min(sides) < 1:
            raise SettingsError(
                f"segment.init_sides is {list(sides)}; give one or more different sides above 0"
            )


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """How SegNet's probabilities become masks."""

    threshold: float = 0.5
    """Probability above which a pixel is foreground."""

    probability: bool = False
    """Whether predictions/ keeps the probabilities, as 8-bit pictures."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise SettingsError(
                f"predict.threshold is {self.threshold}; it must be between 0 and 1"
            )


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How the demo is sized; the defaults take a few minutes on two cores."""

    num_images: int = 2000
    """Composites to draw."""

    seed: int = 0
    """The same seed draws the same composites, whatever their number."""

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise SettingsError(f"demo.num_images is {self.num_images}; it must be at least 1")


DEMO_DEFAULTS = {"select.k": 1000}
"""What the demo sets differently: it has 2,000 images, of which the best are the labels."""
