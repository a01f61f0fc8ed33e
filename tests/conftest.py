import os
from pathlib import Path

import pytest

from tests.pictures import Picture, textured_disc, write_folder


@pytest.fixture(scope="session")
def pictures() -> list[Picture]:
    """Twelve tiny pictures with their true masks."""
    return [textured_disc(seed) for seed in range(12)]


@pytest.fixture
def picture_folder(tmp_path: Path, pictures: list[Picture]) -> Path:
    """The twelve pictures as a folder of PNG and JPEG files; each test may change its own."""
    folder = tmp_path / "pictures"
    write_folder(folder, pictures)
    return folder


@pytest.fixture(scope="session")
def photos() -> Path:
    """Real photographs: the folders flowers17, cars and people with images/ and masks/."""
    if "IEM_BATCH_DATA" not in os.environ:
        pytest.skip("IEM_BATCH_DATA is not set: the folder of real photographs with masks")
    return Path(os.environ["IEM_BATCH_DATA"])
