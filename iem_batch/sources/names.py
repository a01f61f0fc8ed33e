"""Which images of a source are taken, by patterns of their ids."""

import functools
import re
from dataclasses import dataclass
from fnmatch import translate


@dataclass(frozen=True)
class Names:
    """The ids that patterns such as ``*.jpg,train/*`` let through; ``*`` stands for slashes too.

    Args:
        include: an id must match one of these, which commas separate; None takes all.
        exclude: an id that matches one of these is left out; None leaves out none.
    """

    include: str | None = None
    exclude: str | None = None

    @property
    def are_all(self) -> bool:
        """Whether there is no pattern."""
        return self.include is None and self.exclude is None

    def __contains__(self, image_id: str) -> bool:
        return (self.include is None or _matches(self.include, image_id)) and not (
            self.exclude is not None and _matches(self.exclude, image_id)
        )


ALL = Names()


def _matches(patterns: str, image_id: str) -> bool:
    return _compiled(patterns).match(image_id) is not None


@functools.lru_cache
def _compiled(patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(translate(pattern.strip()) for pattern in patterns.split(",")))
