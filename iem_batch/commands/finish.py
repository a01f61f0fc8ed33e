"""The last lines of a step over shards."""

from iem_batch.data.card import write_card
from iem_batch.data.plan import Plan
from iem_batch.data.run_folder import RunFolder


def finish(run: RunFolder, step: str, num_shards: int, planned: Plan) -> None:
    """Say what a later step has done, and add its folder to the run's card."""
    marks = run.marks(step, range(num_shards))
    num_ok = sum(mark["ok"] for mark in marks)
    masks = run.marks("masks", range(planned.num_shards))
    write_card(run, sum(m["ok"] for m in masks), sum(m["quarantined"] for m in masks))
    print(f"{step}: {num_ok:,} rows -> {run.url}/{step}")
    lost = sum(mark["quarantined"] for mark in marks) - sum(m["quarantined"] for m in masks)
    if lost > 0 and step != "corpus":
        print(f"{step}: {lost:,} images had a mask but can no longer be read")
