import re
from typing import Any

import pytest

from iem_batch.errors import SettingsError
from iem_batch.iem.settings import IEMSettings


def test_the_defaults_are_the_papers() -> None:
    assert IEMSettings() == IEMSettings(
        sigma_px=5,
        kernel_px=11,
        diversity_weight=0.001,
        iterations=150,
        smoothing=True,
        boundary_only=True,
        half_resolution=False,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sigma_px": 0.0}, "iem.sigma_px is 0.0; it must be above 0"),
        ({"sigma_px": float("nan")}, "iem.sigma_px is nan"),
        ({"kernel_px": 10}, "iem.kernel_px is 10; it must be odd and at least 1"),
        ({"kernel_px": -1}, "iem.kernel_px is -1"),
        ({"diversity_weight": -0.1}, "iem.diversity_weight is -0.1; it must be 0 or above"),
        ({"diversity_weight": float("nan")}, "iem.diversity_weight is nan"),
        ({"iterations": -1}, "iem.iterations is -1; it must be 0 or above"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=f"^{re.escape(message)}"):
        IEMSettings(**changes)


def test_half_resolution_halves_the_blur() -> None:
    """The authors blur the halved picture with sigma 2.5 and 7 taps."""
    half = IEMSettings(half_resolution=True)
    assert (half.blur_sigma_px, half.blur_kernel_px) == (2.5, 7)
    assert (IEMSettings().blur_sigma_px, IEMSettings().blur_kernel_px) == (5, 11)
    for kernel, halved in ((1, 1), (3, 3), (5, 3), (7, 5), (9, 5), (13, 7)):
        settings = IEMSettings(half_resolution=True, kernel_px=kernel)
        assert settings.blur_kernel_px == halved


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (1, 1)])
def test_half_resolution_needs_even_sides(size: tuple[int, int]) -> None:
    with pytest.raises(SettingsError, match=f"even sides, not {size[0]} x {size[1]}"):
        IEMSettings(half_resolution=True).check_size(*size)
    IEMSettings().check_size(*size)
    IEMSettings(half_resolution=True).check_size(8, 10)
