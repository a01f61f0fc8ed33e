"""Nodes that come and go while a step is at work."""

import time
from pathlib import Path

import pytest

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_marks
from tests.exec.ray.nodes import running_nodes

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SHARDS = 60


def wait_for_shards(run: RunFolder, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(committed(run, "segment")) < count:
        assert time.monotonic() < deadline, f"{len(committed(run, 'segment'))} shards are done"
        time.sleep(0.1)


def test_nodes_join_and_leave(tmp_path: Path) -> None:
    """Catches a run that fails before there is a node, that does not use a later one, that waits
    for ever for one that has gone, and shards that are lost with it or blamed for it. The head has
    no processors, so what is left when the first node goes is done by the second.
    """
    run = RunFolder(str(tmp_path / "run"))
    with running_nodes(worker=False) as nodes:
        driver = nodes.drive("tests.exec.ray.sleeper", run.url, str(SHARDS))
        nodes.start_worker("first", num_cpus=1)
        wait_for_shards(run, 5)
        nodes.start_worker("second", num_cpus=2)
        wait_for_shards(run, 12)
        nodes.kill("first")
        output, _ = driver.communicate(timeout=200)
    assert driver.returncode == 0, output
    marks = read_marks(run, "segment", range(SHARDS))
    assert [mark.attempts for mark in marks] == [1] * SHARDS
    squares = [
        run.read_table(layout.part("segment", shard))["square"][0].as_py()
        for shard in range(SHARDS)
    ]
    assert squares == [shard * shard for shard in range(SHARDS)]
