"""One call of the command line: where it works, with which settings, on Ray or in this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from iem_batch.config import Settings, settings_to_yaml
from iem_batch.data import run_folder
from iem_batch.data.run_folder import RunFolder
from iem_batch.errors import RunMismatchError
from iem_batch.progress import shard_progress
from iem_batch.stages.shards import ShardStep, run_in_process


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a command needs to know."""

    run: RunFolder
    settings: Settings
    local: bool
    """Whether everything is done in this process, without Ray."""
    overwrite: bool
    """Whether output that was made with other settings is dropped and made again."""

    def begin(self, step: str, depends_on: dict[str, Any]) -> None:
        """Claim a step, or check that it is resumed as it was begun; then store the settings.

        Raises:
            RunMismatchError: the step was begun with other settings and may not be overwritten.
        """
        try:
            self.run.begin_step(step, depends_on)
        except RunMismatchError:
            if not self.overwrite:
                raise
            self.run.drop_step(step)
            self.run.begin_step(step, depends_on)
        self.store_settings()

    def store_settings(self) -> None:
        """Write the resolved settings into the run folder."""
        self.run.write_bytes(run_folder.CONFIG, settings_to_yaml(self.settings))

    def run_shards(self, step: ShardStep[Any], num_shards: int) -> None:
        """Do the shards of a step that have no commit mark yet.

        Raises:
            ShardsFailedError: shards failed; everything else is committed.
        """
        committed = self.run.committed(step.name)
        todo = [shard for shard in range(num_shards) if shard not in committed]
        if todo and committed:
            print(f"{step.name}: {len(committed):,} of {num_shards:,} shards were done before")
        if not todo:
            return
        with shard_progress(step.name, len(committed), num_shards) as progress:
            if self.local:
                run_in_process(step, todo, progress)
                return
            with self.ray():
                from iem_batch.distributed.pipeline import run_on_cluster

                run_on_cluster(step, todo, self.settings.cluster, progress)

    @contextmanager
    def ray(self) -> Iterator[None]:
        """Join Ray for the time of the block, once, unless everything is done in this process."""
        if self.local:
            yield
            return
        from iem_batch.distributed.cluster import cluster

        with cluster(self.settings.cluster):
            yield
