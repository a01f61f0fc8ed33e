"""Where the arrays of a block lie."""

import pytest

from iem_batch.iem.cuda.layout import plan_layout
from iem_batch.iem.settings import IEMSettings


def in_shared(height: int, width: int, limit: int) -> set[str]:
    layout = plan_layout(height, width, 10, 10, IEMSettings(), shared_limit=limit)
    assert layout.shared_bytes <= limit
    places = {name: place for name, place in layout.fields.items() if name.startswith("place_")}
    assert all(place % 16 == 0 for place in places.values() if place >= 0)
    assert all(~place % 16 == 0 for place in places.values() if place < 0)
    assert all(~place < layout.workspace_bytes for place in places.values() if place < 0)
    return {name for name, place in places.items() if place >= 0}


@pytest.mark.parametrize(
    ("size", "limit", "outside"),
    [
        ((128, 128), 232_448, set()),  # H100, H200, B200
        ((128, 128), 166_912, {"place_r"}),  # A100
        ((128, 128), 101_376, {"place_v", "place_r"}),  # L4, L40, RTX
        ((256, 256), 232_448, {"place_v", "place_r"}),
        ((512, 512), 232_448, {"place_planes", "place_sign", "place_v", "place_r"}),
    ],
)
def test_what_does_not_fit_goes_to_global_memory(
    size: tuple[int, int], limit: int, outside: set[str]
) -> None:
    """The adjoint's sources of a 128 x 128 image fit on Hopper, in part on older cards."""
    wanted = {"control", "planes", "spread", "bounds", "sign", "v", "r"}
    assert {f"place_{name}" for name in wanted} - in_shared(*size, limit) == outside
