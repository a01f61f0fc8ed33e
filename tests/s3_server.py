"""A real S3 server in one process: the four servers of OpenStack Swift, all data in one folder.

    python -m tests.s3_server FOLDER LISTENER

LISTENER is the descriptor of a bound socket, inherited from the parent; the server ends when its
standard input does, so it never outlives the tests, however they end.
"""

import os
import socket
import sys
from pathlib import Path

import eventlet
import eventlet.tpool
import eventlet.wsgi
from swift.common import utils
from swift.common import wsgi as swift_wsgi
from swift.common.ring.builder import RingBuilder

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
use = egg:swift#memcache
memcache_servers = 127.0.0.1:1
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
    utils.monkey_patch()
    serve(Path(sys.argv[1]), socket.socket(fileno=int(sys.argv[2])))
    os._exit(0)  # the greenlets of open connections would be waited for
