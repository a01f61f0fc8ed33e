"""The S3 server that the tests start, its users, and buckets on it."""

import importlib.util
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0
_bucket_numbers = itertools.count()


def environment(endpoint: str, user: str = "writer", secret: str = "writing") -> dict[str, str]:
    """What a process needs to reach the server, and to see nothing of the person's own settings.

    Args:
        endpoint: of the server, or of a proxy in front of it.
        user: `writer` may do anything, `reader` (with the secret `reading`) only what an ACL says.
        secret: of the user; the server checks it.
    """
    return {
        "AWS_ACCESS_KEY_ID": f"test:{user}",
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def missing_packages() -> list[str]:
    """Name what the server and its clients need and is not installed."""
    needed = ("swift", "s3fs", "botocore")
    return [name for name in needed if importlib.util.find_spec(name) is None]


@contextmanager
def serving(folder: Path, listener: socket.socket) -> Iterator[None]:
    """Run the server on a bound socket for the time of the block; its data lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "tests.s3_server", str(folder), str(listener.fileno())],
            cwd=Path(__file__).parents[1],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_listening(server, listener.getsockname(), log)
        yield
    finally:
        assert server.stdin is not None
        server.stdin.close()  # the server ends when its input does
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def new_bucket(readable: bool = False) -> str:
    """Make an empty bucket with the process's environment; returns its name.

    Args:
        readable: whether the user `reader` may read it.
    """
    bucket = f"bucket-{os.getpid()}-{next(_bucket_numbers)}"
    client().create_bucket(Bucket=bucket, **({"ACL": "public-read"} if readable else {}))
    return bucket


def client(user: str = "writer", secret: str = "writing") -> Any:
    """Give botocore's own client, to look at what the code under test left on the server."""
    import botocore.session

    return botocore.session.Session().create_client(
        "s3", aws_access_key_id=f"test:{user}", aws_secret_access_key=secret
    )


def _wait_until_listening(
    server: subprocess.Popen[bytes], address: tuple[str, int], log: Path
) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection(address, timeout=1).close()
            return
        except OSError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start: {log.read_text()}") from None
            time.sleep(0.05)
