import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
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


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """A temporary folder that every user may enter; those of pytest are private."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def as_nobody() -> Callable[[], AbstractContextManager[None]]:
    """Gives a block without root's rights, to whom nothing is denied."""

    @contextmanager
    def without_rights() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return without_rights


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A local Ray of two CPUs for all tests, away from the user's own settings and tokens."""
    import ray

    home: Path = tmp_path_factory.mktemp("home")
    os.environ |= {
        "HOME": str(home),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
