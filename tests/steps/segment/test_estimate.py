from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

import pytest

from iem_batch.cli import main
from iem_batch.exec.step import ShardOutput
from iem_batch.iem.backends import resolve
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary
from iem_batch.steps.segment import estimate as module
from iem_batch.steps.segment.estimate import (
    Estimate,
    Timing,
    compare_with_truth,
    estimate_lines,
    read_estimate,
    time_sample,
)
from tests.pictures import Picture, write_folder
from tests.test_cli import QUICK

SECOND_EACH = Timing(num_images=100, load_s=4.0, compute_s=1.0)


def estimate(cpus_per_gpu: float, **prices: float) -> Estimate:
    return Estimate(
        num_images=720_000,
        sample=SECOND_EACH,
        backend="native",
        cpus_per_gpu=cpus_per_gpu,
        num_workers=4,
        worker_price_per_hour=prices.get("worker", 0.0),
        head_price_per_hour=prices.get("head", 0.0),
    )


@pytest.mark.parametrize(("cpus_per_gpu", "rate"), [(0, 20), (2, 50), (4, 100), (8, 100)])
def test_the_slower_of_decoding_and_engine_decides(cpus_per_gpu: float, rate: float) -> None:
    """A CPU does both in turn; beside a GPU four CPUs keep up with it here."""
    assert estimate(cpus_per_gpu).images_per_second == rate


def test_hours_and_cost() -> None:
    ours = estimate(0, worker=0.5, head=0.25)
    assert ours.hours(4) == 2.5
    assert ours.cost(4) == 2.5 * (4 * 0.5 + 0.25)
    assert "4 workers: 2.50 hours, cost 5.62 (the cluster now)" in estimate_lines(ours)
    assert "cost" not in "".join(estimate_lines(estimate(0)))


def test_truth_beside_it() -> None:
    """Four shards of two workers, 30 images each, 50 ms an image as estimated."""
    done = Summary(
        num_shards=4,
        planned=120,
        ok=120,
        quarantined=0,
        outputs_digest="",
        seconds=4 * 1.5,
        began=100.0,
        finished=100.0 + 2 * 1.5,
    )
    line = compare_with_truth(estimate(0), done)
    assert line.startswith("estimated 50.00 ms of work for an image, took 50.00 ms; ")
    assert "at 40 images/s, 2.0 times the estimate for one worker" in line


@dataclass(frozen=True)
class CountingStep:
    """Shards of a thousand images that take no time; the clock is moved by hand."""

    now: list[float]
    seen: list[tuple[int, int]]
    name: str = "segment"

    def image_ids(self, shard: int) -> list[str]:
        return [f"{shard}.{index}" for index in range(1000)]

    def load(self, shard: int, wanted: Container[str] | None = None) -> list[str]:
        ids = [key for key in self.image_ids(shard) if wanted is None or key in wanted]
        self.now[0] += 0.01 * len(ids)
        self.seen.append((shard, len(ids)))
        return ids

    def open_engine(self, num_threads: int) -> Callable[[list[str]], ShardOutput]:
        self.now[0] += 60  # setting it up is not the images' time

        def compute(ids: list[str]) -> ShardOutput:
            self.now[0] += 0.03 * len(ids)
            return ShardOutput(shard=0, tables={}, planned=len(ids), ok=len(ids), quarantined=0)

        return compute


def test_the_sample_is_spread_over_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an estimate from the first images alone, or with the engine's set-up in it."""
    step = CountingStep([0.0], [])
    monkeypatch.setattr(module.time, "monotonic", lambda: step.now[0])
    timing = time_sample(step, 80, num_threads=1)  # type: ignore[arg-type]
    assert step.seen == [(0, 8), *((shard, 32) for shard in range(0, 80, 10))]
    assert timing.num_images == 256
    assert timing.load_s == pytest.approx(2.56)
    assert timing.compute_s == pytest.approx(7.68)


def test_plan_estimate_and_the_summary_of_the_run(
    tmp_path: Path, pictures: list[Picture], capsys: pytest.CaptureFixture[str]
) -> None:
    write_folder(tmp_path / "pictures", pictures)
    arguments = [str(tmp_path / "pictures"), str(tmp_path / "run"), "--local", *QUICK]
    main(["plan", *arguments, "--estimate", "--cluster.worker_price_per_hour=1e6"])
    printed = capsys.readouterr().out
    assert f"12 images timed with {resolve('auto')}" in printed
    assert printed.count("estimate: ") == 2
    assert "estimate: 1 worker: " in printed
    assert " s, cost " in printed
    assert ", cost " in printed
    stored = read_estimate(RunFolder(str(tmp_path / "run")))
    assert stored is not None
    assert stored.num_images == stored.sample.num_images == 12
    assert not (tmp_path / "run/segment").exists()
    main(["segment", *arguments])
    assert "segment: estimated " in capsys.readouterr().out
