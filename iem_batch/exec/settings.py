"""The settings of doing shards."""

from dataclasses import dataclass

from iem_batch.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ShardSettings:
    """What becomes of shards that fail; none of it changes a result."""

    max_attempts: int = 3
    """How often a command tries a shard before it reports it as failed."""

    timeout_s: float | None = None
    """Seconds after which a phase of a shard (load, compute, write) is taken for hung and its
    worker is stopped, as if the shard had killed it; null waits for ever."""

    memory_mb: float | None = None
    """Memory a worker may take to decode one image, in MB; a shard with a larger image fails and
    says which. null is no limit but decode.max_pixels."""

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise SettingsError(
                f"shards.max_attempts is {self.max_attempts}; it must be at least 1"
            )
        for name in ("timeout_s", "memory_mb"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise SettingsError(f"shards.{name} is {value}; it must be above 0, or null")

    @property
    def memory_bytes(self) -> int | None:
        """The memory a worker may take, in bytes."""
        return None if self.memory_mb is None else int(self.memory_mb * 1e6)
