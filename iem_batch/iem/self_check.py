"""A few pictures on which an engine must give what another one gives, before it is trusted.

B = images, S = first masks, H, W = pixels.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem import native_backend
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult
from iem_batch.iem.settings import IEMSettings

SIDE_PX = 128
"""The size of the paper's images, so that the code on trial is the code that will run."""

TOLERANCE = 1e-5
"""How far an error may be from torch's; masks, iterations and status may not differ at all."""

Run = Callable[[NDArray[np.uint8], NDArray[np.bool_], IEMSettings], IEMResult]


def pictures() -> NDArray[np.uint8]:
    """Draw the pictures: waves with a disc, noise, and two flat colours, where many signs tie."""
    y, x = np.indices((SIDE_PX, SIDE_PX))[..., None]
    tint_3 = np.array([1, 2, 3])
    waves = (x * tint_3 + y * tint_3[::-1]) % 97 + 40
    disc = np.hypot(y - 60, x - 70) < 35
    noise = np.random.default_rng(0).integers(0, 256, (SIDE_PX, SIDE_PX, 3))
    square = (abs(y - 64) < 30) & (abs(x - 64) < 30)
    flat = np.where(square, [200, 30, 90], [20, 30, 140])
    return np.stack([np.where(disc, 255 - waves, waves), noise, flat]).astype(np.uint8)


def _trusted(image: NDArray[np.uint8], first: NDArray[np.bool_]) -> tuple[str, IEMResult]:
    if native_backend.unavailable() is None:
        return "native", native_backend.segment(image, first, IEMSettings())
    from iem_batch.iem.torch_backend import segment

    return "torch", segment(image, first, IEMSettings(), num_threads=1)


def difference(run: Run) -> str | None:
    """Say in what an engine differs from the engine `native`, bit for bit, or None if it does not.

    Without `native` it is compared with `torch`, whose errors are only close. With the paper's
    settings this takes the time of three images, or that of a few seconds' work of `torch`.

    Args:
        run: the engine on trial.
    """
    image_BHW3 = pictures()
    first_HW = centred_squares(SIDE_PX, SIDE_PX, [78])[0]
    first_BSHW = np.broadcast_to(first_HW, (len(image_BHW3), 1, SIDE_PX, SIDE_PX))
    name, expected = _trusted(image_BHW3, first_BSHW)
    found = run(image_BHW3, first_BSHW, IEMSettings())
    wrong = []
    for field in dataclasses.fields(IEMResult):
        had, wanted = getattr(found, field.name), getattr(expected, field.name)
        close = name == "torch" and field.name.startswith("error")
        if not (np.allclose(had, wanted, 0, TOLERANCE) if close else np.array_equal(had, wanted)):
            wrong.append(field.name.rsplit("_", 1)[0])
    if not wrong:
        return None
    return f"on built-in pictures its {', '.join(wrong)} differ from those of the engine {name}"
