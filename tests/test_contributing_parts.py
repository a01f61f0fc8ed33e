"""CONTRIBUTING.md is followed on a toy source, a toy engine and a toy score, in a copy."""

from pathlib import Path

import pytest

from iem_batch.run.folder import RunFolder
from tests.copies import Copy
from tests.pictures import Picture, write_folder

QUICK = ("--local", "--decode.size_px=32", "--iem.iterations=3", "--segment.init_shares=[0.4,0.6]")


@pytest.fixture
def photos(pictures: list[Picture], tmp_path: Path) -> Path:
    """A folder of four pictures."""
    write_folder(tmp_path / "photos", pictures[:4])
    return tmp_path / "photos"


def test_a_source(photos: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy", "source", "book")
    copy.write("iem_batch/sources/NAME.py", BOOK)
    copy.insert(
        "iem_batch/sources/formats.py",
        '"packed"]\n',
        '"book", ',
        '    if head.startswith(b"PAR1"):',
        '    if head.startswith(b"BOOK\\n"):\n        return "book"\n',
    )
    copy.insert(
        "iem_batch/sources/open.py",
        "*TEXTS)",
        '"book", ',
        "    return None\n\n\ndef _require_local",
        '        case "book":\n            return BookSource(pieces)\n',
        "from iem_batch.sources.folder import",
        "from iem_batch.sources.book import BookSource\n",
    )
    files = sorted(photos.iterdir())
    book = tmp_path / "photos.book"
    pages = [f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes() for file in files]
    book.write_bytes(b"BOOK\n" + b"".join(pages))
    copy.test("tests/sources/test_NAME.py", TEST_BOOK)
    for source, out in ((book, "of_book"), (photos, "of_folder")):
        copy.iem_batch("segment", str(source), str(tmp_path / out), *QUICK)
    columns = ["image_id", "mask", "error"]
    of_book, of_folder = (
        RunFolder(str(tmp_path / out)).read_table("segment/part-00000.parquet", columns)
        for out in ("of_book", "of_folder")
    )
    assert of_book.num_rows == 4 * 2  # of two first masks
    assert of_book.equals(of_folder)


def test_an_engine(photos: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy", "engine", "sleepy")
    copy.write("iem_batch/iem/NAME_backend.py", SLEEPY)
    copy.insert(
        "iem_batch/iem/backends.py",
        "def _always_available",
        """def _load_sleepy() -> Segment:
    from iem_batch.iem.sleepy_backend import segment

    return segment


""",
        '    "reference": Backend(',
        '    "sleepy": Backend(load=_load_sleepy, unavailable=_always_available),\n',
    )
    copy.test(
        "tests/iem/test_NAME.py",
        "from iem_batch.iem.backends import resolve\n\n"
        "def test_known():\n    assert resolve('sleepy') == 'sleepy'\n",
    )
    run = RunFolder(str(tmp_path / "run"))
    copy.iem_batch("segment", str(photos), run.url, "--segment.backend=sleepy", *QUICK)
    table = run.read_table("segment/part-00000.parquet", ["iterations"])
    assert set(table["iterations"].to_pylist()) == {0}


def test_a_selection_score(photos: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy", "selection score", "large")
    copy.insert(
        "iem_batch/steps/topk/scores.py",
        "SCORES = {",
        """def _large(column_N: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    return column_N["area"]


""",
        '    "error_agreement": Score(',
        '    "large": Score(label="area", columns=("area",), compute=_large),\n',
    )
    copy.test(
        "tests/steps/topk/test_NAME.py",
        "import numpy as np\n\nfrom iem_batch.steps.topk.scores import SCORES\n\n"
        "def test_large():\n"
        "    assert SCORES['large'].compute({'area': np.array([0.5])}).tolist() == [0.5]\n",
    )
    run = RunFolder(str(tmp_path / "run"))
    copy.iem_batch("segment", str(photos), run.url, *QUICK)
    copy.iem_batch("fuse", run.url, "--local")
    printed = copy.iem_batch("topk", run.url, "-k", "1", "--topk.by=large", "--local")
    assert "area" in printed
    areas = run.read_table("fuse/part-00000.parquet", ["image_id", "area"]).to_pylist()
    largest = max(areas, key=lambda row: row["area"])
    (selected,) = run.read_table("topk/topk.parquet", ["image_id"])["image_id"].to_pylist()
    assert selected == largest["image_id"]


BOOK = '''"""Books as a source: a line `NAME BYTES` before the bytes of each image."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from iem_batch.sources.pieces import PiecesSource
from iem_batch.sources.protocol import Entry, RawImage, UnreadableImage
from iem_batch.sources.ranges import Span, list_ranges, read_members
from iem_batch.sources.repeats import Listed
from iem_batch.storage.folder import FoundFile


class Page(NamedTuple):
    """An image of a book."""

    name: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class BookSource(PiecesSource):
    """Images in books; the id of an image is its name there."""

    exact_bytes: ClassVar[bool] = False

    @property
    def url(self) -> str:
        """Where the books lie."""
        return self.pieces.url("book")

    def _look(self, file: FoundFile, max_images: int) -> Iterator[Listed]:
        spans = (
            Span(page.offset, page.offset + 1, self.pieces.image_id(file.name, page.name, "/"))
            for page in self._pages(file.name, len(b"BOOK\\n"))
        )
        yield from list_ranges(self.pieces.uri(file.name), spans, max_images, sized=False)

    def _pages(self, name: str, start: int) -> Iterator[Page]:
        with self.pieces.open(name, start, 1 << 62) as book:
            while head := book.readline():
                page, size = head.decode().split()
                yield Page(page, start, book.read(int(size)))
                start += len(head) + int(size)

    def _read(
        self, entry: Entry, wanted: Container[str] | None
    ) -> Iterator[RawImage | UnreadableImage]:
        name = self.pieces.name(entry.uri)
        pages = self._pages(name, entry.offset)
        taken = ((page, self.pieces.image_id(name, page.name, "/")) for page in pages)
        yield from read_members(entry, taken, wanted, _image)


def _image(page: Page, image_id: str, uri: str) -> RawImage:
    return RawImage(image_id=image_id, uri=uri, data=page.data)
'''

TEST_BOOK = """from iem_batch.sources import open_source


def test_pages_in_ranges(tmp_path):
    (tmp_path / "a.book").write_bytes(b"BOOK\\nx.png 3\\nabcy.png 1\\nd")
    source = open_source(str(tmp_path / "a.book"))
    entries = list(source.entries(max_images=1))
    pages = [(page.image_id, page.data) for entry in entries for page in source.read(entry)]
    assert pages == [("x.png", b"abc"), ("y.png", b"d")]
"""

SLEEPY = '''"""An engine that leaves every mask as it is."""

from dataclasses import replace

from iem_batch.iem.torch_backend import segment as torch_segment


def segment(image_BHW3, first_mask_BSHW, settings, *, num_threads=1):
    """Run no iteration."""
    unchanged = replace(settings, iterations=0)
    return torch_segment(image_BHW3, first_mask_BSHW, unchanged, num_threads=num_threads)
'''
