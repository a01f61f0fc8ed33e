"""The settings of doing shards."""

from dataclasses import dataclass
from typing import Annotated

from iem_batch.checks import Section, above, at_least


@dataclass(frozen=True, kw_only=True)
class ShardSettings(Section, name="shards"):
    """What becomes of shards that fail; none of it changes a result."""

    max_attempts: Annotated[int, at_least(1)] = 3
    """How often a command tries a shard before it reports it as failed."""

    timeout_s: Annotated[float, above(0)] | None = None
    """Seconds after which a phase of a shard (load, compute, write) is taken for hung and its
    worker is stopped, as if the shard had killed it; null waits for ever."""

    memory_mb: Annotated[float, above(0)] | None = None
    """Memory a worker may take to decode one image, in MB; a shard with a larger image fails and
    says which. null is no limit but decode.max_pixels."""

    @property
    def memory_bytes(self) -> int | None:
        """The memory a worker may take, in bytes."""
        return None if self.memory_mb is None else int(self.memory_mb * 1e6)
