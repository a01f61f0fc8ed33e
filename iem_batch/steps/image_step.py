"""What steps over the images of the plan share: reading these."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import pyarrow as pa

from iem_batch.exec.step import Content, ShardOutput
from iem_batch.images.settings import DecodeSettings
from iem_batch.job import Job
from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import add_killers, guard, largest_images, planned_ids
from iem_batch.run.load import LoadedShard, load_shard
from iem_batch.run.marks import Summary
from iem_batch.run.plan import Plan, read_plan
from iem_batch.sources import Source, WebSettings, open_source
from iem_batch.sources.protocol import NO_COLUMNS
from iem_batch.steps.registry import up_to


@dataclass(frozen=True, kw_only=True)
class ImageStep:
    """The part of an `iem_batch.exec.step.ShardStep` that reads images of the plan."""

    name: str
    run: RunFolder
    place: RunFolder
    plan: Plan
    decode: DecodeSettings
    memory_bytes: int | None
    """Memory that decoding one image may take; None is no limit."""
    web: WebSettings
    """How the images of a list of URLs are asked for."""
    kept: pa.Schema = NO_COLUMNS
    """The columns of `plan.keep`, where the step carries them on."""
    carries_kept: ClassVar[bool] = False

    @classmethod
    def of(cls, job: Job, place: RunFolder, **own: Any) -> Self:
        """Make the step of a job.

        Args:
            job: the job.
            place: where the output goes.
            own: fields of the step's own.

        Raises:
            StepMissingError: the run has not been planned.
            SourceError: the source no longer has the columns that are kept.
        """
        plan, web = read_plan(job.run), job.settings.web.within(job.settings.limits.timeout_s)
        if cls.carries_kept and plan.keep:
            own["kept"] = open_source(plan.source_url, web, keep=plan.kept_columns).kept
        return cls(
            run=job.run,
            place=place,
            plan=plan,
            decode=job.settings.decode,
            memory_bytes=job.settings.limits.memory_bytes,
            web=web,
            **own,
        )

    @property
    def num_shards(self) -> int:
        """Those of the plan."""
        return self.plan.num_shards

    def open_source(self) -> Source:
        """Open what was planned.

        Raises:
            SourceError: it cannot be opened.
        """
        keep = self.plan.kept_columns if self.carries_kept else ()
        return open_source(self.plan.source_url, self.web, keep=keep)

    def load_images(self, shard: int, wanted: Container[str] | None = None) -> LoadedShard:
        """Decode the images of a shard, but those known to kill.

        Raises:
            WorkerMemoryError: an image needs more memory than a worker may take.
        """
        steps, opened = up_to(self.name), self.open_source()
        source = guard(self.run, steps, shard, opened, self.decode, self.memory_bytes)
        return load_shard(self.run, shard, source, self.decode, wanted)

    def output(
        self,
        images: LoadedShard,
        tables: dict[str, Content],
        facts: dict[str, Any] | None = None,
    ) -> ShardOutput:
        """Make what a shard gives of which every image that was decoded has a result.

        Args:
            images: the images of the shard.
            tables: as in `ShardOutput`.
            facts: as in `ShardOutput`.

        Raises:
            IntegrityError: an image was lost.
        """
        return ShardOutput(
            shard=images.shard,
            tables=tables,
            planned=images.planned,
            ok=len(images.image_id),
            quarantined=len(images.rejected),
            facts=facts or {},
        )

    def image_ids(self, shard: int) -> list[str]:
        """List the images of a shard, in order, without decoding any."""
        return planned_ids(self.run, shard, self.open_source())

    def largest_images(self, shard: int) -> str:
        """Name the largest images of a shard with their sizes, without decoding any."""
        return largest_images(self.run, shard, self.open_source())

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        """Write down images of a shard that kill, image_id -> how; `load` leaves them out then."""
        add_killers(self.run, self.name, shard, killers)

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """No facts but the counts."""
        return {}

    def complete(self, summary: Summary) -> dict[str, str]:
        """Nothing to write about the whole output."""
        return {}
