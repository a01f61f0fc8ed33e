import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from iem_batch.errors import SettingsError, StorageError
from iem_batch.run.folder import RunFolder
from iem_batch.segnet.batch import Batch
from iem_batch.segnet.settings import TrainSettings
from iem_batch.steps.train import pair_stream as stream_module
from iem_batch.steps.train.pair_files import PairFiles
from iem_batch.steps.train.pair_stream import check_cache, open_stream
from tests.steps.corpora import small_discs, write_corpus
from tests.steps.train.test_pair_files import pairs_of

COUNT = 90
RECORD_BYTES = 24 * 32 * 25 // 8 + 4


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> PairFiles:
    """90 pairs in files of 7, whose borders are those of no worker, window or lane."""
    run = RunFolder(str(tmp_path_factory.mktemp("run")))
    write_corpus(run, small_discs(COUNT), pairs_per_file=7)
    return pairs_of(run)


@pytest.fixture
def _records_as_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let train.cache_mb count records."""
    monkeypatch.setattr("iem_batch.steps.train.cache._MB", RECORD_BYTES)


def epochs_of(
    files: PairFiles, settings: TrainSettings, rank: int = 0, num_workers: int = 1, first: int = 0
) -> list[list[Batch]]:
    with open_stream(files, settings, rank=rank, num_workers=num_workers) as stream:
        return [list(stream.batches(epoch)) for epoch in range(first, settings.epochs)]


def content(epochs: list[list[Batch]]) -> list[list[tuple[bytes, ...]]]:
    return [
        [
            tuple(
                tensor.numpy().tobytes()
                for tensor in (batch.row_N, batch.image_NHW3, batch.mask_NHW)
            )
            for batch in batches
        ]
        for batches in epochs
    ]


def test_every_image_comes_once_with_its_mask(files: PairFiles) -> None:
    discs = small_discs(COUNT)
    (batches,) = epochs_of(files, TrainSettings(epochs=1, batch_size=16, shuffle_images=50))
    seen = []
    for batch in batches:
        assert batch.num_images == len(batch.row_N)
        assert batch.num_pixels == len(batch.row_N) * 24 * 32
        for index, row in enumerate(batch.row_N.tolist()):
            np.testing.assert_array_equal(batch.image_NHW3[index], discs[row].image)
            np.testing.assert_array_equal(batch.mask_NHW[index], discs[row].mask)
            seen.append(row)
    assert sorted(seen) == list(range(COUNT))


@pytest.mark.usefixtures("_records_as_megabytes")
@effort(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shuffle_images=st.integers(2, 40),
    spare=st.integers(0, 40),
    num_workers=st.integers(1, 3),
    first=st.integers(0, 1),
)
def test_a_small_cache_gives_the_same_batches(
    files: PairFiles, shuffle_images: int, spare: int, num_workers: int, first: int
) -> None:
    """Catches a window overwritten while it is trained on, or found where it no longer is; also
    for the rank that owns the most, and for a training that goes on from its second epoch."""
    ample = TrainSettings(epochs=3, batch_size=8, shuffle_images=shuffle_images, cache_mb=COUNT)
    small = replace(ample, cache_mb=2 * shuffle_images + spare)
    rank = num_workers - 1
    expected = content(epochs_of(files, ample, rank, num_workers))
    assert content(epochs_of(files, small, rank, num_workers, first)) == expected[first:]


def test_workers_share_the_batches_of_one(files: PairFiles) -> None:
    settings = TrainSettings(epochs=1, batch_size=16, shuffle_images=60)
    (alone,) = epochs_of(files, settings)
    shares = [epochs_of(files, settings, rank, 3)[0] for rank in range(3)]
    for together, *parts in zip(alone, *shares, strict=True):
        assert {part.num_images for part in parts} == {together.num_images}
        rows = [row for part in parts for row in part.row_N.tolist()]
        assert sorted(rows) == sorted(together.row_N.tolist())


def test_a_worker_reads_the_files_of_its_share_alone(
    files: PairFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches workers that each read all of a corpus of terabytes."""
    opened: list[str] = []
    open_table = RunFolder.open_table

    def spy(run: RunFolder, name: str) -> object:
        opened.append(name)
        return open_table(run, name)

    monkeypatch.setattr(RunFolder, "open_table", spy)
    epochs_of(files, TrainSettings(epochs=2), rank=0, num_workers=3)
    assert opened == [f"export/part-{index:05d}.parquet" for index in range(5)]


def read_then(
    second: Callable[..., Iterator[np.ndarray]],
) -> Callable[..., Iterator[np.ndarray]]:
    """Read the first window, and the next by other means."""
    reads = iter([stream_module.read_pairs, second])
    return lambda *args: next(reads)(*args)


def test_the_next_window_is_read_meanwhile(
    files: PairFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches waiting for storage between windows."""
    second = threading.Event()

    def read_second(*args: object) -> Iterator[np.ndarray]:
        second.set()
        return iter([])

    monkeypatch.setattr(stream_module, "read_pairs", read_then(read_second))
    with open_stream(files, TrainSettings(epochs=4, shuffle_images=45)) as stream:
        next(stream.batches(0))
        assert second.wait(60)


def test_an_error_of_reading_ahead_reaches_the_training(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write_corpus(run, small_discs(12), pairs_per_file=1)
    files = pairs_of(run)
    run.delete("export/part-00007.parquet")
    settings = TrainSettings(epochs=1, shuffle_images=4)
    with pytest.raises(StorageError, match="cannot read .*part-00007"):
        epochs_of(files, settings)


def test_a_training_that_fails_does_not_wait_for_what_is_read_ahead(
    files: PairFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Catches an error shown after minutes; here it would be never."""

    def endless(files: PairFiles, rows: range, map_rows: object) -> Iterator[np.ndarray]:
        while True:
            yield np.empty(0, dtype=files.record)

    def fail() -> None:
        with open_stream(files, TrainSettings(epochs=4, shuffle_images=45)) as stream:
            batches = stream.batches(0)
            with monkeypatch.context() as patched:
                patched.setattr(stream_module, "read_pairs", read_then(endless))
                next(batches)
                raise ConnectionAbortedError

    with pytest.raises(ConnectionAbortedError):
        fail()


@pytest.mark.usefixtures("_records_as_megabytes")
def test_the_cache_is_checked_for_the_largest_share(files: PairFiles) -> None:
    settings = TrainSettings(shuffle_images=40, cache_mb=25)
    check_cache(files, settings, num_workers=3)
    with pytest.raises(SettingsError, match="or take more workers"):
        check_cache(files, settings, num_workers=2)
