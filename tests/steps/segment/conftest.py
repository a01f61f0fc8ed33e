"""Photos for engines of the user's."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.pictures import textured_disc
from tests.steps.jobs import SIZE_PX

Photos = dict[str, NDArray[np.uint8]]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Photos]:
    """Writes seven photos of the run's square; some begin with a certain shade of red."""

    def write_photos(shades: Mapping[int, int] | None = None) -> Photos:
        photos = {}
        (tmp_path / "photos").mkdir()
        for seed in range(7):
            image = textured_disc(seed, SIZE_PX, SIZE_PX).image
            image[0, 0, 0] = (shades or {}).get(seed, 100)
            photos[f"{seed}.png"] = image
            Image.fromarray(image).save(tmp_path / f"photos/{seed}.png")
        return photos

    return write_photos
