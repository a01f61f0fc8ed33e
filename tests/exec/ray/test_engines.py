import pytest

from iem_batch.errors import BackendUnavailableError, SettingsError
from iem_batch.exec.ray.engines import (
    NodeEngines,
    common_engine,
    resolve_on_cluster,
)
from iem_batch.exec.ray.executor import RayExecutor
from iem_batch.exec.settings import ClusterSettings
from iem_batch.iem.backends import resolve

ANY = {"torch": None, "reference": None}


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_a_cluster_of_this_machine_takes_its_engine() -> None:
    """Catches a look at the wrong machine, and one that needs more than a busy node has free."""
    assert resolve_on_cluster(ClusterSettings(device="cpu")) == resolve("auto")
    assert RayExecutor(ClusterSettings()).call_beside_engine(lambda: 6 * 7) == 42


def test_nodes_that_agree() -> None:
    nodes = [NodeEngines(host=host, unavailable={"native": None, **ANY}) for host in "ab"]
    assert common_engine(nodes) == "native"


def test_nodes_that_differ_are_refused() -> None:
    """Catches a run that mixes engines, or quietly takes the slowest for all."""
    nodes = [
        NodeEngines(host="a", unavailable={"native": None, **ANY}),
        NodeEngines(host="b", unavailable={"native": "no compiler", **ANY}),
    ]
    message = "native is the fastest engine on a and torch on b, where native cannot run: no comp"
    with pytest.raises(BackendUnavailableError, match=message):
        common_engine(nodes)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("device", "tpu"), ("worker_price_per_hour", -1.0), ("head_price_per_hour", float("nan"))],
)
def test_bad_settings_are_refused(setting: str, value: object) -> None:
    with pytest.raises(SettingsError, match=f"cluster.{setting} is"):
        ClusterSettings(**{setting: value})  # type: ignore[arg-type]
