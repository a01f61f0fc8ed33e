"""What a step is doing, for Prometheus: Ray serves it on every node's metrics port.

Everything is counted by the driver, so that a shard done twice counts once.
"""

from ray.util.metrics import Counter, Gauge

from iem_batch.run.marks import Mark


class StepMetrics:
    """The counters of one step; Ray puts `ray_` before their names."""

    def __init__(self, step: str) -> None:
        """Begin to count.

        Args:
            step: its name, a label of every metric.
        """
        tags = {"step": step}
        self._images = Counter(
            "iem_batch_images",
            description="Images done, by outcome: ok or quarantined.",
            tag_keys=("step", "outcome"),
        )
        self._failed = Counter(
            "iem_batch_shards_failed",
            description="Shards that failed in every attempt.",
            tag_keys=("step",),
        )
        self._seconds = Counter(
            "iem_batch_seconds",
            description="Time spent on shards, by phase: load, compute, write, or alone.",
            tag_keys=("step", "phase"),
        )
        self._in_flight = Gauge(
            "iem_batch_shards_in_flight",
            description="Shards being loaded, computed or written.",
            tag_keys=("step",),
        )
        self._workers = Gauge(
            "iem_batch_engine_workers",
            description="Engine workers that are set up.",
            tag_keys=("step",),
        )
        for metric in (self._images, self._failed, self._seconds, self._in_flight, self._workers):
            metric.set_default_tags(tags)

    def done(self, mark: Mark, phases: dict[str, float]) -> None:
        """Count a shard by its commit mark and phase -> seconds."""
        for outcome, count in (("ok", mark.ok), ("quarantined", mark.quarantined)):
            if count:  # Ray refuses to add nothing
                self._images.inc(count, {"outcome": outcome})
        for phase, seconds in phases.items():
            if seconds > 0:
                self._seconds.inc(seconds, {"phase": phase})

    def failed(self) -> None:
        """Count a shard that is not tried again."""
        self._failed.inc()

    def at_work(self, num_shards: int, num_workers: int) -> None:
        """Tell how much is in flight."""
        self._in_flight.set(num_shards)
        self._workers.set(num_workers)
