from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from iem_batch.errors import StorageError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import require_summary
from iem_batch.steps.train.pair_files import PairFiles, find_pairs, read_pairs
from tests.steps.corpora import small_discs, with_mask, write_corpus, write_corpus_file
from tests.steps.hand_made import commit_mark


def pairs_of(run: RunFolder) -> PairFiles:
    """Find the pairs of a corpus."""
    return find_pairs(run, require_summary(run, "export"))


def read_all(files: PairFiles) -> None:
    list(read_pairs(files, range(files.num_pairs)))


def test_pairs_are_those_exported(tmp_path: Path) -> None:
    """A range over three files, read by threads; catches a file left out, pairs in another order,
    and masks of another pair."""
    run, discs = RunFolder(str(tmp_path)), small_discs(20)
    write_corpus(run, discs, pairs_per_file=6)
    files = pairs_of(run)
    assert (files.num_rows, files.shape_HW) == ((6, 6, 6, 2), (24, 32))
    with ThreadPoolExecutor(3) as pool:
        record_N = np.concatenate(list(read_pairs(files, range(4, 17), pool.map)))
    assert len(record_N) == 13
    for number, record in enumerate(record_N, start=4):
        np.testing.assert_array_equal(record["image"], discs[number].image)
        mask_HW = np.unpackbits(record["mask"], count=24 * 32).reshape(24, 32)
        np.testing.assert_array_equal(mask_HW, discs[number].mask)


def test_ranges_that_end_within_what_is_read_at_once(tmp_path: Path) -> None:
    """Catches pairs lost or doubled where a range begins or ends inside a file of many."""
    run, discs = RunFolder(str(tmp_path)), small_discs(150)
    write_corpus(run, discs, pairs_per_file=140)
    files = pairs_of(run)
    for rows in (range(63, 65), range(64, 128), range(150), range(130, 145), range(7, 7)):
        expected = [discs[number].image for number in rows]
        parts = [part["image"] for part in read_pairs(files, rows)]
        np.testing.assert_array_equal(np.concatenate(parts) if parts else [], expected)


def test_files_set_apart_are_left_out(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write_corpus(run, small_discs(3))
    facts = {"split": "val", "stem": "val-00000", "pairs": 3, "turned": 0, "rejected": []}
    commit_mark(run, "export", 1, {"export/val-00000.parquet": ""}, 3, facts=facts)
    assert pairs_of(run).num_pairs == 3


def test_sizes_that_differ(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    discs = small_discs(2)
    turned = discs[1]._replace(
        name="turned", image=discs[1].image.swapaxes(0, 1), mask=discs[1].mask.T
    )
    write_corpus(run, [discs[0], turned])
    with pytest.raises(StorageError, match="turned has an image of shape .32, 24, 3."):
        read_all(pairs_of(run))


def test_mask_of_another_size_than_its_image(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write_corpus(run, [with_mask(small_discs(1)[0], np.eye(24, dtype=np.bool_))])
    with pytest.raises(StorageError, match="disc_000 has an image of shape"):
        read_all(pairs_of(run))


def test_damaged_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunFolder(str(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr("tests.steps.corpora.encode_pixels", lambda pixels: b"\x89PNG\r\n")
        write_corpus(run, small_discs(1))
    with pytest.raises(StorageError, match="the picture or mask of disc_000 is damaged"):
        read_all(pairs_of(run))


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_damaged_file(tmp_path: Path, share: float) -> None:
    run = RunFolder(str(tmp_path))
    write_corpus(run, small_discs(2))
    path = tmp_path / layout.part("export", 0)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(StorageError, match=r"export/part-00000.parquet"):
        pairs_of(run)


def test_damaged_bytes_within_a_file(tmp_path: Path) -> None:
    """Catches pyarrow's own errors in the middle of a training."""
    run = RunFolder(str(tmp_path))
    write_corpus(run, small_discs(4), pairs_per_file=2)
    files = pairs_of(run)
    path = tmp_path / layout.part("export", 1)
    content = path.read_bytes()
    path.write_bytes(b"PAR1" + b"\xff" * (len(content) // 2) + content[len(content) // 2 + 4 :])
    with pytest.raises(StorageError, match=r"export/part-00001.parquet"):
        read_all(files)


def test_a_file_that_has_vanished(tmp_path: Path) -> None:
    run = RunFolder(str(tmp_path))
    write_corpus(run, small_discs(4), pairs_per_file=2)
    files = pairs_of(run)
    write_corpus_file(run, 0, small_discs(2))
    run.delete(layout.part("export", 1))
    with pytest.raises(StorageError, match=r"cannot read .*export/part-00001.parquet"):
        read_all(files)
