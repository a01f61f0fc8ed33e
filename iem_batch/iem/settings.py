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

    half_resolution: bool = False
    """Whether the blur runs on 2x2 averages, with half the width; the image needs even sides."""

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

    def check_size(self, height: int, width: int) -> None:
        """Check that images of this size can be blurred.

        Raises:
            SettingsError: `half_resolution` is on and a side is odd.
        """
        if self.half_resolution and (height % 2 or width % 2):
            raise SettingsError(
                f"iem.half_resolution needs images with even sides, not {height} x {width}; "
                "switch it off or resize to an even size"
            )

    @property
    def blur_sigma_px(self) -> float:
        """Standard deviation in pixels of the blurred grid: the authors' 5, or 2.5 at half."""
        return self.sigma_px / 2 if self.half_resolution else self.sigma_px

    @property
    def blur_kernel_px(self) -> int:
        """Taps on the blurred grid, odd: the authors' 11, or 7 at half resolution."""
        return (self.kernel_px + 1) // 2 | 1 if self.half_resolution else self.kernel_px
