import io
from pathlib import Path

import pytest

from iem_batch.storage.folder import Folder
from iem_batch.storage.range_file import RangeFile


@pytest.mark.parametrize("url", ["memory://bucket-range", "LOCAL"])
def test_a_range_is_a_file_of_its_own(url: str, tmp_path: Path) -> None:
    """Catches places counted from the beginning of the whole file, and bytes behind the range."""
    folder = Folder(str(tmp_path) if url == "LOCAL" else url)
    folder.write_bytes("digits", b"0123456789")
    with RangeFile(folder, "digits", 2, 8) as file:
        assert (file.read(2), file.tell(), file.read(9), file.read(1)) == (b"23", 2, b"4567", b"")
        assert (file.seek(-1, io.SEEK_END), file.read(5)) == (5, b"7")
        assert (file.seek(1), file.seek(1, io.SEEK_CUR), file.read(1)) == (1, 2, b"4")


@pytest.mark.parametrize("url", ["memory://bucket-range", "LOCAL"])
def test_a_file_that_is_not_there(url: str, tmp_path: Path) -> None:
    folder = Folder(str(tmp_path) if url == "LOCAL" else url)
    with pytest.raises(FileNotFoundError):
        RangeFile(folder, "nothing", 0, 1).read(1)
