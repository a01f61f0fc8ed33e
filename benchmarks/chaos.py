"""Kills commands, workers, raylets and nodes at random moments, and compares what comes out.

Each round does the step `segment` of a small collection while processes are killed by SIGKILL, and
starts the same command again until it ends well. All data files must then be those of a run that
nobody disturbed, byte for byte, and `iem-batch verify` must find nothing. Rounds go on real nodes
of Ray (ray.cluster_utils) and without Ray, in a folder and on a real S3 server (Swift).

    python -m benchmarks.chaos --kills 200 --seed 1 --output benchmarks/results/chaos.json
"""

import argparse
import hashlib
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from iem_batch.config import Settings
from iem_batch.exec.local import LocalExecutor
from iem_batch.job import Job
from iem_batch.processes import descendants
from iem_batch.run.folder import RunFolder
from iem_batch.run.layout import SUCCESS
from iem_batch.run.marks import committed
from iem_batch.storage.folder import Folder
from iem_batch.tools.verify import check

Kind = Literal["driver", "worker", "raylet", "node"]

MAX_STARTS = 25
"""A command that has not ended well after so many starts never will."""

PATIENCE_S = 240.0
"""A command that shows no progress for so long hangs."""

_SETTINGS = (
    *("--plan.shard_size=1", "--decode.size_px=48", "--iem.iterations=20"),
    *("--segment.init_shares=[0.33,0.5]", "--segment.backend=torch"),
)
_QUIET = {
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS": "0",
    "OMP_NUM_THREADS": "1",
}
_NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80_000_000}


@dataclass
class Round:
    """What happened to one run."""

    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    seconds: float = 0.0
    differing: list[str] = field(default_factory=list)
    """Data files that are not those of the undisturbed run."""
    faults: list[str] = field(default_factory=list)
    """What `verify` found."""
    statuses: list[int] = field(default_factory=list)
    """Exit statuses of the starts."""


def write_pictures(folder: Path, count: int) -> None:
    """Write small pictures, a blob on noise, and one broken file for every ten."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        rng = np.random.default_rng(index)
        y, x = np.mgrid[:56, :64]
        inside = (y - 28) ** 2 + (x - 32) ** 2 < rng.integers(80, 260)
        pixels = rng.integers(0, 90, (56, 64, 3)) + 140 * inside[..., None]
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:04d}.png")
        if index % 10 == 0:
            (folder / f"{index:04d}-broken.jpg").write_bytes(b"\xff\xd8\xff" + bytes([index]))


def checksums(run: RunFolder) -> dict[str, str]:
    """Hash every data file of a run."""
    found = {}
    for folder in ("segment", "quarantine"):
        with suppress(FileNotFoundError):
            for file in Folder(run.url_of(folder)).walk():
                if not file.name.startswith("."):
                    name = f"{folder}/{file.name}"
                    found[name] = hashlib.sha256(run.read_bytes(name)).hexdigest()
    return found


def start(
    source: Path, run: RunFolder, address: str | None, flags: Sequence[str] = ()
) -> subprocess.Popen[bytes]:
    """Start the command, on the Ray of an address or without Ray."""
    where = ["--local"] if address is None else [f"--cluster.address={address}"]
    return subprocess.Popen(
        [sys.executable, "-m", "iem_batch"]
        + ["segment", str(source), run.url, *_SETTINGS, *where, *flags],
        env=os.environ | _QUIET,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


class Nodes:
    """A head of Ray and two nodes, each with one CPU; any of the two may be lost at any time."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        os.environ |= _QUIET
        quick = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}
        head = _NODE | {"include_dashboard": False, "_system_config": quick}
        self._cluster = Cluster(initialize_head=True, head_node_args=head)
        self.address: str = self._cluster.address
        for _ in range(2):
            self._cluster.add_node(**_NODE)

    def workers(self) -> list[int]:
        """List the processes of Ray's workers on all nodes."""
        nodes = [self._cluster.head_node, *self._cluster.worker_nodes]
        return [
            pid
            for node in nodes
            for pid in descendants(self._raylet(node))
            if _name(pid).startswith("ray::") and "Agent" not in _name(pid)
        ]

    def lose_raylet(self, rng: random.Random) -> None:
        """Kill the raylet of a node, which takes its workers with it, and give another node."""
        node = rng.choice(sorted(self._cluster.worker_nodes, key=self._raylet))
        os.kill(self._raylet(node), signal.SIGKILL)
        self._replace(node)

    def lose_node(self, rng: random.Random) -> None:
        """Kill all processes of a node at once, and give another node."""
        node = rng.choice(sorted(self._cluster.worker_nodes, key=self._raylet))
        for pid in [*descendants(self._raylet(node)), self._raylet(node)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._replace(node)

    def stop(self) -> None:
        """Stop all nodes."""
        self._cluster.shutdown()

    def _replace(self, node: Any) -> None:
        self._cluster.remove_node(node, allow_graceful=False)
        self._cluster.add_node(wait=False, **_NODE)

    def _raylet(self, node: Any) -> int:
        return int(node.all_processes["raylet"][0].process.pid)


def storm(
    source: Path,
    run: RunFolder,
    kinds: Sequence[Kind],
    expected: dict[str, str],
    rng: random.Random,
    nodes: Nodes | None,
    flags: Sequence[str] = (),
) -> Round:
    """Do a run while processes are killed.

    Args:
        source: the pictures.
        run: an empty folder.
        kinds: what to kill, one after another; what is left when the run is done is not killed.
        expected: checksums of the undisturbed run.
        rng: decides when, and which worker or node.
        nodes: where it runs; None is without Ray.
        flags: further ones of the command.
    """
    result, began = Round(), time.monotonic()
    left = list(kinds)
    while result.starts < MAX_STARTS:
        result.starts += 1
        process = start(source, run, None if nodes is None else nodes.address, flags)
        try:
            while left and _await_moment(process, run, rng):
                if _kill(left[0], process, nodes, rng):
                    result.kills[left.pop(0)] += 1
                if process.poll() is not None:
                    break
            if process.poll() is None:
                process.wait(PATIENCE_S)
        finally:
            process.kill()
            result.statuses.append(process.wait())
        if result.statuses[-1] == 0:
            break
    result.seconds = round(time.monotonic() - began, 1)
    got = checksums(run)
    result.differing = sorted(
        name for name in got | expected if got.get(name) != expected.get(name)
    )
    if not run.exists(SUCCESS):
        result.differing.append(SUCCESS)
    job = Job(run=run, settings=Settings(), executor=LocalExecutor())
    result.faults = check(job, None).findings.lines()
    return result


def _await_moment(process: subprocess.Popen[bytes], run: RunFolder, rng: random.Random) -> bool:
    """Wait until some more shards are done and then a little; False if the command ended first."""
    target = len(committed(run, "segment")) + rng.randint(0, 3)
    pause = rng.uniform(0.0, 0.15) if rng.random() < 0.8 else rng.uniform(0.0, 1.5)
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and len(committed(run, "segment")) < target:
        if time.monotonic() > deadline:
            raise TimeoutError(f"no progress for {PATIENCE_S} s in {run.url}")
        time.sleep(0.02)
    with suppress(subprocess.TimeoutExpired):
        process.wait(pause)
    return process.poll() is None


def _kill(
    kind: Kind, process: subprocess.Popen[bytes], nodes: Nodes | None, rng: random.Random
) -> bool:
    """Kill one thing; False if there is none of it now."""
    if kind == "driver":
        process.kill()
        process.wait()
        return True
    assert nodes is not None
    if kind == "raylet":
        nodes.lose_raylet(rng)
    elif kind == "node":
        nodes.lose_node(rng)
    else:
        workers = nodes.workers()
        if not workers:
            return False
        with suppress(ProcessLookupError):
            os.kill(rng.choice(sorted(workers)), signal.SIGKILL)
    return True


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return ""


@contextmanager
def _stores(folder: Path, *, with_s3: bool) -> Iterator[list[str]]:
    """Give URLs below which runs can lie: a folder's, and a bucket's on a server of our own."""
    if not with_s3:
        yield [str(folder / "runs")]
        return
    import socket

    from tests.s3 import environment, new_bucket, serving

    with socket.create_server(("127.0.0.1", 0)) as listener:
        os.environ |= environment(f"http://127.0.0.1:{listener.getsockname()[1]}")
        with serving(folder / "s3", listener):
            yield [str(folder / "runs"), f"s3://{new_bucket()}/runs"]


def main() -> None:
    """Run rounds until so many processes were killed, and write what happened."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=80)
    parser.add_argument("--minutes", type=float, default=60.0, help="begin no round after this")
    parser.add_argument("--no-s3", action="store_true")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    rng, rounds, began = random.Random(options.seed), list[dict[str, Any]](), time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="chaos-") as name,
        _stores(Path(name), with_s3=not options.no_s3) as urls,
    ):
        source = Path(name) / "pictures"
        write_pictures(source, options.images)
        undisturbed = RunFolder(f"{name}/undisturbed")
        assert start(source, undisturbed, None).wait() == 0
        expected = checksums(undisturbed)
        nodes = Nodes()
        try:
            while sum(sum(r["kills"].values()) for r in rounds) < options.kills:
                if time.monotonic() - began > 60 * options.minutes:
                    break
                number = len(rounds)
                url = urls[number % len(urls)]
                # Every third round goes without Ray, whose commands start faster.
                on = None if number % 3 == 2 else nodes
                kinds: list[Kind] = ["driver"] * 6
                if on is not None:
                    kinds = rng.choices(("worker", "driver", "raylet", "node"), (5, 2, 2, 1), k=10)
                result = storm(source, RunFolder(f"{url}/{number}"), kinds, expected, rng, on)
                where = ("S3" if "://" in url else "folder") + ("" if on is None else ", Ray")
                rounds.append({"where": where} | result.__dict__ | {"kills": dict(result.kills)})
                print(rounds[-1], flush=True)
        finally:
            nodes.stop()
    report = _report(options, expected, rounds, time.monotonic() - began)
    print(json.dumps({key: value for key, value in report.items() if key != "rounds"}, indent=1))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(report, indent=1) + "\n")
    sys.exit(0 if report["equal_runs"] == len(rounds) else 1)


def _report(
    options: argparse.Namespace,
    expected: dict[str, str],
    rounds: list[dict[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    kills: Counter[str] = Counter()
    for one in rounds:
        kills.update(one["kills"])
    return {
        "command": f"python -m benchmarks.chaos --kills {options.kills} --seed {options.seed}",
        "machine": f"{os.cpu_count()} CPUs, Python {platform.python_version()}",
        "files_compared": len(expected),
        "runs": len(rounds),
        "equal_runs": sum(not one["differing"] and not one["faults"] for one in rounds),
        "kills": dict(kills) | {"all": sum(kills.values())},
        "minutes": round(seconds / 60, 1),
        "rounds": rounds,
    }


if __name__ == "__main__":
    main()
