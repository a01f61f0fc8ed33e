import http.server
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from iem_batch.errors import CredentialsError, StorageError
from iem_batch.sources import WebSettings, open_source
from iem_batch.sources.tar import TarSource
from iem_batch.storage.folder import Folder
from tests import s3
from tests.serving import serving
from tests.sources.test_tar import image, read_all, tar_of

pytestmark = pytest.mark.usefixtures("no_pauses")


class Server(http.server.ThreadingHTTPServer):
    """Answers by what the path says, with ranges."""

    files: dict[str, bytes]
    requests: list[str]


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path
        self.server.requests.append(path)
        status = 200 if path in self.server.files else 404
        if path.startswith("/503-once") and self.server.requests.count(path) == 1:
            status = 503
        if path.startswith("/always-"):
            status = int(path.removeprefix("/always-")[:3])
        data = self.server.files.get(path, b"") if status == 200 else b""
        span = self.headers.get("Range", "").removeprefix("bytes=")
        size = len(data)
        if data and span and "/no-ranges" not in path:
            first, last = span.split("-")
            data, status = data[int(first) : int(last) + 1], 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {span}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.files, made.requests = {}, []
    with serving(made):
        yield made


def url(server: Server, path: str) -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


def write_list(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines))
    return str(path)


def test_good_and_bad_lines(tmp_path: Path, server: Server) -> None:
    """Catches a dead link that costs a neighbour, and a busy server that costs an image."""
    (tmp_path / "a.jpg").write_bytes(image("local"))
    MemoryFileSystem().pipe_file("/bucket-u/x.jpg", image("x"))
    server.files = {path: image(path) for path in ("/1.jpg", "/2.jpg?a=b#c"[:10], "/503-once")}
    lines = [
        "# a comment",
        "",
        url(server, "/1.jpg"),
        "   ",
        url(server, "/gone.jpg"),
        url(server, "/503-once"),
        url(server, "/always-500"),
        url(server, "/always-403"),
        "http://127.0.0.1:9/refused.jpg",
        "http://no-such-host.invalid/x.jpg",
        f"{tmp_path}/a.jpg",
        f"{tmp_path}/missing.jpg",
        "not a url",
        "ftp://example.org/x.jpg",
        url(server, "/1.jpg"),
        url(server, "/2.jpg?a=b"),
    ]
    source = open_source(write_list(tmp_path / "list", *lines))
    for max_images in (3, 100):
        server.requests.clear()
        images, reasons = read_all(source, max_images)
        assert images == {
            lines[2]: image("/1.jpg"),
            lines[5]: image("/503-once"),
            lines[10]: image("local"),
            lines[15]: image("/2.jpg?a=b"),
        }
        assert reasons == {
            lines[4]: "missing",
            lines[6]: "busy",
            lines[7]: "refused",
            lines[8]: "unreachable",
            lines[9]: "unreachable",
            lines[11]: "missing",
            lines[12]: "not_a_url",
            lines[13]: "not_a_url",
            lines[2]: "duplicate",
        }
        assert server.requests.count("/always-500") == 3
        assert server.requests.count("/always-403") == 1


def test_lost_network_is_no_quarantine(tmp_path: Path) -> None:
    """A million rows because a cable was out."""
    lines = [f"http://127.0.0.1:9/{index}.jpg" for index in range(20)]
    source = open_source(write_list(tmp_path / "list", *lines))
    with pytest.raises(StorageError, match="none of 20 URLs could be reached: cannot read http"):
        read_all(source)


def test_remote_list_may_not_name_local_files(tmp_path: Path) -> None:
    """A list from the web must not read this machine's files."""
    (tmp_path / "a.jpg").write_bytes(image("a"))
    lines = f"https://example.org/#\n{tmp_path}/a.jpg\nfile://{tmp_path}/a.jpg\n".encode()
    MemoryFileSystem().pipe_file("/bucket-v/list", lines)
    source = open_source("memory://bucket-v/list")
    [entry] = source.entries()
    wanted = {f"{tmp_path}/a.jpg", f"file://{tmp_path}/a.jpg"}
    assert [item.reason for item in source.read(entry, wanted)] == ["not_a_url"] * 2


def test_wanted_urls_only(tmp_path: Path, server: Server) -> None:
    server.files = {"/1.jpg": image("1"), "/2.jpg": image("2")}
    urls = [url(server, "/1.jpg"), url(server, "/2.jpg")]
    source = open_source(write_list(tmp_path / "list", *urls))
    [entry] = source.entries()
    assert [item.image_id for item in source.read(entry, {urls[1]})] == [urls[1]]
    assert server.requests == ["/2.jpg"]


def test_column_of_urls(tmp_path: Path, server: Server) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    server.files = {"/1.jpg": image("1"), "/2.jpg": image("2")}
    one, two = url(server, "/1.jpg"), url(server, "/2.jpg")
    table = pa.table({"url": [one, None, two, one], "caption": ["a", "b", "c", "d"]})
    pq.write_table(table, tmp_path / "x")
    images, reasons = read_all(open_source(str(tmp_path / "x")))
    assert images == {one: image("1"), two: image("2")}
    assert reasons == {"1": "null", one: "duplicate"}
    named, _ = read_all(open_source(f"{tmp_path}/x#id=caption"))
    assert named == {"a": image("1"), "c": image("2"), "d": image("1")}


@pytest.mark.parametrize("name", ["/x.tar", "/no-ranges.tar", "/x.tar?signature=abc"])
def test_archive_on_a_web_server(server: Server, name: str) -> None:
    """Also where the server knows no ranges, and where the URL has a query."""
    server.files = {name: tar_of("a.jpg", "b.jpg")}
    source = open_source(url(server, name))
    assert isinstance(source, TarSource)
    assert open_source(source.url) == source
    assert read_all(source, 1) == ({"a.jpg": image("a.jpg"), "b.jpg": image("b.jpg")}, {})


def test_objects_of_a_list(
    tmp_path: Path, s3_server: str, changed_environment: Callable[..., None]
) -> None:
    """Wrong credentials are no quarantined images; one object that is not ours is."""
    own, other = s3.new_bucket(readable=True), s3.new_bucket()
    for bucket in (own, other):
        Folder(f"s3://{bucket}").write_bytes("a b%20.jpg", image("a"))
    Folder(f"s3://{own}").write_bytes("large.jpg", bytes(1_000_001))
    Folder(f"s3://{own}").write_bytes("empty.jpg", b"")
    urls = [f"s3://{own}/{name}.jpg" for name in ("a b%20", "large", "gone", "empty")]
    urls.append(f"s3://{other}/a b%20.jpg")
    path = write_list(tmp_path / "list", *urls)
    source = open_source(path, WebSettings(max_mb=1.0))
    changed_environment(AWS_ACCESS_KEY_ID="test:reader", AWS_SECRET_ACCESS_KEY="reading")
    images, reasons = read_all(source)
    assert images == {urls[0]: image("a"), urls[3]: b""}
    assert reasons == {urls[1]: "too_large", urls[2]: "missing", urls[4]: "refused"}
    changed_environment(AWS_SECRET_ACCESS_KEY="wrong")
    with pytest.raises(CredentialsError, match="access denied .*; check AWS_ACCESS_KEY_ID"):
        read_all(source)
