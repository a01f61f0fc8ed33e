import itertools

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iem_batch.steps.topk.choose import chosen_rows, dataset_side

from iem_batch.errors import StepMissingError
from iem_batch.run.marks import Summary
from iem_batch.steps.segment.step import _facts


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
    facts = _facts(shards)
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


def rows(*triples):
    image_id, side, error = zip(*triples, strict=True)
    return pa.table({"image_id": image_id, "init_side": pa.array(side, pa.int32()), "error": error})


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


@pytest.mark.parametrize("shards", [[], [shard()], [shard(s78=(0, 0.0))]])
def test_no_mask_at_all(shards):
    with pytest.raises(StepMissingError, match="no image of the run has a mask"):
        chosen(shards)


def test_dataset_keeps_the_side():
    table = rows(("b", 44, 0.9), ("b", 78, 0.1), ("a", 44, 0.2), ("a", 78, 0.3))
    assert chosen_rows(table, "dataset", 78).to_pylist() == [
        {"image_id": "b", "init_side": 78, "error": 0.1},
        {"image_id": "a", "init_side": 78, "error": 0.3},
    ]


def test_image_keeps_the_highest_error_in_table_order():
    table = rows(
        ("b", 78, 0.1), ("b", 44, 0.9), ("a", 92, 0.3), ("a", 78, 0.3), ("a", 44, 0.2), ("c", 92, 0)
    )
    assert chosen_rows(table, "image", 0).to_pylist() == [
        {"image_id": "b", "init_side": 44, "error": 0.9},
        {"image_id": "a", "init_side": 78, "error": 0.3},
        {"image_id": "c", "init_side": 92, "error": 0.0},
    ]


@pytest.mark.parametrize("choice", ["dataset", "image"])
def test_empty_and_chunked_tables(choice):
    empty = rows(("a", 78, 0.5)).slice(0, 0)
    assert chosen_rows(empty, choice, 78).num_rows == 0
    chunked = pa.concat_tables([rows(("a", 44, 0.1)), rows(("a", 78, 0.5), ("b", 78, 0.0))])
    assert chosen_rows(chunked, choice, 78)["init_side"].to_pylist() == [78, 78]


@given(
    st.lists(
        st.dictionaries(st.sampled_from([44, 78, 92]), st.sampled_from([0.0, 0.5, 1.0]), min_size=1)
    )
)
def test_image_choice_equals_sorting_each_image(images):
    triples = [
        (f"{index}", side, error)
        for index, errors in enumerate(images)
        for side, error in errors.items()
    ]
    if not triples:
        return
    expected = [min(errors, key=lambda side: (-errors[side], side)) for errors in images]
    assert chosen_rows(rows(*triples), "image", 0)["init_side"].to_pylist() == expected
