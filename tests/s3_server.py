"""A real S3 server in one process: the four servers of OpenStack Swift, all data in one folder.

    python -m tests.s3_server FOLDER LISTENER

LISTENER is the descriptor of a bound socket, inherited from the parent; the server ends when its
standard input does, so it never outlives the tests, however they end.
"""

import json
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import eventlet
import eventlet.tpool
import eventlet.wsgi
from swift.common import utils
from swift.common import wsgi as swift_wsgi
from swift.common.ring.builder import RingBuilder

App = Callable[[dict[str, Any], Any], Any]

MIN_PART_BYTES = 5 << 20
"""What S3 itself allows as the least for a part of a multipart upload, except the last."""

MAX_KEYS = 25
"""Keys in a page of a listing; S3 has 1,000, and a test needs more objects than a page holds."""

SWIFT_CONF = """
[swift-hash]
swift_hash_path_suffix = tests
swift_hash_path_prefix = tests
[storage-policy:0]
name = default
default = yes
"""

STORAGE_CONF = """
[DEFAULT]
swift_dir = {etc}
devices = {node}
mount_check = false
disable_fallocate = true
fallocate_reserve = 0
recon_cache_path = {etc}
log_facility = LOG_LOCAL1
[pipeline:main]
pipeline = {server}-server
[app:{server}-server]
use = egg:swift#{server}
"""

# No user has rights on the buckets of another but those that an ACL gives: `reader` is in the same
# account as `writer` and not its administrator.
PROXY_CONF = """
[DEFAULT]
swift_dir = {etc}
log_facility = LOG_LOCAL1
[pipeline:main]
pipeline = catch_errors cache listing_formats s3api tempauth copy bulk slo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:cache]
paste.filter_factory = tests.s3_server:cache
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
min_segment_size = {min_part_bytes}
max_bucket_listing = {max_keys}
[filter:tempauth]
use = egg:swift#tempauth
user_test_writer = writing .admin
user_test_reader = reading
[filter:copy]
use = egg:swift#copy
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
"""


class Cache:
    """In memcached's place: without one, every request asks for account and bucket first.

    Values are texts, as in memcached, so that nobody changes what another has been given.
    """

    def __init__(self) -> None:
        self._texts: dict[str, tuple[float, str]] = {}

    def get(self, key: str, **_: Any) -> Any:
        until, text = self._texts.get(key, (0.0, "null"))
        return json.loads(text) if monotonic() < until else None

    def set(self, key: str, value: Any, time: float, **_: Any) -> None:
        self._texts[key] = (monotonic() + time, json.dumps(value))

    def delete(self, key: str, **_: Any) -> None:
        self._texts.pop(key, None)


def cache(_: Any, **_settings: str) -> Callable[[App], App]:
    """Make the filter of that name."""
    shared = Cache()

    def beside(app: App) -> App:
        def answer(request: dict[str, Any], respond: Any) -> Any:
            request["swift.cache"] = shared
            return app(request, respond)

        return answer

    return beside


def serve(folder: Path, listener: socket.socket) -> None:
    """Serve until standard input ends."""
    etc, node = folder / "etc", folder / "node"
    etc.mkdir(parents=True)
    (node / "disk").mkdir(parents=True)
    (etc / "swift.conf").write_text(SWIFT_CONF)
    utils.set_swift_dir(str(etc))
    for server in ("account", "container", "object"):
        backend = eventlet.listen(("127.0.0.1", 0), backlog=512)
        _write_ring(etc, server, backend.getsockname()[1])
        _start(etc, server, STORAGE_CONF.format(etc=etc, node=node, server=server), backend)
    proxy = PROXY_CONF.format(etc=etc, min_part_bytes=MIN_PART_BYTES, max_keys=MAX_KEYS)
    listener.listen(512)
    _start(etc, "proxy", proxy, listener)
    eventlet.tpool.execute(sys.stdin.read)


def _write_ring(etc: Path, server: str, port: int) -> None:
    """Say where the data lie: all on one device, once."""
    builder = RingBuilder(part_power=2, replicas=1, min_part_hours=0)
    address = {"ip": "127.0.0.1", "port": port}
    builder.add_dev({"region": 1, "zone": 1, **address, "device": "disk", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(str(etc / f"{server}.ring.gz"))


def _start(etc: Path, server: str, text: str, listener: socket.socket) -> None:
    path = etc / f"{server}-server.conf"
    path.write_text(text)
    app = swift_wsgi.loadapp(str(path), global_conf={"log_name": server})
    eventlet.spawn(
        eventlet.wsgi.server,
        listener,
        app,
        log=swift_wsgi.NullLogger(),
        protocol=swift_wsgi.SwiftHttpProtocol,
        # S3's clients want the header ETag, not Etag.
        capitalize_response_headers=False,
    )


if __name__ == "__main__":
    os.fsync = os.fdatasync = lambda _: None  # the data need not outlive a power cut
    utils.monkey_patch()
    serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
    os._exit(0)  # the greenlets of open connections would be waited for
