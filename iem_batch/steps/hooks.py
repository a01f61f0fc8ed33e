"""Telling other programs what a run has come to: an experiment tracker, a chat."""

import sys
from typing import Any

from iem_batch.checks import first_line, import_named
from iem_batch.job import Job


def tell(job: Job, event: str, facts: dict[str, Any]) -> None:
    """Call all hooks of the settings with something that has ended; one that fails is told.

    Args:
        job: whose settings name them.
        event: the title of a step, or "train/epoch".
        facts: what came out, in JSON types.
    """
    for path in job.settings.hooks.call:
        try:
            import_named("hooks.call", path, "runs commands")(event, facts)
        except Exception as error:  # noqa: BLE001 - a tracker that fails must not end a run
            print(f"{event}: the hook {path} failed: {first_line(error)}", file=sys.stderr)
