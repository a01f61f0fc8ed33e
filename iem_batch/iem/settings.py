"""The settings of IEM. The defaults are those of the paper (arXiv 2012.07287)."""

from dataclasses import dataclass

from iem_batch.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class IEMSettings:
    """What decides the masks, given the decoded images and the first masks."""

    sigma_px: float = 5.0
    """Standard deviation of one pass of the inpainting Gaussian, in pixels."""

    kernel_px: int = 11
    """Taps of one pass of the inpainting Gaussian, odd; it is applied twice."""

    diversity_weight: float = 0.001
    """lambda of the objective L = E - lambda D; 0 switches the diversity term off."""

    iterations: int = 150
    """Projected-gradient steps; an image whose masks recur stops early with the same answer."""

    smoothing: bool = True
    """Whether each iteration ends with the 3x3 majority vote."""

    boundary_only: bool = True
    """Whether only pixels on the boundary of the mask may change in an iteration."""

    def __post_init__(self) -> None:
        if not self.sigma_px > 0:
            raise SettingsError(f"iem.sigma_px is {self.sigma_px}; it must be above 0")
        if self.kernel_px < 1 or self.kernel_px % 2 == 0:
            raise SettingsError(f"iem.kernel_px is {self.kernel_px}; it must be odd and at least 1")
        if not self.diversity_weight >= 0:
            raise SettingsError(
                f"iem.diversity_weight is {self.diversity_weight}; it must be 0 or above"
            )
        if self.iterations < 0:
            raise SettingsError(f"iem.iterations is {self.iterations}; it must be 0 or above")
