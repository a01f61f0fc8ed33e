"""An HTTP proxy in front of the S3 server that fails on purpose, as stores and networks do."""

import contextlib
import http.client
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import urlsplit

from tests.serving import serving

Fault = Literal["busy", "denied", "cut", "lost", "slow"]
"""busy: 503 SlowDown instead of an answer. denied: 403 AccessDenied likewise. cut: an answer that
ends before the length it declared, and a reset of the connection. lost: the request is done and its
answer never comes. slow: the answer comes after `Faults.delay_s`."""

REFUSALS = {
    "busy": (503, "SlowDown", "Please reduce your request rate."),
    "denied": (403, "AccessDenied", "Access Denied."),
}


@dataclass(frozen=True)
class Request:
    """A request that reached the proxy, with the header that holds its signature, if any."""

    method: str
    path: str
    authorization: str
    fault: Fault | None


@dataclass
class Faults:
    """What the proxy does wrong, and what it saw.

    Args:
        choose: gives the fault for a request, by its number from 0 on, method and path.
        delay_s: how late a slow answer comes, in seconds.
        seen: the requests, in order.
    """

    choose: Callable[[int, str, str], Fault | None]
    delay_s: float = 0.0
    seen: list[Request] = field(default_factory=list)

    def count(self, fault: Fault) -> int:
        """Tell how many requests met a fault."""
        return sum(1 for request in self.seen if request.fault == fault)


def every(period: int, *faults: Fault) -> Callable[[int, str, str], Fault | None]:
    """Let every so many-th request fail, in the ways given, one after another."""
    ways = itertools.cycle(faults)
    return lambda number, method, path: next(ways) if number % period == period - 1 else None


@contextmanager
def faulty_proxy(endpoint: str, faults: Faults) -> Iterator[str]:
    """Run the proxy for the time of the block; gives its endpoint.

    Signatures stay valid: they cover the Host that the client names, which is passed on.
    """

    class Handler(_Handler):
        target = urlsplit(endpoint).netloc
        plan = faults
        lock = threading.Lock()

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with serving(server):
        yield f"http://127.0.0.1:{server.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    target: str
    plan: Faults
    lock: threading.Lock

    def handle_request(self) -> None:
        # A client that has waited too long is gone.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._handle_request()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_request

    def _handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.lock:
            fault = self.plan.choose(len(self.plan.seen), self.command, self.path)
            authorization = self.headers.get("Authorization", "")
            self.plan.seen.append(Request(self.command, self.path, authorization, fault))
        if fault in REFUSALS:
            status, code, message = REFUSALS[fault]
            xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()
            self._answer(status, [("Content-Type", "application/xml")], xml, len(xml))
            return
        status, headers, answer, length = self._forward(body)
        if fault == "slow":
            time.sleep(self.plan.delay_s)
        if fault == "lost":
            self._reset()
        elif fault == "cut" and answer:
            self._answer(status, headers, answer[: len(answer) // 2], length)
            self._reset()
        else:
            self._answer(status, headers, answer, length)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes, int]:
        connection = http.client.HTTPConnection(self.target, timeout=60)
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in ("expect", "connection"):
                connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        dropped = ("content-length", "transfer-encoding", "connection")
        headers = [item for item in response.getheaders() if item[0].lower() not in dropped]
        answer = response.read()
        length = int(response.getheader("Content-Length") or len(answer))
        connection.close()
        return response.status, headers, answer, length

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, length: int
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _reset(self) -> None:
        """Close so that the client is told of a reset and not of an end."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RD)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing; the tests look at `Faults.seen`."""
