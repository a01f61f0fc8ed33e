"""Nodes that do not share a disk, by real nodes with a view of the disks of their own."""

from pathlib import Path

import pytest

from iem_batch.errors import StorageError
from iem_batch.exec.ray import same_folder
from iem_batch.exec.ray.same_folder import nodes_without, on_this_node
from iem_batch.run.folder import RunFolder
from tests.exec.ray.nodes import can_hide, running_nodes
from tests.pictures import textured_disc, write_folder


@pytest.mark.ray
@pytest.mark.slow
def test_a_run_on_a_disk_of_the_head_is_refused(tmp_path: Path) -> None:
    """Catches half of the shards on a disk that nobody reads, while all is said to be well."""
    shared, run = tmp_path / "photos", tmp_path / "head"
    run.mkdir()
    write_folder(shared, [textured_disc(seed) for seed in range(4)])
    if not can_hide(run):
        pytest.skip("a node with a view of the disks of its own needs root")
    with running_nodes(worker=False) as nodes:
        nodes.start_worker("apart", num_cpus=1, hidden=run)
        options = ["--plan.shard_size=2", "--segment.backend=auto", "--iem.iterations=2"]
        segment = nodes.drive("iem_batch", "segment", shared, run / "run", *options)
        told, _ = segment.communicate(timeout=200)
        doctor = nodes.drive("iem_batch", "doctor", "--run", run / "run", "--address", "auto")
        found, _ = doctor.communicate(timeout=200)
    assert segment.returncode == 1, told
    (line,) = [each for each in told.splitlines() if each.startswith("iem-batch: ")]
    assert f"{run}/run is not the same folder on " in line
    assert "(it does not find what the command has written); give one that all nodes share" in line
    assert not (run / "run/_run/stats").exists()
    assert list(run.rglob(".same-*")) == []
    assert doctor.returncode == 1, found
    assert f"NO  run folder: {run}/run on " in found


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_every_node_sees_what_is_written(tmp_path: Path) -> None:
    assert nodes_without(RunFolder(str(tmp_path))) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_worker_on_another_disk_writes_nothing_and_says_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes may join when the others have been looked at."""
    monkeypatch.setattr(same_folder, "num_nodes", lambda: 2)
    monkeypatch.setattr(same_folder.socket, "gethostname", lambda: "node-7")
    with (
        pytest.raises(StorageError, match=r"run is not here; .* share \(on node-7\)$"),
        on_this_node(RunFolder(str(tmp_path / "run"))),
    ):
        pytest.fail("it works")
    (tmp_path / "run/_run/drivers").mkdir(parents=True)
    with (
        pytest.raises(StorageError, match=r"^cannot read photos \(on node-7\)$"),
        on_this_node(RunFolder(str(tmp_path / "run"))),
    ):
        raise StorageError("cannot read photos")
