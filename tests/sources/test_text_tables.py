"""Lists of images as CSV, TSV and JSON Lines, packed or not."""

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iem_batch.errors import SourceError
from iem_batch.sources import Entry, Source, open_source
from iem_batch.sources.text_rows import MAX_LINE_BYTES, csv_rows, read_header
from iem_batch.sources.url_list import URLListSource
from tests.sources.test_tar import image, read_all

JSON_ROWS: list[dict[str, Any]] = [
    {"caption": 'a, "b"\n', "url": "1.jpg", "image_id": 7},
    {"url": "sub/2.png", "image_id": None},
    {"url": None, "image_id": "none"},
]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    for name in ("1.jpg", "sub/2.png", "3.jpg"):
        (tmp_path / name).write_bytes(image(name))
    return tmp_path


def opened(path: Path, text: str | bytes, options: str = "") -> Source:
    """Write a list, packed if its name says so; its own URL must open it the same."""
    data = text.encode() if isinstance(text, str) else text
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    source = open_source(f"{path}{options}")
    assert isinstance(source, URLListSource)
    assert open_source(source.url) == source
    return source


@pytest.mark.parametrize("name", ["list.csv", "list", "list.csv.gz", "list.gz"])
@pytest.mark.parametrize(
    "text",
    [
        'caption,url,image_id\n"a, ""b""\n",1.jpg,7\nc,sub/2.png,\n,,none\n',
        "\ufeff\r\ncaption;URL;image_id\r\nx;1.jpg;7\r\n\r\n;sub/2.png\r\n;;none",
        'image_id\tcaption\turi\n7\t"\t1.jpg\n\t"x\t sub/2.png\nnone\t\t\n',
        "\n".join(map(json.dumps, JSON_ROWS)),
        "\ufeff" + "\r\n\r\n".join(map(json.dumps, JSON_ROWS)) + "\r\n",
    ],
    ids=["csv", "semicolons", "tsv", "jsonl", "jsonl of Windows"],
)
def test_columns_of_urls_and_ids(photos: Path, name: str, text: str) -> None:
    """Told by content; an id may be missing, then it is the URL; a row without either stays."""
    source = opened(photos / name, text)
    for max_images in (1, 2, 100):
        images, reasons = read_all(source, max_images)
        assert images == {"7": image("1.jpg"), "sub/2.png": image("sub/2.png")}
        assert reasons == {"none": "null"}
    [entry] = source.entries()
    assert [item.image_id for item in source.read(entry, {"sub/2.png"})] == ["sub/2.png"]


def test_columns_that_are_named(photos: Path) -> None:
    text = "link,key,a&b\n1.jpg,x,3.jpg\n"
    assert read_all(opened(photos / "l", text, "#image=link&id=key"))[0] == {"x": image("1.jpg")}
    assert read_all(opened(photos / "l", text, "#image=a%26b"))[0] == {"3.jpg": image("3.jpg")}
    nested = '{"sample": {"a.b": {"photo": "1.jpg"}}, "info": {"n": 4.0}}\n{"sample": 5}'
    source = opened(photos / "l", nested, "#image=sample.a.b.photo&id=info.n")
    assert read_all(source) == ({"4": image("1.jpg")}, {"#60": "null"})


def test_a_path_where_there_is_no_url(photos: Path) -> None:
    """As `metadata.csv` of Hugging Face's ImageFolder has it; a URL goes before it."""
    assert list(read_all(opened(photos / "metadata.csv", "file_name,text\n1.jpg,x\n"))[0]) == [
        "1.jpg"
    ]
    source = opened(photos / "l.csv", f"url,path\n{photos}/1.jpg,gone.jpg\n")
    assert list(read_all(source)[0]) == [f"{photos}/1.jpg"]


@pytest.mark.parametrize("path", ["../x.jpg", "a/../../x.jpg", "sub", "\0.jpg", "/etc/\0"])
def test_paths_that_may_not_be_read(photos: Path, path: str) -> None:
    (photos.parent / "x.jpg").write_bytes(image("secret"))
    images, reasons = read_all(
        opened(photos / "l", json.dumps({"path": path}) + '\n{"path": "1.jpg"}')
    )
    assert list(images) == ["1.jpg"]
    assert reasons.keys() == {path}
    assert reasons[path] in ("unsafe_path", "not_a_url", "not_a_file")


def test_a_remote_table_names_no_local_file(photos: Path) -> None:
    text = f"path\n{photos}/1.jpg\n1.jpg\n".encode()
    MemoryFileSystem().pipe_file("/bucket-w/l.csv", text)
    reasons = read_all(open_source("memory://bucket-w/l.csv"))[1]
    assert set(reasons.values()) == {"not_a_url"}


def test_a_quote_that_is_not_closed_costs_its_row(photos: Path) -> None:
    """However long it would go on; a short row and an empty one cost nothing else either."""
    rows = "".join(f"{index},nothing.jpg\n" for index in range(MAX_LINE_BYTES // 8))
    text = f'image_id,path\n"a,b.jpg\nx,1.jpg\n{rows}short\n,\ny,3.jpg\nz,"sub/2.png'
    for max_images in (1000, 100_000):
        images, reasons = read_all(opened(photos / "l.csv", text), max_images)
        assert list(images) == ["x", "y"]
        assert reasons.pop("#14") == "null"
        assert reasons.pop(f"#{len(text) - len('z,_sub/2.png')}") == "null"
        assert reasons.pop("short") == "null"
        assert set(reasons.values()) == {"missing"}
        assert len(reasons) == MAX_LINE_BYTES // 8


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=30),
    st.sampled_from(",;"),
)
def test_csv_is_that_of_the_standard_library(rows: list[tuple[str, str]], delimiter: str) -> None:
    """From wherever a row begins: shards begin at all of them."""
    rows = [("url", f"{delimiter}caption"), *rows]
    buffer = io.StringIO(newline="")
    csv.writer(buffer, delimiter=delimiter).writerows(rows)
    data = buffer.getvalue().encode(errors="backslashreplace")
    expected = [
        (url.strip() or None, text or None)
        for url, text in csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter)
        if url.strip() or text.strip()
    ][1:]
    header = read_header(data)
    columns = header, "url", header.names[1]
    found = list(csv_rows(io.BytesIO(data[header.end :]), header.end, *columns))
    assert [(row.image, row.image_id) for row in found] == expected
    for index, row in enumerate(found):
        again = csv_rows(io.BytesIO(data[row.offset : row.end]), row.offset, *columns)
        assert [*again] == [found[index]]


def test_json_of_any_kind_is_a_row(photos: Path) -> None:
    """None of it ends the run, and each is a row of its own."""
    lines = [
        '{"url": "1.jpg", "image_id": 1e400}',
        '{"url": "\\ud800.jpg"}',
        '{"url": {"a": "1.jpg"}}',
        '{"url": 5, "image_id": {"a": 1}}',
        "[" * 200_000,
        "nonsense",
        "[1]",
        "null",
        '{"image_id": "' + "x" * 2_000_000 + '"}',
        '{"url": "3.jpg", "image_id": true}',
    ]
    images, reasons = read_all(opened(photos / "l.jsonl", "\n".join(lines)))
    assert images == {"inf": image("1.jpg"), "True": image("3.jpg")}
    assert len(reasons) == 8
    assert list(reasons.values()).count("null") == 5
    assert reasons["\\ud800.jpg"] == "missing"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "l.csv",
            "a,b\n1,2\n",
            r"l.csv: no column seems to hold .*#image=NAME. Columns: a \(string\)",
        ),
        ("l.tsv.gz", "1\thttp//a\n", r"l.tsv.gz: no column seems .*Columns: 1 \(string\), http//a"),
        ("l.csv", "url,uri\n", r"any of url, uri could be the images"),
        ("l.csv#id=c", "url,b\n", r"there is no column c; the columns are url, b"),
        ("l.csv#image=c", "url,b\n", r"there is no column c"),
        ("l.csv", "url,url\n", r"2 columns have the name url"),
        ("l.csv", "", r"l.csv: it is empty"),
        ("l.jsonl", '{"a": 1}', r"no column seems to hold .* a \(int64\)"),
        ("l.json", '{\n"images": []}', r"neither tar, .*begins with b'{"),
        ("l.jsonl", '{\n"images": []}', r"l.jsonl: .*first line is no object of JSON"),
        ("l.jsonl#image=a", '{"a": [1, "b"]}', r"the column a holds null, not images"),
    ],
)
def test_what_is_no_table_says_why(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = name.partition("#")[0]
    data = text.encode()
    (tmp_path / file).write_bytes(gzip.compress(data) if file.endswith(".gz") else data)
    with pytest.raises(SourceError, match=message):
        open_source(f"{tmp_path}/{name}")


def test_a_table_that_was_changed_is_refused(photos: Path) -> None:
    source = opened(photos / "l.csv", "url\n1.jpg\n3.jpg\n")
    entries = [item for item in source.entries(1) if isinstance(item, Entry)]
    (photos / "l.csv").write_text("link\n1.jpg\n")
    for entry in entries:
        with pytest.raises(SourceError, match=r"l.csv has changed since"):
            list(source.read(entry))
