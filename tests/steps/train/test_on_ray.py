"""Ray Train with real workers, which die or are taken away."""

import json
import os
import signal
import threading
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray
import ray.util

from iem_batch.errors import SettingsError
from iem_batch.processes import descendants
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.settings import TrainSettings
from iem_batch.segnet.training import EpochRecord
from iem_batch.segnet.weights import load_weights
from iem_batch.steps.train import layout, ray_worker
from iem_batch.steps.train import on_ray as train
from iem_batch.storage.folder import Folder
from tests.exec.ray.nodes import running_nodes
from tests.faulty_proxy import Faults, faulty_proxy
from tests.steps.corpora import small_discs, write_corpus
from tests.steps.train.trainer import (
    ATTENTIVE,
    FOLDER,
    SEGNET,
    history,
    train_local,
    train_ray,
)

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]

SETTINGS = TrainSettings(
    epochs=6,
    batch_size=5,
    images_per_pass=2,
    num_workers=2,
    precision="fp32",
    checkpoint_every_epochs=1,
    patience=6,
)


def wait_for_checkpoints(run: RunFolder, count: int) -> None:
    """Wait until so many were seen; each replaces the one before."""
    seen: set[int] = set()
    deadline = time.monotonic() + 200
    while len(seen) < count:
        assert time.monotonic() < deadline, seen
        time.sleep(0.01)
        for file in Path(run.url, FOLDER).glob("*.pt"):
            with suppress(FileNotFoundError):  # just replaced, or deleted at the end
                seen.add(file.stat().st_mtime_ns)


@dataclass(frozen=True)
class DeadlyRun(RunFolder):
    """A run one of whose workers dies, once, when it has seen the third checkpoint."""

    driver: int = field(default_factory=os.getpid)

    def open_table(self, name: str) -> AbstractContextManager[pq.ParquetFile]:
        if os.getpid() != self.driver:
            threading.Thread(target=self._die_after_the_third_checkpoint, daemon=True).start()
        return super().open_table(name)

    def _die_after_the_third_checkpoint(self) -> None:
        wait_for_checkpoints(self, 3)
        try:
            os.close(os.open(f"{self.url}/died", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        os._exit(1)


@pytest.fixture(autouse=True)
def _attentive_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(*ATTENTIVE)


def write_pairs(run: RunFolder) -> None:
    """Write nine pairs in files of four: what the two workers own ends inside a file. Three more
    are held back."""
    discs = small_discs(12)
    write_corpus(run, discs[:9], pairs_per_file=4, held_back=discs[9:])


@pytest.fixture(scope="module")
def calm(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that two workers have trained undisturbed."""
    run = RunFolder(str(tmp_path_factory.mktemp("calm")))
    write_pairs(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(*ATTENTIVE)
        train_ray(run, SETTINGS, lambda record: None)
    return run


def test_two_workers_equal_one(calm: RunFolder, tmp_path: Path) -> None:
    """Catches gradients not added up, and shares weighted wrongly where they differ in size."""
    alone = RunFolder(str(tmp_path))
    write_pairs(alone)
    expected = train_local(alone, SETTINGS, lambda record: None)
    trained = train_ray(calm, SETTINGS, pytest.fail)
    assert [record.epoch for record in trained] == [1, 2, 3, 4, 5, 6]
    for ours, theirs in zip(trained, expected, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-3)
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-3)
        assert ours.val_iou == pytest.approx(theirs.val_iou, abs=1e-2)
    assert load_weights(calm.read_bytes(layout.WEIGHTS), SEGNET).state_dict()
    assert calm.names(FOLDER) == []


@pytest.mark.slow
def test_a_store_that_only_the_url_names(s3_server: str, s3_bucket: str) -> None:
    """Catches a training that looks for its run at another store, as Ray Train would by its own
    client, one that cannot read an odd name, and one that leaves something beside the run."""
    faults = Faults(lambda number, method, path: None)
    with faulty_proxy(s3_server, faults) as endpoint:
        run = RunFolder(f"{s3_bucket}/a b/Läufe 50%+1?endpoint_url={endpoint}")
        write_corpus(run, small_discs(4))
        (record,) = train_ray(run, replace(SETTINGS, epochs=1), lambda record: None)
    assert record.epoch == 1
    kept = [each for each in faults.seen if each.method == "PUT" and f"/{FOLDER}/" in each.path]
    assert kept, "the checkpoint went to the store of the environment"
    names = [found.name for found in Folder(s3_bucket).walk()]
    assert f"a b/Läufe 50%+1/{layout.WEIGHTS}" in names
    assert [name for name in names if not name.startswith("a b/Läufe 50%+1/")] == []
    assert not Path("~/ray_results").expanduser().exists()


@pytest.mark.slow
def test_a_worker_that_dies_changes_no_bit(calm: RunFolder, tmp_path: Path) -> None:
    """Catches a resume that loses state, and one that begins again."""
    run = DeadlyRun(str(tmp_path))
    write_pairs(run)
    told: list[int] = []
    trained = train_ray(run, SETTINGS, lambda record: told.append(record.epoch))
    assert run.exists("died")
    assert [record.epoch for record in trained] == [1, 2, 3, 4, 5, 6]
    assert set(told) == {1, 2, 3, 4, 5, 6}
    assert told.count(1) == 1, "the workers began again without a checkpoint"
    assert run.read_bytes(layout.WEIGHTS) == calm.read_bytes(layout.WEIGHTS)
    assert train_ray(run, SETTINGS, pytest.fail) == trained


def kill_process(title: str) -> None:
    """Kill a process of the Ray that this one has started, by the title that Ray gives it."""
    for pid in descendants(os.getpid()):
        with suppress(OSError):  # it has ended meanwhile
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(title.encode()):
                os.kill(pid, signal.SIGKILL)
                return
    raise AssertionError(f"there is no {title}")


@pytest.mark.slow
def test_what_leads_the_workers_may_die_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ray's memory monitor kills whatever process is largest. Catches a traceback, a training that
    begins again without its checkpoint, and one that waits for ever for what it is told."""
    run, calm = (RunFolder(str(tmp_path / name)) for name in ("run", "calm"))
    for folder in (run, calm):
        write_pairs(folder)
    told: list[int] = []
    settings = replace(SETTINGS, num_workers=1, epochs=30, patience=30)

    def disturb(record: EpochRecord) -> None:
        told.append(record.epoch)
        if told.count(record.epoch) == 1 and record.epoch in (3, 9):
            kill_process("ray::_QueueActor" if record.epoch == 3 else "ray::TrainController")

    trained = train_ray(run, settings, disturb)
    assert [record.epoch for record in trained] == list(range(1, 31))
    assert told.count(1) == told.count(3) == 1
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "begins again" in each]
    assert "its worker process has died" in line
    train_ray(calm, settings, lambda record: None)
    assert run.read_bytes(layout.WEIGHTS) == calm.read_bytes(layout.WEIGHTS)


def test_gloo_takes_the_network_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches workers that wait for one another at 127.0.1.1, and a user who is not asked."""
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    ray_worker.use_network_of_ray()
    import psutil  # Ray's own, as in the product

    name = os.environ["GLOO_SOCKET_IFNAME"]
    here = [each.address for each in psutil.net_if_addrs()[name]]
    assert ray.util.get_node_ip_address() in here
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "mine")
    ray_worker.use_network_of_ray()
    assert os.environ["GLOO_SOCKET_IFNAME"] == "mine"


@pytest.mark.slow
def test_a_node_that_is_lost_is_done_without(tmp_path: Path) -> None:
    """Of two nodes of one CPU one is switched off; catches waiting for another for ever, and
    batches that change with the number of workers."""
    run, alone = RunFolder(str(tmp_path / "run")), RunFolder(str(tmp_path / "alone"))
    for folder in (run, alone):
        write_pairs(folder)
    settings = replace(SETTINGS, min_workers=1, epochs=40, patience=40)
    with running_nodes(worker=False) as nodes:
        for name in ("first", "second"):
            nodes.start_worker(name, num_cpus=1)
        driver = nodes.drive("tests.steps.train.trainer", run.url, json.dumps(asdict(settings)))
        wait_for_checkpoints(run, 3)
        nodes.kill("second")
        output, _ = driver.communicate(timeout=250)
    assert driver.returncode == 0, output
    expected = train_local(alone, settings, lambda record: None)
    assert len(history(run)) == 40
    for ours, theirs in zip(history(run), expected, strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=2e-2)


def test_the_number_of_workers_varies_only_with_min_workers() -> None:
    assert train._num_workers(SETTINGS) == 2
    assert train._num_workers(replace(SETTINGS, min_workers=1)) == (1, 2)


def test_corpus_that_cannot_be_learned_from_is_not_tried_again(tmp_path: Path) -> None:
    """Catches a worker's error reaching the user as a failure of Ray, after three retries."""
    run = RunFolder(str(tmp_path / "run"))
    write_corpus(run, [])
    with pytest.raises(SettingsError, match="it has no pairs"):
        train_ray(run, replace(SETTINGS, num_workers=1), pytest.fail)


def test_more_workers_than_the_cluster_has(tmp_path: Path) -> None:
    """Catches waiting for CPUs that never come."""
    run = RunFolder(str(tmp_path / "run"))
    write_corpus(run, small_discs(2))
    message = "training needs 3 workers, the Ray cluster has 2 CPUs now; lower train.num_w"
    with pytest.raises(SettingsError, match=message):
        train_ray(run, replace(SETTINGS, num_workers=3), pytest.fail)
