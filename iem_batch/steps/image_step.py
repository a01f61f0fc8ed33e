"""What the steps over the images of the plan have in common: how they get at them."""

from collections.abc import Container, Mapping
from dataclasses import dataclass

from iem_batch.run.folder import RunFolder
from iem_batch.run.killers import add_killers, guard, largest_images, planned_ids
from iem_batch.run.load import LoadedShard, load_shard
from iem_batch.run.settings import DecodeSettings
from iem_batch.sources import open_source


@dataclass(frozen=True, kw_only=True)
class ImageStep:
    """The part of a `iem_batch.exec.step.ShardStep` that reads images of the plan."""

    name: str
    run: RunFolder
    source_url: str
    decode: DecodeSettings
    memory_bytes: int | None = None
    """Memory that decoding one image may take; None is no limit."""

    def load_images(self, shard: int, wanted: Container[str] | None = None) -> LoadedShard:
        """Decode the images of a shard, but those known to kill.

        Raises:
            WorkerMemoryError: an image needs more memory than a worker may take.
        """
        source = guard(
            self.run,
            self.name,
            shard,
            open_source(self.source_url),
            self.decode,
            self.memory_bytes,
        )
        return load_shard(self.run, shard, source, self.decode, wanted)

    def image_ids(self, shard: int) -> list[str]:
        """List the images of a shard, in order, without decoding any."""
        return planned_ids(self.run, shard, open_source(self.source_url))

    def largest_images(self, shard: int) -> str:
        """Name the largest images of a shard with their sizes, without decoding any."""
        return largest_images(self.run, shard, open_source(self.source_url))

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        """Write down images of a shard that kill, image_id -> how; `load` leaves them out then."""
        add_killers(self.run, self.name, shard, killers)
