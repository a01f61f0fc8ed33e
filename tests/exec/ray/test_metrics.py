"""The metrics endpoint of a real Ray, as Prometheus reads it."""

import time
import urllib.request
from pathlib import Path

import pytest
import ray

from iem_batch.errors import ShardsFailedError
from iem_batch.exec.settings import ClusterSettings
from iem_batch.run.folder import RunFolder
from tests.exec.ray.doing import run_on_ray
from tests.steps.poisoned import IMAGES_PER_SHARD, PoisonedStep

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def scrape(step: str) -> dict[str, float]:
    """Metric with its own labels -> value, of one step."""
    (node,) = ray.nodes()
    url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url, timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    found: dict[str, float] = {}
    for line in lines:
        name, brace, rest = line.partition("{")
        if not brace or not name.startswith("ray_iem_batch_") or f'step="{step}"' not in rest:
            continue
        labels, _, value = rest.rpartition("} ")
        own = [label for label in labels.split(",") if label.startswith(("outcome", "phase"))]
        key = name.removeprefix("ray_iem_batch_").removesuffix("_total")
        found[" ".join([key, *own]).replace('"', "")] = float(value)
    return found


def test_prometheus_reads_what_was_done(tmp_path: Path) -> None:
    """Catches metrics that never leave the process, and a failed shard that nobody counts."""
    trouble = tmp_path / "trouble"
    trouble.mkdir()
    (trouble / "segfault-1.3").touch()
    (trouble / "error-2.0").touch()
    step = PoisonedStep(RunFolder(str(tmp_path / "run")), trouble, name="upscale")
    with pytest.raises(ShardsFailedError):
        run_on_ray(step, range(4), ClusterSettings(num_workers=1))
    num_ok = 3 * IMAGES_PER_SHARD - 1
    deadline = time.monotonic() + 60
    while (found := scrape("upscale")).get("images outcome=ok", 0) < num_ok:
        assert time.monotonic() < deadline, found
        time.sleep(0.2)
    assert found["images outcome=ok"] == num_ok
    assert found["images outcome=quarantined"] == 1
    assert found["shards_failed"] == 1
    assert {"seconds phase=load", "seconds phase=compute", "seconds phase=write"} <= found.keys()
    assert found["seconds phase=alone"] > 0
    assert found["shards_in_flight"] >= 0
    assert found["engine_workers"] == 1
