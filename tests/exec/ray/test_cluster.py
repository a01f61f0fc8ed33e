"""Joining clusters that are there, are not, or are something else."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import ray
from ray._raylet import GcsClient

from iem_batch.run.folder import RunFolder
from iem_batch.run.marker import adopt
from tests.calling import Call
from tests.exec.ray.nodes import Nodes, running_nodes
from tests.serving import serving

pytestmark = pytest.mark.ray


@pytest.fixture(autouse=True)
def _no_cluster_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that other tests share would be taken, whatever the address."""
    monkeypatch.setattr(ray, "is_initialized", lambda: False)


class Silent(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web_server() -> Iterator[str]:
    """HOST:PORT of what is no Ray."""
    server = HTTPServer(("127.0.0.1", 0), Silent)
    with serving(server):
        yield f"127.0.0.1:{server.server_port}"


def refusal(call: Call, *arguments: object) -> str:
    status, _, error = call(*arguments)
    assert status == 1
    (line,) = error.splitlines()
    return line.removeprefix("iem-batch: no Ray cluster can be joined at ")


@pytest.mark.parametrize("command", ["segment", "doctor"])
@pytest.mark.parametrize(
    ("address", "cause"),
    [
        (
            "http://head:8265",
            "an address for `ray job submit`; give HOST:PORT of the head, e.g. head:",
        ),
        ("ray://head:10001", "that is an address for Ray Client; give HOST:PORT of the head"),
        ("127.0.0.1:1", "no Ray answers there: "),
        ("nowhere.invalid:6379", "no Ray answers there: "),
    ],
)
def test_addresses_that_lead_nowhere(
    call: Call,
    picture_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    address: str,
    cause: str,
) -> None:
    """Catches a traceback, minutes of waiting, planning before that, and a line that does not say
    who named the address."""
    monkeypatch.setenv("RAY_ADDRESS", address)
    arguments = [picture_folder, tmp_path / "run"] if command == "segment" else []
    line = refusal(call, command, *arguments)
    assert line.startswith(f"{address}, which the environment variable RAY_ADDRESS names: ")
    assert cause in line
    assert not (tmp_path / "run").exists()


def test_what_answers_is_no_ray(call: Call, web_server: str, tmp_path: Path) -> None:
    adopt(RunFolder(str(tmp_path)), "run")
    line = refusal(call, "topk", tmp_path, f"--cluster.address={web_server}")
    assert line.startswith(f"{web_server}, which cluster.address names: no Ray answers there")


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    """A head."""
    with running_nodes(worker=False) as nodes:
        yield nodes


@pytest.mark.slow
def test_another_version_of_ray(nodes: Nodes) -> None:
    """The head says that it is one; catches Ray's traceback, and a line with one version only."""
    head = GcsClient(address=f"127.0.0.1:{nodes.gcs_port}")
    place = {"key": b"CLUSTER_METADATA", "namespace": b"cluster"}
    ours = json.loads(head.internal_kv_get(**place))
    theirs = json.dumps(ours | {"ray_version": "2.9.9"}).encode()
    head.internal_kv_put(value=theirs, overwrite=True, **place)
    output, _ = nodes.drive("iem_batch", "doctor").communicate(timeout=60)
    (line,) = [line for line in output.splitlines() if line.startswith("iem-batch: ")]
    assert "Version mismatch" in line
    assert "Ray: 2.9.9" in line
    assert f"Ray: {ray.__version__}" in line
    assert "Traceback" not in output
