"""cluster.yaml and the Dockerfile are as Ray's own checks want them, and agree with each other."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RAY_IMAGE = re.compile(r"rayproject/ray:([\d.]+)-py(\d+)-gpu")


@pytest.fixture(scope="module")
def cluster():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def pinned_ray():
    return re.search(r"^ray==(.+)$", (ROOT / "constraints.txt").read_text(), re.M).group(1)


def extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["optional-dependencies"])


def test_ray_accepts_the_cluster(cluster):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(cluster))


def test_ray_refuses_what_it_does_not_know(cluster):
    """Else the test above could not fail."""
    from jsonschema import ValidationError
    from ray.autoscaler._private.util import prepare_config, validate_config

    with pytest.raises(ValidationError, match="max_worker"):
        validate_config(prepare_config(cluster | {"max_worker": 3}))


def test_the_head_runs_no_tasks_and_is_not_spot(cluster):
    head = cluster["available_node_types"][cluster["head_node_type"]]
    assert head["resources"] == {"CPU": 0}
    assert "InstanceMarketOptions" not in head["node_config"]


def test_spot_comes_first_and_on_demand_is_the_same_machine(cluster):
    """Other resources would make Ray's choice depend on more than the priority."""
    spot = cluster["available_node_types"]["gpu-spot"]
    on_demand = cluster["available_node_types"]["gpu-on-demand"]
    assert spot["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert spot["priority"] > on_demand["priority"]
    assert spot["min_workers"] == on_demand["min_workers"] == 0
    assert spot["resources"] == on_demand["resources"]


def test_roles_and_no_keys(cluster):
    for node_type in cluster["available_node_types"].values():
        assert node_type["node_config"]["IamInstanceProfile"]
    assert not re.search(r"access_key|secret|AKIA", (ROOT / "cluster.yaml").read_text(), re.I)


def test_one_ray_version_everywhere(cluster):
    """Ray refuses a worker of another version than the head's."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    versions = {
        RAY_IMAGE.search(text).groups() for text in (cluster["docker"]["image"], dockerfile)
    }
    assert versions == {(pinned_ray(), "311")}
    job = yaml.safe_load((ROOT / "deploy/rayjob.yaml").read_text())
    assert job["spec"]["rayClusterSpec"]["rayVersion"] == pinned_ray()


def test_dashboard_is_not_open_to_the_network(cluster):
    assert "--dashboard-host=127.0.0.1" in " ".join(cluster["head_start_ray_commands"])


@pytest.mark.parametrize("file", ["cluster.yaml", "Dockerfile"])
def test_extras_that_are_installed_exist(file):
    (names,) = re.findall(r"\[([a-z0-9,]+)\]\"?'?$", (ROOT / file).read_text(), re.M)
    assert set(names.split(",")) <= extras()


def test_dockerfile_copies_what_is_there():
    """Docker is not needed to see that a file it copies has moved."""
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.M)
    names = [name for line in copied for name in line.split() if not name.startswith("--")]
    assert len(names) >= 8
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_every_machine_has_a_driver_of_today(cluster):
    """Ray's default is an image of 2022, whose driver knows no CUDA 13."""
    images = {kind["node_config"]["ImageId"] for kind in cluster["available_node_types"].values()}
    assert len(images) == 1
    assert "nvidia-driver" in images.pop()


def test_configuration_asks_for_gpus_that_are_not_there_yet():
    """Both GPU groups begin with no node."""
    configuration = yaml.safe_load((ROOT / "configs/lsun_car.yaml").read_text())["cluster"]
    assert configuration["device"] == "gpu"
    assert configuration["num_workers"] == 32
    assert "--config configs/lsun_car.yaml" in (ROOT / "cluster.yaml").read_text()


def test_the_engine_is_compiled_where_it_runs():
    """Catches a wheel that needs a newer C library than the image has."""
    stages = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.M)
    assert len(stages) == 2
    assert len(set(stages)) == 1
