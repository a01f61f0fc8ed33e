"""What reading and listing an object store costs, in processor time of the client.

    python -m benchmarks.objects PHOTOS [--images 400] [--keys 1000000] [--rounds 5] [--json OUT]

The first images of PHOTOS are put on the S3 server of the tests, another process, and read by 8
threads: through `Folder` with obstore and with s3fs, as it is without obstore, and by each client
alone. Rounds take turns; medians with the least and the greatest. Then one process does the whole
of segment from that bucket and from the same files on disk; ratios within a round. Before all that,
keys that a stand-in makes up are listed by `Folder.walk`.
"""

import argparse
import contextlib
import json
import os
import platform
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.memory import peak_mb
from iem_batch.storage import object_store, s3_reads
from iem_batch.storage.folder import Folder
from tests import s3

THREADS = 8


def processor_s(who: int = resource.RUSAGE_SELF) -> float:
    """Give the processor time of this process, or of its children that have ended."""
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def spread(values: list[float]) -> dict[str, float]:
    """Give the median, the least and the greatest."""
    found = {"median": statistics.median(values), "least": min(values), "greatest": max(values)}
    return {name: round(value, 3) for name, value in found.items()}


@contextmanager
def server(folder: Path) -> Iterator[None]:
    """Run the S3 server of the tests, in a process of its own."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        os.environ |= s3.environment(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with s3.serving(folder, listener):
            yield


def readers(bucket: str) -> dict[str, Callable[[str], bytes]]:
    """Give what reads an object of the bucket, by name."""
    import obstore.store

    folder, plain = Folder(f"s3://{bucket}"), s3.client()
    store = obstore.store.S3Store(
        bucket, endpoint=os.environ["AWS_ENDPOINT_URL"], client_options={"allow_http": True}
    )

    return {
        "Folder with obstore": folder.read_bytes,
        "Folder with s3fs": folder.read_bytes,
        "obstore alone": lambda name: bytes(store.get(name).bytes()),
        "botocore alone": lambda name: plain.get_object(Bucket=bucket, Key=name)["Body"].read(),
    }


def time_gets(bucket: str, names: list[str], rounds: int) -> dict[str, dict[str, float]]:
    """Give milliseconds of processor time per object."""
    taken: dict[str, list[float]] = {}
    for number in range(rounds + 1):  # the first opens connections
        for name, read in readers(bucket).items():
            with contextlib.ExitStack() as opened:
                if name == "Folder with s3fs":
                    opened.enter_context(mock.patch.object(s3_reads, "_store", return_value=None))
                pool = opened.enter_context(ThreadPoolExecutor(THREADS))
                started = processor_s()
                assert all(pool.map(read, names))
                used_ms = (processor_s() - started) / len(names) * 1e3
            if number:
                taken.setdefault(name, []).append(used_ms)
    return {name: spread(values) for name, values in taken.items()}


def segment_s(source: str, run: Path, obstore: bool) -> float:
    """Give the processor time of `segment SOURCE RUN --local` by a process of its own."""
    shutil.rmtree(run, ignore_errors=True)
    code = "from iem_batch.cli import main; main()"
    if not obstore:
        code = f"import sys; sys.modules['obstore'] = None; {code}"
    started = processor_s(resource.RUSAGE_CHILDREN)
    words = ["segment", source, str(run), "--local"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    return processor_s(resource.RUSAGE_CHILDREN) - started


def time_segment(bucket: str, photos: Path, folder: Path, rounds: int) -> dict[str, Any]:
    """Give what the whole step takes from the bucket, in times of what it takes from disk."""
    ratios: dict[str, list[float]] = {"obstore": [], "s3fs": []}
    for _ in range(rounds):
        disk_s = segment_s(str(photos), folder / "run", obstore=True)
        for client, found in ratios.items():
            url = f"s3://{bucket}"
            found.append(segment_s(url, folder / "run", obstore=client == "obstore") / disk_s)
    return {client: spread(found) for client, found in ratios.items()}


@contextmanager
def listing_server(num_keys: int) -> Iterator[None]:
    """Run the server of keys that are made up; s3:// URLs lead to it."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        os.environ |= s3.environment(f"http://127.0.0.1:{listener.getsockname()[1]}")
        words = ["-m", "benchmarks.fake_listing", str(listener.fileno()), str(num_keys)]
        process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.PIPE, pass_fds=[listener.fileno()]
        )
        try:
            yield
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()


def listed(num_keys: int) -> dict[str, float]:
    """Walk a bucket of so many keys."""
    with listing_server(num_keys):
        folder = Folder("s3://bucket")
        folder.names("000000")  # connects
        before_mb, started, began = peak_mb(), processor_s(), time.monotonic()
        assert sum(1 for _ in folder.walk()) == num_keys
        used_s = processor_s() - started
        return {
            "keys": num_keys,
            "keys_per_processor_s": round(num_keys / used_s),
            "elapsed_s": round(time.monotonic() - began, 1),
            "peak_mb_before": round(before_mb),
            "peak_mb": round(peak_mb()),
        }


def main() -> None:
    """Measure all and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    report: dict[str, Any] = {
        "program": " ".join(["benchmarks.objects", *(Path(word).name for word in sys.argv[1:])]),
        "date": time.strftime("%Y-%m-%d"),
        "processors": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        "listing": listed(arguments.keys),
    }
    object_store.forget()  # the next server has another address
    files = sorted(file for file in arguments.photos.iterdir() if file.is_file())
    with tempfile.TemporaryDirectory() as name, server(Path(name, "s3")):
        root, bucket, client = Path(name), s3.new_bucket(), s3.client()
        (root / "photos").mkdir()
        for file in files[: arguments.images]:
            shutil.copy(file, root / "photos" / file.name)
            client.put_object(Bucket=bucket, Key=file.name, Body=file.read_bytes())
        names = sorted(os.listdir(root / "photos"))
        report |= {
            "images": len(names),
            "mean_bytes": round(statistics.mean(map(os.path.getsize, (root / "photos").iterdir()))),
            "processor_ms_per_get": time_gets(bucket, names, arguments.rounds),
            "segment_in_times_of_disk": time_segment(
                bucket, root / "photos", root, arguments.rounds
            ),
        }
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
