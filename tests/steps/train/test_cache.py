import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iem_batch.errors import SettingsError, StorageError
from iem_batch.steps.train.cache import Layout, open_cache, plan_layout

RECORD = np.dtype([("image", np.uint8, (2, 3, 3)), ("error", np.float32)])
TEN = Layout(kept={0: 0}, scratch=(), num_records=10)


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def records(count: int) -> np.ndarray:
    record_N = np.zeros(count, dtype=RECORD)
    record_N["image"] = np.arange(count)[:, None, None, None]
    record_N["error"] = np.arange(count) / 2
    return record_N


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """In any order and part; catches places taken for bytes. The file has no name meanwhile."""
    with open_cache(RECORD, TEN) as cache:
        cache.write(0, records(4))
        cache.write(4, records(9)[4:])
        read = cache.read(np.array([8, 0, 3]))
        np.testing.assert_array_equal(read, records(9)[[8, 0, 3]])
        assert len(cache.read(np.array([], dtype=np.int64))) == 0
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(cache.descriptor)


@contextmanager
def files_of_100_bytes() -> Iterator[None]:
    """Let the system refuse larger files, which it does as on a full disk.

    For as short as can be: the test's own output may go to a file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


def test_no_room_is_found_before_anything_is_read(tmp_path: Path) -> None:
    """Catches a training that ends after hours."""
    message = f"cannot keep the decoded images of the corpus in {tmp_path}: File too large; make"
    with (
        pytest.raises(StorageError, match=message),
        files_of_100_bytes(),
        open_cache(RECORD, TEN),
    ):
        pass


def test_no_room_where_disk_cannot_be_taken_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("os.posix_fallocate")
    with (
        pytest.raises(StorageError, match="lower train.cache_mb"),
        files_of_100_bytes(),
        open_cache(RECORD, TEN) as cache,
    ):
        cache.write(0, records(10))


def test_layout_by_hand() -> None:
    """10 MB in records of 1 MB: three windows of 3 and 2 x 3 for the others would be 12, so one
    window stays."""
    layout = plan_layout([3, 3, 3, 3], 1_000_000, cache_mb=10)
    assert layout == Layout(kept={0: 0}, scratch=(3, 6), num_records=9)
    assert plan_layout([3, 3, 3, 3], 1_000_000, cache_mb=12).kept == {0: 0, 1: 3, 2: 6, 3: 9}


def test_a_cache_too_small_for_two_windows() -> None:
    message = "train.cache_mb is 5, .* take 6 MB of disk; raise it, lower train.shuffle_images"
    with pytest.raises(SettingsError, match=message):
        plan_layout([3, 3, 3], 1_000_000, cache_mb=5)


@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=9), cache_mb=st.integers(1, 60))
def test_windows_do_not_overlap_and_keep_within_the_bound(sizes: list[int], cache_mb: int) -> None:
    try:
        layout = plan_layout(sizes, 1_000_000, cache_mb)
    except SettingsError:
        assert 2 * max(sizes) > cache_mb < sum(sizes)
        return
    assert layout.num_records <= cache_mb
    lengths = [*((place, sizes[window]) for window, place in layout.kept.items())]
    lengths += [(place, max(sizes)) for place in layout.scratch]
    taken = [place + offset for place, length in lengths for offset in range(length)]
    assert sorted(taken) == list(range(layout.num_records))
    assert len(layout.kept) == len(sizes) or len(layout.scratch) == 2
