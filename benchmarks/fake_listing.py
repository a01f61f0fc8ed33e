"""A stand-in for an S3 server that lists keys it does not hold, in folders of 10,000.

    python -m benchmarks.fake_listing LISTENER KEYS

LISTENER is the descriptor of a bound socket; the server ends when its standard input does.
"""

import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

IN_A_FOLDER = 10_000
IN_A_PAGE = 1000


def page(query: dict[str, str], num_keys: int) -> str:
    """Answer a request for a page, of the folders or of the keys in one."""
    first, prefix = int(query.get("continuation-token", "0")), query.get("prefix", "")
    if "delimiter" in query:
        total = -(-num_keys // IN_A_FOLDER)
        numbers = range(first, min(first + IN_A_PAGE, total))
        items = [f"<CommonPrefixes><Prefix>{n:06d}/</Prefix></CommonPrefixes>" for n in numbers]
    else:
        total = min(IN_A_FOLDER, num_keys - int(prefix.strip("/")) * IN_A_FOLDER)
        numbers = range(first, min(first + IN_A_PAGE, total))
        items = [_entry(f"{prefix}{number:012d}.jpg") for number in numbers]
    end = "<IsTruncated>false</IsTruncated>"
    if first + IN_A_PAGE < total:
        token = f"<NextContinuationToken>{first + IN_A_PAGE}</NextContinuationToken>"
        end = f"<IsTruncated>true</IsTruncated>{token}"
    return f"<ListBucketResult>{''.join(items)}{end}</ListBucketResult>"


def _entry(key: str) -> str:
    return (
        f"<Contents><Key>{key}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        '<ETag>"d41d8cd98f00b204e9800998ecf8427e"</ETag><Size>30000</Size>'
        "<StorageClass>STANDARD</StorageClass></Contents>"
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query)
        query = {name: values[0] for name, values in asked.items()}
        body = page(query, int(sys.argv[2])).encode()
        self.send_response_only(200)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler, bind_and_activate=False)
    server.socket = socket.socket(fileno=int(sys.argv[1]))
    server.server_activate()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
