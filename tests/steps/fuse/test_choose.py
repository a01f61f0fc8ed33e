import itertools

import pytest

from iem_batch.errors import StepMissingError
from iem_batch.run.marks import Summary
from iem_batch.steps.fuse.choose import dataset_side
from iem_batch.steps.segment.step import _means_by_side


def shard(**sides):
    """Facts of a shard: side -> (number of masks, sum of their errors)."""
    return {
        "sides": {
            name.removeprefix("s"): {"count": count, "sum_error": total}
            for name, (count, total) in sides.items()
        }
    }


def chosen(shards):
    """Choose the side of a run of some shards."""
    facts = {"sides": _means_by_side([each["sides"] for each in shards])}
    return dataset_side(
        Summary(
            num_shards=len(shards),
            planned=0,
            ok=0,
            quarantined=0,
            outputs_digest="",
            facts=facts,
            seconds=0.0,
            began=0.0,
            finished=0.0,
        )
    )


def test_mean_over_the_run_not_mean_of_shards():
    """A small last shard must not count as much as a full one."""
    shards = [shard(s44=(4, 4.0), s78=(4, 3.6)), shard(s44=(1, 0.1), s78=(1, 0.4))]
    # Side 44: 4.1 / 5 = 0.82. Side 78: 4.0 / 5 = 0.80. Means of shards: 0.55 and 0.65.
    assert chosen(shards) == 44


def test_side_is_a_number_and_ties_go_to_the_smallest():
    """As strings "100" sorts before "44"."""
    assert chosen([shard(s100=(2, 1.0), s44=(2, 1.0), s78=(2, 0.9))]) == 44


def test_order_of_shards_does_not_matter():
    """Plain summation gives 44 or 78 depending on which shard is listed first."""
    shards = [shard(s44=(1, x), s78=(1, y)) for x, y in [(1e16, 1e16), (1.0, 1.5), (-1e16, -1e16)]]
    assert {chosen(order) for order in itertools.permutations(shards)} == {78}


def test_shard_without_images():
    assert chosen([shard(s78=(0, 0.0)), shard(s78=(1, 0.5)), shard()]) == 78


def test_no_mask_at_all():
    with pytest.raises(StepMissingError, match="no image of the run has a mask"):
        chosen([shard(s78=(0, 0.0)), shard(s78=(0, 0.0))])


def test_an_engine_in_iems_place_has_no_first_masks():
    assert chosen([shard(), shard()]) is None
