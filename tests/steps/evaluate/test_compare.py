import io

import numpy as np
import pytest
from rich.console import Console

from iem_batch.errors import RunMismatchError, StepMissingError
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.compare import compare, comparison_table
from tests.steps.evaluate.evaluations import evaluate
from tests.steps.hand_made import SIZE, prediction, row, square, write_png, write_shard

DECODE = DecodeSettings(size_px=SIZE)
TRUTH = square(0, 0, 4)
HALF = square(0, 2, 4)  # IoU 1 / 3


@pytest.fixture
def evaluated(tmp_path):
    """Makes a run of hand-made masks and evaluates it."""
    for name in "abcd":
        write_png(tmp_path / "truth" / f"{name}.png", TRUTH)
    truth = MaskFolder(str(tmp_path / "truth"), DECODE)

    def make(name, masks, segnet=None, **settings):
        run = RunFolder(str(tmp_path / name))
        write_shard(run, "fuse", 0, [row(f"{k}.jpg", mask) for k, mask in masks.items()])
        if segnet:
            rows = [prediction(f"{k}.jpg", mask) for k, mask in segnet.items()]
            write_shard(run, "predict", 0, rows)
        evaluate(run, truth, None, DECODE, **settings)
        return run

    return make


def test_images_in_common_are_paired(evaluated):
    """c is in one run alone; its score must not count in either."""
    first = evaluated("first", {"a": HALF, "b": HALF, "c": TRUTH})
    second = evaluated(
        "second", {"d": TRUTH, "b": TRUTH, "a": HALF}, segnet={"a": TRUTH, "b": ~TRUTH}
    )
    found = compare(first, [second])
    assert found.num_images == 2
    rows = {(r.run_url == first.url, r.method): r for r in found.rows}
    assert rows[True, "fuse"].iou == pytest.approx([1 / 3, 1 / 3])
    assert rows[False, "fuse"].iou == pytest.approx([2 / 3, 2 / 3])
    assert rows[False, "fuse"].difference == pytest.approx([1 / 3, 1 / 3])
    assert rows[False, "predict"].iou == pytest.approx([1 / 2, 1])
    assert rows[True, "fuse"].difference_interval == [[0, 0], [0, 0]]
    # Of two images a quarter of the samples draws one twice: the interval reaches to either.
    assert rows[False, "fuse"].difference_interval[0] == pytest.approx([0, 2 / 3])
    assert (False, "centre_square") not in rows


def test_printed(evaluated):
    first = evaluated("first", {"a": HALF, "b": HALF})
    second = evaluated("second", {"a": TRUTH, "b": TRUTH})
    out = io.StringIO()
    Console(file=out, width=200).print(comparison_table(compare(first, [second])))
    line = next(line for line in out.getvalue().splitlines() if second.url in line)
    assert line.split()[1:] == ["IEM", "100.0", "+66.7", "100.0", "+66.7"]


def test_what_cannot_be_compared(evaluated, tmp_path):
    first = evaluated("first", {"a": HALF})
    with pytest.raises(StepMissingError, match="new has not been evaluated"):
        compare(first, [RunFolder(str(tmp_path / "new"))])
    other = evaluated("other", {"a": HALF}, at="engine")
    with pytest.raises(RunMismatchError, match="in different ways:\n  at: 'image' and 'engine'"):
        compare(first, [other])
    with pytest.raises(RunMismatchError, match="no image in common"):
        compare(first, [evaluated("third", {"b": np.zeros_like(HALF)})])
