"""A step that takes its time without taking the processor's: python -m ... RUN NUM_SHARDS."""

import sys
import time
from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from iem_batch.exec.ray.cluster import cluster
from iem_batch.exec.settings import ClusterSettings
from iem_batch.exec.step import ShardOutput
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary
from tests.exec.ray.doing import run_on_ray

SECONDS = 0.4


@dataclass(frozen=True)
class SleepingStep:
    """Squares the number of the shard, slowly."""

    run: RunFolder
    name: str = "segment"
    num_shards: int = 60

    @property
    def place(self) -> RunFolder:
        return self.run

    @property
    def depends_on(self) -> dict[str, Any]:
        return {}

    def load(self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1) -> int:
        time.sleep(SECONDS)
        return shard

    def open_engine(self, num_threads: int) -> Callable[[int], ShardOutput]:
        def compute(shard: int) -> ShardOutput:
            time.sleep(SECONDS)
            table = pa.table({"square": [shard * shard]})
            tables = {layout.part(self.name, shard): table}
            return ShardOutput(shard=shard, tables=tables, planned=1, ok=1, quarantined=0)

        return compute

    def image_ids(self, shard: int) -> list[str]:
        return [str(shard)]

    def largest_images(self, shard: int) -> str:
        return str(shard)

    def keep_back(self, shard: int, killers: object) -> None:
        raise AssertionError(f"shard {shard} was blamed: {killers}")

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        return {}

    def complete(self, summary: Summary) -> dict[str, str]:
        return {}


def main() -> None:
    settings = ClusterSettings()
    with cluster(settings):
        step = SleepingStep(RunFolder(sys.argv[1]))
        run_on_ray(step, range(int(sys.argv[2])), settings)


if __name__ == "__main__":
    # The class must have a name that the nodes know, not __main__'s.
    from tests.exec.ray import sleeper

    sleeper.main()
