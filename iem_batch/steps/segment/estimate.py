"""How long a step will take and what it will cost, from a sample of the real images.

A worker of a GPU is fed by the CPUs beside it, so the slower of the two decides; a worker of a CPU
does both in turn. Starting nodes and the last shards, for which not all workers are needed, come on
top of it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from iem_batch.exec.step import ShardOutput, ShardStep
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary
from iem_batch.words import count

SAMPLE_IMAGES = 256
"""Images that are timed, at most."""

SAMPLE_SHARDS = 8
"""Shards they are taken from, evenly over the plan: a source need not be the same everywhere."""

WARM_UP_IMAGES = 8

WORKERS = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of workers that a person is shown."""

SHORTEST_H = 1 / 60
"""Less is told in seconds, and no number of workers is shown that would make it less."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What a sample took."""

    num_images: int
    load_s: float
    """Reading and decoding, by one CPU."""
    compute_s: float
    """The engine, by one worker."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a step over a plan will take."""

    num_images: int
    """Of the plan."""
    sample: Timing
    backend: str
    cpus_per_gpu: float
    """CPUs that decode for a worker with a GPU; 0 where a worker is a CPU that does both."""
    num_workers: int
    """Those the run would have now."""
    worker_price_per_hour: float
    head_price_per_hour: float

    @property
    def images_per_second(self) -> float:
        """Of one worker."""
        sample = self.sample
        if self.cpus_per_gpu:
            return sample.num_images / max(sample.compute_s, sample.load_s / self.cpus_per_gpu)
        return sample.num_images / (sample.load_s + sample.compute_s)

    def hours(self, num_workers: int) -> float:
        """Time for the whole plan."""
        return self.num_images / (num_workers * self.images_per_second) / 3600

    def cost(self, num_workers: int) -> float:
        """Price of that time, in the currency of the prices."""
        per_hour = num_workers * self.worker_price_per_hour + self.head_price_per_hour
        return self.hours(num_workers) * per_hour


def time_sample(step: ShardStep[Any], num_shards: int, num_threads: int) -> Timing:
    """Load and compute a sample of the images of a plan; nothing is written.

    Args:
        step: what is to be timed, here: on a machine like those that will do it.
        num_shards: how many the plan has.
        num_threads: of the engine.
    """
    engine = step.open_engine(num_threads)
    first = step.image_ids(0)[:WARM_UP_IMAGES]
    _time(step, engine, 0, frozenset(first))
    count = min(num_shards, SAMPLE_SHARDS)
    shards = [index * num_shards // count for index in range(count)]
    timings = []
    for shard in shards:
        wanted = frozenset(step.image_ids(shard)[: SAMPLE_IMAGES // count])
        timings.append(_time(step, engine, shard, wanted))
    return Timing(
        num_images=sum(timing.num_images for timing in timings),
        load_s=sum(timing.load_s for timing in timings),
        compute_s=sum(timing.compute_s for timing in timings),
    )


def _time(
    step: ShardStep[Any],
    engine: Callable[[Any], ShardOutput],
    shard: int,
    wanted: frozenset[str],
) -> Timing:
    started = time.monotonic()
    loaded = step.load(shard, wanted)
    loaded_at = time.monotonic()
    output = engine(loaded)
    return Timing(
        num_images=output.planned,
        load_s=loaded_at - started,
        compute_s=time.monotonic() - loaded_at,
    )


def write_estimate(run: RunFolder, estimate: Estimate) -> None:
    """Keep an estimate in the run folder, for `compare_with_truth`."""
    run.write_json(layout.ESTIMATE, asdict(estimate))


def read_estimate(run: RunFolder) -> Estimate | None:
    """Read the estimate of a run; None if there is none."""
    if not run.exists(layout.ESTIMATE):
        return None
    record = run.read_json(layout.ESTIMATE)
    return Estimate(**record | {"sample": Timing(**record["sample"])})


def estimate_lines(estimate: Estimate) -> list[str]:
    """Put an estimate into lines for a person."""
    sample = estimate.sample
    per_image = (
        1000 * seconds / sample.num_images for seconds in (sample.load_s, sample.compute_s)
    )
    load_ms, compute_ms = per_image
    lines = [
        f"{count(sample.num_images, 'image')} timed with {estimate.backend}: {load_ms:.2f} ms to "
        f"load one and {compute_ms:.2f} ms to compute it, {estimate.images_per_second:,.0f} "
        "images/s for each worker"
    ]
    now = estimate.num_workers
    # More workers than have a minute of work each would mostly be started and stopped.
    worth_it = {n for n in WORKERS if estimate.hours(n) >= SHORTEST_H}
    for num_workers in sorted({*worth_it, now}):
        here = " (the cluster now)" if num_workers == now else ""
        cost = f", cost {estimate.cost(num_workers):,.2f}" if estimate.cost(num_workers) else ""
        hours = estimate.hours(num_workers)
        time_it_takes = f"{hours:,.2f} hours" if hours >= SHORTEST_H else f"{3600 * hours:.0f} s"
        lines.append(f"{count(num_workers, 'worker')}: {time_it_takes}{cost}{here}")
    return lines


def compare_with_truth(estimate: Estimate, summary: Summary) -> str:
    """Put estimate and truth of a finished step side by side, for a person."""
    sample, elapsed_s = estimate.sample, summary.finished - summary.began
    expected_ms = 1000 * (sample.load_s + sample.compute_s) / sample.num_images
    took_ms, took_h = 1000 * summary.seconds / summary.planned, elapsed_s / 3600
    rate = summary.planned / max(elapsed_s, 1e-3)
    workers = count(estimate.num_workers, "worker")
    return (
        f"estimated {expected_ms:.2f} ms of work for an image, took {took_ms:.2f} ms; estimated "
        f"{estimate.hours(estimate.num_workers):.2f} hours with {workers}, took {took_h:.2f} from "
        f"the first shard to the last at {rate:,.0f} images/s, "
        f"{rate / estimate.images_per_second:.1f} times the estimate for one worker"
    )
