"""One call of the command line: where it works, with which settings, on Ray or in this process."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from iem_batch.config import Settings, settings_to_yaml
from iem_batch.errors import RunMismatchError
from iem_batch.exec.in_process import run_in_process
from iem_batch.exec.journal import drivers
from iem_batch.exec.step import ShardStep, Totals, totals
from iem_batch.iem.backends import resolve
from iem_batch.progress import shard_progress
from iem_batch.run import run_folder
from iem_batch.run.run_folder import RunFolder
from iem_batch.run.step_records import VERSIONS
from iem_batch.run.versions import library_versions
from iem_batch.steps.topk.topk import Search, search_here

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a command needs to know."""

    run: RunFolder
    settings: Settings
    local: bool
    """Whether everything is done in this process, without Ray."""
    overwrite: bool
    """Whether output that was made with other settings is dropped and made again."""
    accept_versions: bool = False
    """Whether a step that other versions of the code have begun is gone on with."""

    def begin(self, step: str, depends_on: dict[str, Any]) -> str:
        """Claim a step, or check that it is resumed as it was begun; then store the settings.

        They are not stored where later steps have been begun, one of which may refuse them: the
        next command on the run would be refused too, though it asks for nothing else.

        Args:
            step: its name.
            depends_on: the settings its output depends on; versions of the code are added.

        Returns:
            A hash of the settings, without the versions, for the commit marks.

        Raises:
            RunMismatchError: the step was begun with other settings and may not be overwritten, or
                another command is at work on the run.
        """
        record = depends_on | {"libraries": library_versions()}
        try:
            self.run.begin_step(step, record, self.accept_versions)
        except RunMismatchError:
            if not self.overwrite:
                raise
            self.drop(step)
            self.run.begin_step(step, record)
        if not self.run.has_begun_after(step):
            self.store_settings()
        settings = {key: value for key, value in record.items() if key not in VERSIONS}
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    def drop(self, step: str) -> None:
        """Drop a step and the later ones, unless another command is at work on the run.

        Raises:
            RunMismatchError: one is.
        """
        self.require_alone()
        self.run.drop_step(step)

    def require_alone(self) -> None:
        """Check that no other command is at work on the run.

        Raises:
            RunMismatchError: one is.
        """
        for driver in drivers(self.run):
            if driver.alive:
                raise RunMismatchError(
                    f"{self.run.url} cannot be overwritten: process {driver.pid} on {driver.host} "
                    f"is at work on it ({driver.step}); stop that first"
                )

    def earlier_rounds(self) -> list["Job"]:
        """Give the jobs of the rounds before the last that the run has."""
        return [self.in_round(number + 1) for number in range(len(self.run.earlier_rounds()))]

    @property
    def first_round(self) -> "Job":
        """The job of the first round that the run has: all that comes after the masks."""
        return [*self.earlier_rounds(), self][0]

    def in_round(self, number: int) -> "Job":
        """Give the job that does an earlier round of the run."""
        select = replace(self.settings.select, rounds=number)
        settings = replace(self.settings, select=select)
        return replace(self, run=self.run.round(number), settings=settings)

    def store_settings(self) -> None:
        """Write the resolved settings into the run folder."""
        self.run.write_bytes(run_folder.CONFIG, settings_to_yaml(self.settings))

    def run_shards(self, step: ShardStep[Any], num_shards: int, begun: str) -> Totals:
        """Do the shards of a step that have no commit mark yet.

        Args:
            step: the step.
            num_shards: how many it has.
            begun: what `begin` gave.

        Returns:
            The sums over all shards.

        Raises:
            ShardsFailedError: shards failed; everything else is committed.
            RunMismatchError: another command has done shards with other settings meanwhile.
        """
        self._do_shards(step, num_shards, begun)
        return totals(self.run, step.name, num_shards, begun)

    def _do_shards(self, step: ShardStep[Any], num_shards: int, begun: str) -> None:
        committed, title = self.run.committed(step.name), self.run.title(step.name)
        todo = [shard for shard in range(num_shards) if shard not in committed]
        if todo and committed:
            print(f"{title}: {len(committed):,} of {num_shards:,} shards were done before")
        if not todo:
            return
        with shard_progress(title, len(committed), num_shards) as progress:
            if self.local:
                run_in_process(step, todo, progress, self.settings.shards, begun, progress.failed)
                return
            with self.ray():
                from iem_batch.exec.ray.pipeline import run_on_cluster

                settings = self.settings
                run_on_cluster(
                    step,
                    todo,
                    settings.cluster,
                    progress,
                    settings.shards,
                    begun,
                    progress.failed,
                )

    @contextmanager
    def engine_settled(self) -> Iterator["Job"]:
        """Give the job with segment.backend=auto replaced, once for the run, by an engine's name.

        It is the fastest of the machines that will run it: this one, or the cluster's nodes. Then
        Ray is there for the time of the block.

        Raises:
            BackendUnavailableError: the nodes of the cluster differ.
        """
        if self.settings.segment.backend != "auto":
            yield self
            return
        with self.ray():
            if self.local:
                backend = resolve("auto")
            else:
                from iem_batch.exec.ray.engines import resolve_on_cluster

                backend = resolve_on_cluster(self.settings.cluster)
            segment = replace(self.settings.segment, backend=backend)
            yield replace(self, settings=replace(self.settings, segment=segment))

    def room_for_engines(self) -> tuple[int, float]:
        """As `iem_batch.exec.ray.engines.room_for_engines`; in this process there is one."""
        if self.local:
            return 1, 0.0
        with self.ray():
            from iem_batch.exec.ray.engines import room_for_engines

            return room_for_engines(self.settings.cluster)

    def beside_engine(self, function: Callable[[], Result]) -> Result:
        """Call a function where an engine can run: the head of a cluster may have no GPU."""
        if self.local:
            return function()
        with self.ray():
            from iem_batch.exec.ray.engines import call_beside_engine

            return call_beside_engine(function, self.settings.cluster)

    @contextmanager
    def search(self) -> Iterator[Search]:
        """Give what goes through all masks: tasks where there is a cluster, else threads here.

        It is over in seconds, so no Ray is started for it.
        """
        if not self.local:
            from iem_batch.exec.ray.cluster import has_cluster

            if has_cluster(self.settings.cluster):
                with self.ray():
                    from iem_batch.exec.ray.search import search_on_cluster

                    yield search_on_cluster
                return
        yield search_here

    @contextmanager
    def ray(self) -> Iterator[None]:
        """Join Ray for the time of the block, once, unless everything is done in this process."""
        if self.local:
            yield
            return
        from iem_batch.exec.ray.cluster import cluster

        with cluster(self.settings.cluster):
            yield
