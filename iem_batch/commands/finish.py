"""The last lines of a step over shards."""

from iem_batch.exec.step import Totals, totals
from iem_batch.run.card import write_card
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import Plan


def finish(run: RunFolder, step: str, total: Totals, planned: Plan) -> None:
    """Say what a later step has done, and add its folder to the run's card."""
    masks = totals(run, "masks", planned.num_shards)
    write_card(run.last_round, masks.ok, masks.quarantined)
    print(f"{step}: {total.ok:,} rows -> {run.url_of(step)}")
    lost = total.quarantined - masks.quarantined
    if lost > 0 and step != "corpus":
        print(f"{step}: {lost:,} images had a mask but can no longer be read")
