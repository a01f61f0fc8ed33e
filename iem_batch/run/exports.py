"""What a run knows of its corpora that lie elsewhere, so that tools find them."""

import re
from dataclasses import asdict, dataclass
from typing import Any

from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.schema import checksum

_NAME = re.compile(r"[0-9a-f]{16}\.json")


@dataclass(frozen=True, kw_only=True)
class Export:
    """A corpus that lies elsewhere than in export/."""

    url: str
    round: int
    """Whose selection it is."""
    settings: dict[str, Any]
    """Those of export, in JSON types."""


def note_export(run: RunFolder, export: Export) -> None:
    """Write down where a corpus lies."""
    name = f"{layout.EXPORTS}/{checksum(export.url.encode())[:16]}.json"
    run.write_json(name, asdict(export))


def read_exports(run: RunFolder) -> list[Export]:
    """List the corpora of a run that lie elsewhere."""
    names = filter(_NAME.fullmatch, run.names(layout.EXPORTS))
    return [Export(**run.read_json(f"{layout.EXPORTS}/{name}")) for name in names]
