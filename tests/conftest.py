import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import hypothesis
import pytest

from iem_batch.storage import object_store
from tests import s3
from tests.calling import call, local  # noqa: F401 - fixtures of all tests
from tests.pictures import Picture, textured_disc, write_folder

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


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
def s3_address() -> Iterator[socket.socket]:
    """A port for the S3 server, and the environment in which s3:// URLs lead to it.

    Nobody answers there before `s3_server`. Ray's workers have the environment of the moment Ray
    was started in, so the port has to be known by then.
    """
    with socket.socket() as listener, pytest.MonkeyPatch.context() as patch:
        listener.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        patch.delenv("AWS_PROFILE", raising=False)
        for name, value in s3.environment(endpoint).items():
            patch.setenv(name, value)
        yield listener


@pytest.fixture(scope="session")
def s3_server(s3_address: socket.socket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server, started by the first test that wants it; gives its endpoint."""
    if missing := s3.missing_packages():
        pytest.skip(f"an S3 server needs {', '.join(missing)}: pip install -e '.[dev]'")
    with s3.serving(tmp_path_factory.mktemp("s3"), s3_address):
        yield os.environ["AWS_ENDPOINT_URL"]


@pytest.fixture
def s3_bucket(s3_server: str) -> str:
    """The s3:// URL of a new, empty bucket; this process, its children and Ray can use it."""
    return f"s3://{s3.new_bucket()}"


@pytest.fixture
def changed_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Changes environment variables for clients made from now on; None takes one away."""

    def change(**variables: str | None) -> None:
        for name, value in variables.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        object_store.forget()

    yield change
    object_store.forget()


@pytest.fixture(scope="session")
def local_ray(
    tmp_path_factory: pytest.TempPathFactory, s3_address: socket.socket
) -> Iterator[None]:
    """A local Ray of two CPUs for all tests, away from the user's own settings and tokens."""
    import ray

    home: Path = tmp_path_factory.mktemp("home")
    os.environ |= {
        "HOME": str(home),
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_IGNORE_UNHANDLED_ERRORS": "1",
        "RAY_metrics_report_interval_ms": "500",  # a test waits for them
        # As in iem_batch.exec.ray.cluster: else a worker begins anew, with its imports, each time.
        "RAY_num_workers_soft_limit": "6",
    }
    ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()
