import re
from dataclasses import replace
from typing import Any

import pytest

from iem_batch.config import PAPER
from iem_batch.errors import SettingsError
from iem_batch.iem.settings import IEMSettings


def test_the_paper_has_other_colours_and_another_lambda() -> None:
    papers = {
        name.removeprefix("iem."): value for name, value in PAPER.items() if name.startswith("iem.")
    }
    assert papers == {
        "sigma_px": 5,
        "kernel_px": 11,
        "diversity_weight": 0.001,
        "iterations": 150,
        "smoothing": True,
        "boundary_only": True,
        "colors": "rgb",
    }
    assert replace(IEMSettings(), diversity_weight=0.001, colors="rgb") == IEMSettings(**papers)


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
