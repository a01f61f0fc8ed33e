import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from iem_batch.errors import CredentialsError, StorageError
from iem_batch.storage import object_store, s3_reads
from iem_batch.storage.folder import Folder, FoundFile
from iem_batch.storage.object_store import PART_BYTES, parse, redacted
from tests import s3
from tests.faulty_proxy import Faults, every, faulty_proxy
from tests.waits import hurried, once_said

__all__ = ["hurried"]

MB = 1 << 20


@pytest.fixture(autouse=True, params=["obstore", "s3fs"])
def client(request, monkeypatch) -> str:
    """What reads: obstore, also in the main thread, or s3fs, as where obstore is missing."""
    if request.param == "obstore":
        pytest.importorskip("obstore")
        monkeypatch.setattr(s3_reads, "_must_be_interruptible", lambda: False)
    else:
        monkeypatch.setattr(s3_reads, "_store", lambda *_: None)
    return request.param


@contextmanager
def through_proxy(url: str, faults: Faults) -> Iterator[Folder]:
    """The folder as it is reached through a proxy that fails on purpose."""
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], faults) as endpoint:
        yield Folder(f"{url}?endpoint_url={endpoint}")


def bucket_name(url: str) -> str:
    return url.removeprefix("s3://")


# --- URLs ---


@pytest.mark.parametrize(
    ("url", "path", "options"),
    [
        ("s3://bucket", "bucket", ()),
        ("s3://bucket/a/b/", "bucket/a/b", ()),
        ("s3://bucket/a?anon=true", "bucket/a", (("anon", "true"),)),
        (
            "s3://bucket/a/?region=eu-west-1&endpoint_url=http://host:9000",
            "bucket/a",
            (("endpoint_url", "http://host:9000"), ("region", "eu-west-1")),
        ),
        ("s3://bucket/what?/a=b", "bucket/what?/a=b", ()),
        ("s3://bucket/why?", "bucket/why?", ()),
        ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/a", None, ()),
        ("abfs://container@account.dfs.core.windows.net/a", None, ()),
        ("s3://bucket/me@home/a:b", "bucket/me@home/a:b", ()),
    ],
)
def test_parts_of_a_url(url, path, options):
    location = parse(url)
    assert location.path == (path or url.partition("://")[2])
    assert location.options == options
    assert parse(location.url_with_options) == location


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://AKIA123:Se/cret+9@bucket/a", "a s3:// URL holds credentials; take them out and set"),
        ("s3://AKIA123:Secret@bucket/a", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_P"),
        ("s3://Secret@bucket", "a s3:// URL holds credentials"),
        ("s3://bucket/a?endpoint_url=http://u:Secret@host", "a s3:// URL holds credentials"),
        ("s3://b/a?X-Amz-Signature=Secret", "s3://b/a has the option X-Amz-Signature"),
        ("s3://b/a?token=Secret", "s3://b/a has the option token behind its '?'; use anon, endpo"),
        ("s3://b/a?anon=yes", "s3://b/a: anon is 'yes'; use true or false"),
        ("s3://b/a?requester_pays=", "s3://b/a: requester_pays is ''; use true or false"),
        ("gs://b/a?profile=x", "gs://b/a has the option profile behind its '?'; use anon"),
        ("ftp://u:Secret@host/x", "ftp://...@host/x: ftp:// is not supported"),
        ("s3://?anon=true", "s3:// names no bucket"),
    ],
)
def test_url_that_cannot_be_used(url, message):
    """A secret on the command line would be in the log, in the plan and in every message."""
    with pytest.raises(StorageError) as caught:
        parse(url)
    assert message in str(caught.value)
    assert "ecret" not in str(caught.value).replace("AWS_SECRET", "")


def test_options_are_no_part_of_the_names_inside():
    folder = Folder("s3://bucket/run/?region=x&anon=true")
    assert folder.url == "s3://bucket/run?anon=true&region=x"
    assert folder.url_of("a") == "s3://bucket/run/a"
    assert folder.url_of("") == "s3://bucket/run"


def test_redacted():
    text = "GET https://me:geheim@host/a?X-Amz-Signature=abc failed: 's3://k:s@b/x'"
    assert redacted(text) == "GET https://...@host/a?... failed: 's3://...@b/x'"


# --- what only an object store has ---


def test_bucket_is_a_folder(s3_bucket):
    folder = Folder(s3_bucket)
    assert folder.kind() == "folder"
    assert folder.is_empty()
    folder.write_bytes("x", b"1")
    assert not folder.is_empty()
    assert folder.names("") == ["x"]
    folder.delete("x")
    assert folder.is_empty()
    assert folder.kind() == "folder"  # the bucket itself is kept


def test_object_that_stands_for_an_empty_folder(s3_bucket):
    """Consoles make these; they are no images, and a folder of them is empty."""
    s3.client().put_object(Bucket=bucket_name(s3_bucket), Key="p/", Body=b"")
    s3.client().put_object(Bucket=bucket_name(s3_bucket), Key="p/q/", Body=b"")
    folder = Folder(f"{s3_bucket}/p")
    assert folder.kind() == "folder"
    assert folder.names("") == []
    assert list(folder.walk()) == []
    assert Folder(f"{s3_bucket}/p/q").is_empty()


def test_more_keys_than_a_page_holds(s3_bucket):
    """A store gives so many keys in an answer and no more; this one 25."""
    folder = Folder(f"{s3_bucket}/run")
    names = [f"{number:02d}" for number in range(60)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: folder.write_bytes(f"p/{name}", b""), names))
    folder.write_bytes("pq", b"1")
    assert folder.names("p") == names
    assert [found.name for found in folder.walk()] == [f"p/{name}" for name in names] + ["pq"]
    folder.delete(*(f"p/{name}" for name in names))
    assert list(folder.walk()) == [FoundFile("pq", 1)]


def test_reading_takes_one_request(s3_bucket):
    """s3fs asks for the size first, which doubles the requests for millions of images."""
    Folder(s3_bucket).write_bytes("x", b"1")
    faults = Faults(lambda *request: None)
    with through_proxy(s3_bucket, faults) as folder:
        assert folder.read_bytes("x") == b"1"
    assert [request.method for request in faults.seen] == ["GET"]


def test_large_object_is_written_in_parts(s3_bucket):
    """The ETag of an object put together from three parts ends in -3; whole ones have none."""
    data = os.urandom(2 * PART_BYTES + 1)
    Folder(s3_bucket).write_bytes("large", data)
    Folder(s3_bucket).write_bytes("small", data[: 6 * MB])
    tags = {
        item["Key"]: item["ETag"].strip('"')
        for item in s3.client().list_objects_v2(Bucket=bucket_name(s3_bucket))["Contents"]
    }
    assert tags["large"].endswith("-3")
    assert "-" not in tags["small"]
    assert Folder(s3_bucket).read_bytes("large") == data
    assert (
        Folder(s3_bucket).read_range("large", PART_BYTES - 2, PART_BYTES + 2)
        == (data[PART_BYTES - 2 : PART_BYTES + 2])
    )
    assert Folder(s3_bucket).size("small") == 6 * MB


@pytest.mark.parametrize("fault", ["denied", None])
def test_object_in_parts_is_invisible_until_complete(s3_bucket, fault):
    """And what a failure leaves behind is taken away: parts cost money and nobody sees them."""
    Folder(s3_bucket).write_bytes("x", b"old")
    during = []

    def choose(number: int, method: str, path: str) -> str | None:
        if "partNumber=3" in path:
            during.append(Folder(s3_bucket).read_bytes("x"))
            return fault
        return None

    data = bytes(2 * PART_BYTES + 1)
    with through_proxy(s3_bucket, Faults(choose)) as folder:
        if fault is None:
            folder.write_bytes("x", data)
        else:
            with pytest.raises(StorageError, match="cannot write s3://bucket.*/x: access denied"):
                folder.write_bytes("x", data)
    assert during == [b"old"]
    assert Folder(s3_bucket).read_bytes("x") == (data if fault is None else b"old")
    uploads = s3.client().list_multipart_uploads(Bucket=bucket_name(s3_bucket))
    assert "Uploads" not in uploads


def test_reader_never_sees_half_an_object(s3_bucket):
    """Two writers of one name and a reader: each read gives one of the two contents, whole."""
    contents = [bytes([value]) * 300_000 for value in (1, 2)]
    folder = Folder(s3_bucket)
    folder.write_bytes("x", contents[0])
    writers = [
        threading.Thread(target=lambda data=data: [folder.write_bytes("x", data) for _ in range(8)])
        for data in contents
    ]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert folder.read_bytes("x") in contents
        assert folder.names("") == ["x"]
    for writer in writers:
        writer.join()


# --- faults ---


def test_faults_are_survived(s3_bucket):
    """A store that is busy, connections cut in mid-object or before the answer: nothing is lost."""
    direct = Folder(s3_bucket)
    contents = {f"{number:02d}": os.urandom(40_000) for number in range(20)}
    faults = Faults(every(5, "busy", "cut", "lost"))
    with through_proxy(s3_bucket, faults) as folder:
        for name, data in contents.items():
            folder.write_bytes(name, data)
            assert folder.read_bytes(name) == data
        assert folder.names("") == sorted(contents)
        assert [found.num_bytes for found in folder.walk()] == [40_000] * 20
        with folder.open("00") as file:
            assert file.read() == contents["00"]
    assert {name: direct.read_bytes(name) for name in direct.names("")} == contents
    assert min(faults.count("busy"), faults.count("cut"), faults.count("lost")) >= 2


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_silent_store_is_asked_again(s3_bucket, changed_environment, monkeypatch, method):
    """Both clients wait 15 s for the first byte; a second here."""
    import s3fs

    monkeypatch.setattr(s3fs.S3FileSystem, "read_timeout", 1)
    monkeypatch.setitem(s3_reads.TIMEOUTS, "read_timeout", "1s")
    changed_environment()
    Folder(s3_bucket).write_bytes("x", b"1")
    faults = Faults(lambda number, *_: "slow" if number == 0 else None, delay_s=1.5)
    with through_proxy(s3_bucket, faults) as folder:
        if method == "PUT":
            folder.write_bytes("x", b"2")
        else:
            assert folder.read_bytes("x") == b"1"
    assert [(request.method, request.fault) for request in faults.seen] == [
        (method, "slow"),
        (method, None),
    ]


def test_a_person_is_told_of_a_store_that_does_not_answer(s3_bucket, hurried, capsys):
    """It says 503 until that has been said, and to the first request; the client asks again."""
    busy = True

    def answer() -> None:
        nonlocal busy
        busy = False

    Folder(s3_bucket).write_bytes("a/x", b"1")
    faults = Faults(lambda number, method, path: "busy" if busy or number == 0 else None)
    with through_proxy(s3_bucket, faults) as folder, once_said("storage", answer):
        assert folder.read_bytes("a/x") == b"1"
    line = f"waiting for the answer to: read {s3_bucket}/a/x ("
    assert line in capsys.readouterr().err
    assert faults.count("busy") > 0


def test_store_that_stays_busy_is_given_up(s3_bucket, changed_environment):
    """After five times AWS_MAX_ATTEMPTS."""
    changed_environment(AWS_MAX_ATTEMPTS="1")
    faults = Faults(every(1, "busy"))
    with (
        through_proxy(s3_bucket, faults) as folder,
        pytest.raises(StorageError, match=r"cannot read s3://bucket\S+/x: .*reduce your request"),
    ):
        folder.read_bytes("x")
    assert len(faults.seen) == 5


# --- what cannot work ---


def only_line(caught: pytest.ExceptionInfo[StorageError]) -> str:
    message = str(caught.value)
    assert "\n" not in message
    for secret in ("writing", "wrong-secret"):
        assert secret not in message
    return message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"AWS_SECRET_ACCESS_KEY": "wrong-secret"},
            "access denied (The request signature we calculated does not match",
        ),
        (
            {"AWS_ACCESS_KEY_ID": "test:nobody"},
            "); check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
        ),
    ],
)
@pytest.mark.parametrize("act", [lambda f: f.read_bytes("x"), lambda f: f.write_bytes("x", b"")])
def test_wrong_credentials(s3_bucket, changed_environment, change, message, act):
    changed_environment(**change)
    with pytest.raises(StorageError) as caught:
        act(Folder(s3_bucket))
    assert message in only_line(caught)


def test_looking_with_a_wrong_secret_says_more_than_forbidden(s3_bucket, changed_environment):
    """The answer to a HEAD has no text; a missing object must not be taken from it either."""
    changed_environment(AWS_SECRET_ACCESS_KEY="wrong-secret")
    with pytest.raises(StorageError) as caught:
        Folder(f"{s3_bucket}/photos").kind()
    assert "cannot look for s3://" in only_line(caught)
    assert "access denied (Forbidden); check AWS_ACCESS_KEY_ID" in only_line(caught)


def test_missing_bucket(s3_server):
    folder = Folder("s3://no-such-bucket/run")
    assert folder.kind() == "absent"
    assert folder.names("") == []
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("x")
    with pytest.raises(StorageError) as caught:
        folder.write_bytes("x", b"1")
    assert only_line(caught) == (
        "cannot write s3://no-such-bucket/run/x: there is no such bucket: "
        "The specified bucket does not exist."
    )


def test_no_credentials(s3_bucket, changed_environment):
    """Clients ask the cloud's own address last, which answers nowhere else: here it never does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        changed_environment(
            AWS_ACCESS_KEY_ID=None,
            AWS_SECRET_ACCESS_KEY=None,
            AWS_EC2_METADATA_DISABLED=None,
            AWS_EC2_METADATA_SERVICE_ENDPOINT=address,
        )
        with pytest.raises(StorageError) as caught:
            Folder(s3_bucket).read_bytes("x")
    assert only_line(caught).endswith(
        "/x: Unable to locate credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
        "AWS_PROFILE, or add ?anon=true to the URL of a public bucket"
    )


def test_endpoint_where_nobody_listens(s3_bucket, changed_environment):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{closed.getsockname()[1]}"
        changed_environment(AWS_ENDPOINT_URL=endpoint, AWS_MAX_ATTEMPTS="1")
        with pytest.raises(StorageError) as caught:
            Folder(s3_bucket).read_bytes("x")
    assert f'Could not connect to the endpoint URL: "{endpoint}' in only_line(caught)
    assert "check AWS_ENDPOINT_URL" in only_line(caught)


def test_reader_may_not_write(s3_server, changed_environment):
    bucket = s3.new_bucket(readable=True)
    folder = Folder(f"s3://{bucket}")
    folder.write_bytes("a/x", b"1")
    changed_environment(AWS_ACCESS_KEY_ID="test:reader", AWS_SECRET_ACCESS_KEY="reading")
    assert folder.read_bytes("a/x") == b"1"
    with pytest.raises(StorageError, match=r"cannot write s3://.*/a/x: access denied \(Access Den"):
        folder.write_bytes("a/x", b"2")
    with pytest.raises(StorageError, match="cannot delete s3://.*/a: access denied"):
        folder.delete("a")
    assert folder.read_bytes("a/x") == b"1"


# --- where the client looks ---


def test_anonymous_requests_are_not_signed(s3_bucket):
    faults = Faults(every(1, "denied"))
    with faulty_proxy(os.environ["AWS_ENDPOINT_URL"], faults) as endpoint:
        for options in ("anon=true&", ""):
            with pytest.raises(StorageError):
                Folder(f"{s3_bucket}?{options}endpoint_url={endpoint}").read_bytes("x")
    assert [bool(request.authorization) for request in faults.seen] == [False, True]


def test_profile_and_endpoint_of_a_url(s3_bucket, changed_environment, tmp_path):
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    config = tmp_path / "config"
    config.write_text(
        "[profile lab]\naws_access_key_id = test:writer\naws_secret_access_key = writing\n"
    )
    changed_environment(
        AWS_ACCESS_KEY_ID=None,
        AWS_SECRET_ACCESS_KEY=None,
        AWS_ENDPOINT_URL=None,
        AWS_CONFIG_FILE=str(config),
    )
    folder = Folder(f"{s3_bucket}?profile=lab&endpoint_url={endpoint}")
    folder.write_bytes("x", b"1")
    assert folder.read_bytes("x") == b"1"


def test_region_of_a_url(s3_bucket):
    """It is part of what is signed."""
    faults = Faults(every(1, "denied"))
    with (
        faulty_proxy(os.environ["AWS_ENDPOINT_URL"], faults) as endpoint,
        pytest.raises(StorageError),
    ):
        Folder(f"{s3_bucket}?region=eu-west-1&endpoint_url={endpoint}").read_bytes("x")
    assert "/eu-west-1/s3/aws4_request" in faults.seen[0].authorization


def test_credentials_are_read_again_when_they_are_refused(s3_bucket, changed_environment, tmp_path):
    """A token that is renewed in a file during a run: the next attempt has the new one."""
    config = tmp_path / "config"
    profile = "[profile lab]\naws_access_key_id = test:writer\naws_secret_access_key = "
    changed_environment(
        AWS_ACCESS_KEY_ID=None, AWS_SECRET_ACCESS_KEY=None, AWS_CONFIG_FILE=str(config)
    )
    folder = Folder(f"{s3_bucket}?profile=lab")
    config.write_text(f"{profile}writing\n")
    folder.write_bytes("x", b"1")
    object_store.forget()
    config.write_text(f"{profile}expired\n")
    with pytest.raises(CredentialsError, match="signature we calculated does not match"):
        folder.read_bytes("x")
    config.write_text(f"{profile}writing\n")
    assert folder.read_bytes("x") == b"1"


PAYER, KEY = "x-amz-request-payer", "x-amz-server-side-encryption-aws-kms-key-id"


@pytest.mark.parametrize(
    ("option", "act", "header"),
    [
        ("requester_pays=true", lambda folder: folder.read_bytes("x"), PAYER),
        ("requester_pays=true", lambda folder: folder.names(""), PAYER),
        ("requester_pays=false", lambda folder: folder.read_bytes("x"), None),
        ("kms_key_id=arn:aws:kms:eu:1:key/a", lambda folder: folder.write_bytes("x", b""), KEY),
        ("kms_key_id=arn:aws:kms:eu:1:key/a", lambda folder: folder.read_bytes("x"), None),
    ],
)
def test_who_pays_and_the_key_are_sent(s3_bucket, option, act, header):
    """The server knows neither, so the headers that are signed are looked at."""
    faults = Faults(every(1, "denied"))
    with (
        faulty_proxy(os.environ["AWS_ENDPOINT_URL"], faults) as endpoint,
        pytest.raises(StorageError),
    ):
        act(Folder(f"{s3_bucket}?{option}&endpoint_url={endpoint}"))
    signed = faults.seen[0].authorization.partition("SignedHeaders=")[2].partition(",")[0]
    assert {PAYER, KEY} & set(signed.split(";")) == ({header} if header else set())


# --- which client reads ---

NAMES = ("a b", "a//b", "%41", "a%b", "x?y", "#[~]+&=;:@", "./x", "p/../q", ".h", "u\u0308", "\t\n")


def test_any_name_is_read(s3_bucket):
    """obstore refuses some; none may be taken for another."""
    direct = s3.client()
    for name in NAMES:
        direct.put_object(Bucket=bucket_name(s3_bucket), Key=f"p/{name}", Body=name.encode())
    direct.put_object(Bucket=bucket_name(s3_bucket), Key="p/q/", Body=b"for a folder")
    folder = Folder(s3_bucket)
    assert [folder.read_bytes(f"p/{name}").decode() for name in NAMES] == list(NAMES)
    assert [folder.read_range(f"p/{name}", 1, 99).decode() for name in NAMES] == [
        name[1:] for name in ("a b", "a//b", "%41", "a%b", "x?y", "#[~]+&=;:@")
    ] + ["/x", "/../q", "h", "\u0308", "\n"]
    assert folder.read_bytes("p/q/") == b"for a folder"
    with pytest.raises(FileNotFoundError):
        folder.read_bytes("p/q")


def test_ranges_at_the_end(s3_bucket):
    folder = Folder(s3_bucket)
    folder.write_bytes("x", b"abc")
    folder.write_bytes("empty", b"")
    assert folder.read_range("x", 1, 99) == b"bc"
    assert folder.read_range("x", 3, 99) == b""
    assert folder.read_range("empty", 0, 9) == b""
    assert folder.read_bytes("empty") == b""


def test_obstore_reads_in_threads(s3_bucket, client, monkeypatch):
    """The main thread is left to s3fs, which can be interrupted while it waits."""
    folder = Folder(s3_bucket)
    folder.write_bytes("x", b"1")
    monkeypatch.undo()
    asked = []
    filesystem, _ = object_store.connect(parse(s3_bucket))
    monkeypatch.setattr(filesystem, "cat_file", lambda path, **_: asked.append(path) or b"2")
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(folder.read_bytes, "x").result() == b"1"
    assert asked == []
    assert folder.read_bytes("x") == b"2"


@pytest.mark.parametrize("option", ["region=eu-west-1", "region=us-east-1"])
def test_region_that_is_not_the_buckets(s3_bucket, option):
    """s3fs follows the store's answer to where the bucket is."""
    Folder(s3_bucket).write_bytes("x", b"1")
    assert Folder(f"{s3_bucket}?{option}").read_bytes("x") == b"1"


# --- threads and processes ---


def test_threads_share_a_client(s3_bucket):
    folder = Folder(s3_bucket)
    contents = {str(number): os.urandom(10_000) for number in range(40)}
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(folder.write_bytes, contents.keys(), contents.values()))
        assert dict(zip(contents, pool.map(folder.read_bytes, contents), strict=True)) == contents
        clients = pool.map(lambda _: id(object_store.connect(parse(s3_bucket))[0]), range(8))
        assert len(set(clients)) == 1


def test_forked_process_has_a_client_of_its_own(s3_bucket, tmp_path: Path):
    """A forked process has its parent's memory and none of its threads; a loop there is dead."""
    folder = Folder(s3_bucket)
    folder.write_bytes("x", b"1")
    assert folder.read_bytes("x") == b"1"
    child = os.fork()
    if child == 0:
        try:
            folder.write_bytes("y", folder.read_bytes("x") + b"2")
            (tmp_path / "done").touch()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert (tmp_path / "done").exists()
    assert folder.read_bytes("y") == b"12"
