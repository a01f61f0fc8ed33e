"""What web servers do to those who ask them for a million images."""

import gzip
import http.server
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from iem_batch.errors import StorageError
from iem_batch.sources import RawImage, WebSettings, download, open_source
from tests.serving import serving
from tests.sources.test_tar import image, read_all

pytestmark = pytest.mark.usefixtures("no_pauses")

Behaviour = Callable[["Handler"], None]


class Server(http.server.ThreadingHTTPServer):
    """Does what is written down for a path."""

    request_queue_size = 64
    behaviours: dict[str, Behaviour]
    requests: list[tuple[str, dict[str, str]]]
    ended: threading.Event

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def count(self, path: str) -> int:
        return [asked for asked, _ in self.requests].count(path)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        behaviour = self.server.behaviours.get(self.path, answer(404))
        try:
            behaviour(self)
        except OSError:  # the client has gone
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


def answer(status: int, data: bytes = b"", **headers: str) -> Behaviour:
    def behave(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in {"Content_Length": str(len(data)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(data)

    return behave


def hang(handler: Handler) -> None:
    handler.server.ended.wait()


def drip(handler: Handler) -> None:
    """A byte now and then: never silent, never done."""
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.ended.wait(0.05):
        handler.wfile.write(b"\xff")


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.ended.is_set():
        handler.wfile.write(bytes(1 << 16))


def cut(handler: Handler) -> None:
    answer(200, b"half", Content_Length="8")(handler)
    handler.close_connection = True


def first(*behaviours: Behaviour) -> Behaviour:
    """One after another; the last one for ever."""
    left = list(behaviours)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server(("127.0.0.1", 0), Handler)
    made.behaviours, made.requests, made.ended = {}, [], threading.Event()
    with serving(made):
        yield made
        made.ended.set()


Read = Callable[..., tuple[dict[str, bytes], dict[str, str]]]


@pytest.fixture
def read(tmp_path: Path, server: Server) -> Read:
    """Reads paths of the server; gives images and reasons by path."""

    def read(*paths: str, **settings: object) -> tuple[dict[str, bytes], dict[str, str]]:
        (tmp_path / "list").write_text("\n".join(map(server.url, paths)))
        found = read_all(open_source(f"{tmp_path}/list", WebSettings(**settings)))
        start = len(server.url(""))
        images, reasons = ({url[start:]: value for url, value in some.items()} for some in found)
        return images, reasons

    return read


GOOD = answer(200, image("good"))


@pytest.mark.parametrize(("behaviour", "reason"), [(hang, "unreachable"), (drip, "busy")])
def test_server_that_never_ends_costs_its_image(
    server: Server, read: Read, behaviour: Behaviour, reason: str
) -> None:
    server.behaviours = {"/a": GOOD, "/slow": behaviour, "/b": GOOD}
    images, reasons = read("/a", "/slow", "/b", timeout_s=6.0)
    assert list(images) == ["/a", "/b"]
    assert reasons == {"/slow": reason}
    assert server.count("/slow") <= 3


def test_host_that_never_answers_is_given_up(
    server: Server, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a list of a dead host takes an hour a thousand; another host is not affected."""
    monkeypatch.setattr(download, "MAX_SILENT", 20)
    paths = [f"/{n}" for n in range(200)]
    server.behaviours = {"/ok": GOOD, **dict.fromkeys(paths, hang)}
    images, reasons = read("/ok", *paths, timeout_s=9.0)
    assert list(images) == ["/ok"]
    assert reasons == dict.fromkeys(paths, "unreachable")
    assert len(server.requests) < 60


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (endless, "too_large"),
        (answer(200, b"\0" * 1_000_001), "too_large"),
        (answer(200, gzip.compress(bytes(50_000_000)) * 3, Content_Encoding="gzip"), "too_large"),
        (answer(200, zlib.compress(bytes(2_000_000)), Content_Encoding="deflate"), "too_large"),
        (answer(200, b"not packed", Content_Encoding="gzip"), "unreadable"),
        (answer(200, b"?", Content_Encoding="br"), "unreadable"),
        (answer(403), "refused"),
        (answer(451), "refused"),
        (answer(301), "refused"),
        (answer(410), "missing"),
        (answer(503), "busy"),
        (cut, "busy"),
        (answer(302, Location="/loop"), "refused"),
    ],
)
def test_answers_that_are_no_image(
    server: Server, read: Read, behaviour: Behaviour, reason: str
) -> None:
    """Each is the row of its URL; what is too large is not taken, nor unpacked."""
    server.behaviours = {"/loop": behaviour, "/a": GOOD}
    assert read("/loop", "/a", max_mb=1.0) == ({"/a": image("good")}, {"/loop": reason})


def test_packed_images_are_unpacked(server: Server, read: Read) -> None:
    """Of a server that packs whatever it is asked for; gzip may have several members."""
    half = image("good")[:100], image("good")[100:]
    packed = b"".join(map(gzip.compress, half))
    server.behaviours = {
        "/gzip": answer(200, packed, Content_Encoding="gzip"),
        "/deflate": answer(200, zlib.compress(image("good")), Content_Encoding="deflate"),
        "/plain": answer(200, image("good"), Content_Encoding="identity"),
    }
    images, reasons = read(*server.behaviours)
    assert (images, reasons) == (dict.fromkeys(server.behaviours, image("good")), {})
    assert {asked["accept-encoding"] for _, asked in server.requests} == {"identity"}


@pytest.mark.parametrize("when", ["1", lambda: formatdate(time.time() + 1.5, usegmt=True)])
def test_server_that_says_when_to_come_back(
    server: Server, read: Read, when: str | Callable[[], str]
) -> None:
    """Then, and not before, is each URL of the host asked again."""
    opens = time.monotonic() + 0.5
    after = when if isinstance(when, str) else when()

    def limited(handler: Handler) -> None:
        busy = time.monotonic() < opens
        (answer(429, Retry_After=after) if busy else GOOD)(handler)

    server.behaviours = {f"/{n}": limited for n in range(20)}
    images, reasons = read(*server.behaviours, max_attempts=2)
    assert (list(images), reasons) == (list(server.behaviours), {})


@pytest.mark.parametrize(
    "after",
    ["3600", pytest.param(formatdate(time.time() + 1e6), id="a date"), "nonsense", "-1", "9" * 400],
)
def test_server_that_wants_to_be_asked_much_later(server: Server, read: Read, after: str) -> None:
    server.behaviours = {"/a": answer(503, Retry_After=after)}
    assert read("/a", timeout_s=5.0) == ({}, {"/a": "busy"})


def test_answers_are_no_failure_of_the_network(server: Server, read: Read) -> None:
    """Hundreds of forbidden images are as many rows, not a shard that can never be done."""
    paths = [f"/{n}" for n in range(150)]
    server.behaviours = dict.fromkeys(paths, answer(403))
    assert read(*paths) == ({}, dict.fromkeys(paths, "refused"))
    server.behaviours = dict.fromkeys(paths, answer(500))
    assert read(*paths) == ({}, dict.fromkeys(paths, "busy"))


def test_dead_host_before_a_live_one(tmp_path: Path, server: Server) -> None:
    """Many lost URLs in a row are no lost network, if another host answers."""
    server.behaviours = {"/a": answer(404)}
    dead = [f"http://127.0.0.1:9/{n}" for n in range(100)]
    (tmp_path / "list").write_text("\n".join([*dead, "", server.url("/a")]))
    images, reasons = read_all(open_source(f"{tmp_path}/list"))
    assert images == {}
    assert reasons == {**dict.fromkeys(dead, "unreachable"), server.url("/a"): "missing"}
    (tmp_path / "list").write_text("\n".join([*dead, "no url"]))
    with pytest.raises(StorageError, match="none of 100 URLs could be reached"):
        read_all(open_source(f"{tmp_path}/list"))


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("/a%2Cb%28c%29.jpg", "/a%2Cb%28c%29.jpg"),
        ("/s.jpg?sig=a%2Fb%2bc&x=%41", "/s.jpg?sig=a%2Fb%2bc&x=%41"),
        ("/a//b/./c/../d", "/a//b/./c/../d"),
        ('/a b|c"d.jpg', "/a%20b%7Cc%22d.jpg"),
        ("/ä/100%.jpg", "/%C3%A4/100%.jpg"),
        ("/a+b;c=d,e@f:g!$&'()*~.jpg", "/a+b;c=d,e@f:g!$&'()*~.jpg"),
        ("/a.jpg#part", "/a.jpg"),
        ("?q=1", "/?q=1"),
    ],
)
def test_urls_are_sent_as_written(server: Server, read: Read, written: str, sent: str) -> None:
    """A signature is of the URL as it is written; only what no URL may hold is escaped."""
    server.behaviours = {sent: GOOD}
    assert read(written) == ({written: image("good")}, {})


def test_redirect_is_followed_as_written(server: Server, read: Read) -> None:
    server.behaviours = {"/a": answer(302, Location="/b%2Fc?s=%2C"), "/b%2Fc?s=%2C": GOOD}
    assert read("/a") == ({"/a": image("good")}, {})


@pytest.mark.parametrize(
    "url", ["http://[::1/a.jpg", "http://127.0.0.1:99999/a.jpg", "https:///a.jpg", "http://a..b/é"]
)
def test_urls_that_nobody_can_ask(tmp_path: Path, url: str) -> None:
    (tmp_path / "list").write_text(url)
    images, reasons = read_all(open_source(f"{tmp_path}/list#format=urls"))
    assert (images, list(reasons)) == ({}, [url])


def test_fields_of_a_line(tmp_path: Path, server: Server) -> None:
    """Captions beside URLs, on either side, as the lists of the web have them."""
    server.behaviours = {"/a": GOOD, "/b": GOOD}
    lines = [f"a caption\t{server.url('/a')}", f"{server.url('/b')}\tanother\t7", "no\turl"]
    (tmp_path / "list.tsv").write_text("\r\n".join(lines))
    images, reasons = read_all(open_source(f"{tmp_path}/list.tsv"), 1)
    assert list(images) == [server.url("/a"), server.url("/b")]
    assert reasons == {"no\turl": "not_a_url"}


def test_who_asks(server: Server, read: Read) -> None:
    server.behaviours = {"/a": GOOD}
    read("/a")
    read("/a", user_agent="lab (mail@example.org)")
    agents = [asked["user-agent"] for _, asked in server.requests]
    assert agents == ["iem-batch", "lab (mail@example.org)"]


@pytest.mark.parametrize(
    ("tags", "is_used"),
    [
        (["noai"], False),
        (["noindex, NoImageAI"], False),
        (["noindex", "otherbot: noai"], False),
        (["noindex, nosnippet"], True),
        (["max-image-preview:large"], True),
    ],
)
def test_owners_who_do_not_want_it(
    server: Server, read: Read, tags: list[str], is_used: bool
) -> None:
    def tagged(handler: Handler) -> None:
        handler.send_response(200)
        for tag in tags:
            handler.send_header("X-Robots-Tag", tag)
        handler.send_header("Content-Length", str(len(image("good"))))
        handler.end_headers()
        handler.wfile.write(image("good"))

    server.behaviours = {"/a": tagged}
    images, reasons = read("/a")
    assert (list(images), reasons) == ((["/a"], {}) if is_used else ([], {"/a": "opted_out"}))
    assert list(read("/a", use_opted_out=True)[0]) == ["/a"]


def test_proxy_of_the_environment(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server stands for a proxy, which is asked by whole URLs."""
    monkeypatch.setenv("http_proxy", server.url(""))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    url = "http://photos.invalid/a%2C.jpg"
    server.behaviours = {url: GOOD, "/direct": GOOD}
    (tmp_path / "list").write_text(f"{url}\n{server.url('/direct')}")
    images, reasons = read_all(open_source(f"{tmp_path}/list"))
    assert (list(images), reasons) == ([url, server.url("/direct")], {})


def test_local_files_of_a_list_are_bounded(tmp_path: Path) -> None:
    (tmp_path / "large.jpg").write_bytes(bytes(2_000_000))
    (tmp_path / "small.jpg").write_bytes(image("small"))
    paths = [f"{tmp_path}/large.jpg", f"file://{tmp_path}/small.jpg", "/dev/zero"]
    (tmp_path / "list").write_text("\n".join(paths))
    [entry] = open_source(f"{tmp_path}/list").entries()
    found = list(open_source(f"{tmp_path}/list", WebSettings(max_mb=1.0)).read(entry))
    assert isinstance(found[1], RawImage)
    assert [getattr(item, "reason", "") for item in found] == ["too_large", "", "unreadable"]
