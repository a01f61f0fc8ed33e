import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iem_batch.segnet.order import Share, batches, num_epochs, owned, visits, windows
from iem_batch.segnet.settings import LANES, TrainSettings

SIZES = st.integers(1, 700)
WORKERS = st.integers(1, LANES)


def cut(
    rows: range, batch_size: int, rank: int = 0, num_workers: int = 1, seed: int = 0, epoch: int = 0
) -> list[Share]:
    settings = TrainSettings(batch_size=batch_size, seed=seed)
    return list(batches(rows, 3, epoch, settings, rank, num_workers))


def sets(shares: list[Share]) -> list[set[int]]:
    return [set(share.row_N.tolist()) for share in shares]


@pytest.mark.parametrize(
    ("num_images", "shuffle_images", "epochs"),
    [
        (8000, 65_536, 4),  # 500 steps an epoch
        (1800, 65_536, 4),  # 113: 4 epochs are 452 steps
        (1790, 65_536, 5),  # 112: 4 would be 448
        (240, 65_536, 30),  # 15: 30 epochs are 450
        (200, 65_536, 30),  # 13: 450 steps would take 35, and 225 take 18
        (100, 65_536, 33),  # 7: 30 epochs are 210
        (31, 65_536, 113),  # 2
        (31, 10, 57),  # windows of 7 or 8 images are a step each, 4 in all
        (1, 65_536, 225),
    ],
)
def test_a_small_corpus_is_seen_more_often(
    num_images: int, shuffle_images: int, epochs: int
) -> None:
    settings = TrainSettings(batch_size=16, shuffle_images=shuffle_images)
    assert num_epochs(settings, num_images) == epochs
    assert num_epochs(TrainSettings(epochs=3), num_images) == 3


@given(num_images=SIZES, shuffle_images=st.integers(1, 300))
def test_windows_are_the_fewest_and_of_one_size(num_images: int, shuffle_images: int) -> None:
    """Catches rows in no window or two, and a last window of a few images, whose step would be made
    on a remnant."""
    cut_up = windows(num_images, shuffle_images)
    assert [row for rows in cut_up for row in rows] == list(range(num_images))
    assert len(cut_up) == -(-num_images // shuffle_images)
    sizes = [len(rows) for rows in cut_up]
    assert max(sizes) <= shuffle_images
    assert max(sizes) - min(sizes) <= 1


@given(num_images=SIZES, batch_size=st.integers(1, 200), epoch=st.integers(0, 3))
def test_batches_hold_every_image_once_and_are_of_one_size(
    num_images: int, batch_size: int, epoch: int
) -> None:
    shares = cut(range(40, 40 + num_images), batch_size, epoch=epoch)
    rows = np.concatenate([share.row_N for share in shares])
    assert sorted(rows.tolist()) == list(range(40, 40 + num_images))
    sizes = [len(share.row_N) for share in shares]
    assert [share.num_images for share in shares] == sizes
    assert len(sizes) == -(-num_images // batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


@given(num_images=SIZES, batch_size=st.integers(1, 200), num_workers=WORKERS)
def test_workers_share_the_batches_of_one(
    num_images: int, batch_size: int, num_workers: int
) -> None:
    """Catches batches that change with the number of workers, images of no worker or of two, a
    worker that needs rows it does not own, and work shared unequally."""
    rows = range(num_images)
    alone = cut(rows, batch_size)
    shared = [cut(rows, batch_size, rank, num_workers) for rank in range(num_workers)]
    for rank, shares in enumerate(shared):
        own = owned(rows, rank, num_workers)
        assert set().union(*sets(shares)) == set(own)
        sizes = [len(share.row_N) for share in shares]
        assert max(sizes) - min(sizes) <= 2
        assert [share.num_images for share in shares] == [len(share.row_N) for share in alone]
    for together, parts in zip(sets(alone), zip(*map(sets, shared), strict=True), strict=True):
        assert sum(map(len, parts)) == len(together)
        assert set().union(*parts) == together


@given(num_images=SIZES, num_workers=WORKERS)
def test_owned_rows_are_consecutive_and_cover_a_window(num_images: int, num_workers: int) -> None:
    rows = range(7, 7 + num_images)
    parts = [owned(rows, rank, num_workers) for rank in range(num_workers)]
    assert [row for part in parts for row in part] == list(rows)


@given(num_images=st.integers(LANES, 700), batch_size=st.integers(LANES, 200))
def test_a_batch_draws_from_all_parts_of_its_window(num_images: int, batch_size: int) -> None:
    """Catches batches of neighbours, which in a corpus sorted by source are of one kind."""
    tenth = num_images / 10
    for rows in sets(cut(range(num_images), batch_size)):
        if len(rows) >= 2 * LANES:
            assert {int(row / tenth) for row in rows} == set(range(10))


@pytest.mark.parametrize("num_images", [12, 50, 500])
def test_order_depends_on_seed_and_epoch(num_images: int) -> None:
    """Catches images that meet in the same batches in every epoch; 12 and 50 are fewer than the
    lanes, so that no lane has two images to exchange."""

    def order(**chance: int) -> list[set[int]]:
        return sets(cut(range(num_images), 4, **chance))

    assert order(seed=1, epoch=2) == order(seed=1, epoch=2)
    assert order(seed=1, epoch=2) != order(seed=1, epoch=3)
    assert order(seed=1, epoch=2) != order(seed=2, epoch=2)


def test_every_two_images_meet_in_some_epoch() -> None:
    """Catches images tied to one batch: of 200, each of 19 strangers is met within 60 epochs."""
    met = set()
    for epoch in range(60):
        for rows in sets(cut(range(200), 20, epoch=epoch)):
            if 77 in rows:
                met |= rows
    assert len(met) > 180


def test_visits_are_each_window_once_in_an_order_of_the_epoch() -> None:
    orders = [visits(9, seed=4, epoch=epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(9)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert visits(9, seed=5, epoch=0) != orders[0]


def test_one_image_and_all_workers() -> None:
    """Catches a worker without images that skips the step the others wait for it in."""
    shares = [cut(range(1), 128, rank, LANES) for rank in range(LANES)]
    assert sorted(len(share.row_N) for (share,) in shares) == [0] * (LANES - 1) + [1]
    assert {share.num_images for (share,) in shares} == {1}
