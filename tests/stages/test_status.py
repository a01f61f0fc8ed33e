import json
from collections.abc import Callable

import pytest

from iem_batch.data.run_folder import RunFolder, mark
from iem_batch.errors import StepMissingError
from iem_batch.stages.segment import SegmentStep
from iem_batch.stages.settings import ExportSettings
from iem_batch.stages.status import run_status, status_json

Segmented = Callable[..., SegmentStep]


def test_counts_what_is_committed(segmented: Segmented) -> None:
    run = segmented(shard_size=5).run
    masks, corpus, predictions, refined = run_status(run, ExportSettings())
    assert (masks.state, masks.shards_done, masks.num_shards, masks.ok) == ("done", 3, 3, 12)
    assert (corpus.state, corpus.num_shards) == ("not started", None)
    assert predictions.state == refined.state == "not started"


def test_a_run_that_was_stopped(segmented: Segmented) -> None:
    """Catches a half-finished run that looks finished."""
    run = segmented(shard_size=5).run
    run.delete(mark("masks", 1))
    masks = run_status(run, ExportSettings())[0]
    assert (masks.state, masks.shards_done, masks.ok) == ("partly done", 2, 7)


def test_rate_is_that_between_the_first_and_the_last_commit(segmented: Segmented) -> None:
    """Worked by hand: 5 + 2 images are committed in the 3.5 s after the first shard."""
    run = segmented(shard_size=5).run
    for shard, finished in enumerate((100.0, 102.0, 103.5)):
        record = run.read_json(mark("masks", shard))
        run.write_json(mark("masks", shard), record | {"finished": finished})
    assert run_status(run, ExportSettings())[0].images_per_second == pytest.approx(7 / 3.5)


def test_json_is_the_same(segmented: Segmented) -> None:
    steps = run_status(segmented(shard_size=5).run, ExportSettings())
    assert [(row["step"], row["state"]) for row in json.loads(status_json(steps))] == [
        (step.step, step.state) for step in steps
    ]


def test_without_a_plan(tmp_path: object) -> None:
    with pytest.raises(StepMissingError, match="iem-batch plan"):
        run_status(RunFolder(f"{tmp_path}/run"), ExportSettings())
