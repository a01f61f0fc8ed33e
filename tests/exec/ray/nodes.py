"""Real Ray nodes on this machine, started by `ray start` and gone after the block."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from iem_batch.processes import descendants

ROOT = Path(__file__).parents[3]
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
START_TIMEOUT_S = 90.0


@dataclass(frozen=True)
class Nodes:
    """A head and what else was started; `ray stop` is not used, it stops every Ray there is."""

    folder: Path
    environment: dict[str, str]
    gcs_port: int
    dashboard_port: int
    started: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def dashboard(self) -> str:
        return f"http://127.0.0.1:{self.dashboard_port}"

    def start(self, name: str, *arguments: str, hidden: Path | None = None) -> None:
        """Start a node and leave it running; it may see an empty disk where others see a folder."""
        command = [
            *(() if hidden is None else hiding(hidden)),
            *RAY,
            "start",
            "--block",
            "--disable-usage-stats",
            f"--temp-dir={self.folder}",
        ]
        command += ["--object-store-memory=200000000", "--dashboard-agent-listen-port=0"]
        log = (self.folder / f"{name}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [*command, *arguments],
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started[name] = process

    def wait_for(self, name: str) -> None:
        """Wait until a node says that it has started."""
        log = self.folder / f"{name}.log"
        deadline = time.monotonic() + START_TIMEOUT_S
        while "Ray runtime started" not in log.read_text():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} has not started: {log.read_text()}")
            time.sleep(0.1)

    def ray(self, *arguments: str, **options: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command of Ray's, e.g. job submit; its output is kept together."""
        return subprocess.run(
            [*RAY, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=200,
            check=False,
            **options,  # type: ignore[call-overload]
        )

    def drive(self, module: str, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a module that uses this cluster, and go on."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            env=self.environment | {"RAY_ADDRESS": f"127.0.0.1:{self.gcs_port}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def submit(self, command: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command as a job of the cluster, as the README says."""
        return self.ray(
            *("job", "submit", "--address", self.dashboard, "--working-dir", ".", "--"),
            *("python", "jobs/iem.py", command, *map(str, arguments)),
            cwd=ROOT,
        )

    def with_token(self, token: str) -> "Nodes":
        """The same nodes, seen by somebody with another token."""
        other = self.environment | {"RAY_AUTH_TOKEN": token}
        del other["RAY_AUTH_TOKEN_PATH"]
        return replace(self, environment=other)

    def start_worker(self, name: str, num_cpus: int, hidden: Path | None = None) -> None:
        """Start a node that works, and wait until it does."""
        address, cpus = f"--address=127.0.0.1:{self.gcs_port}", f"--num-cpus={num_cpus}"
        self.start(name, address, cpus, hidden=hidden)
        self.wait_for(name)

    def kill(self, name: str) -> None:
        """Take a node away without notice, as if its machine were switched off."""
        process = self.started.pop(name)
        family = {process.pid} | descendants(process.pid)
        # Stopped first, so that none lives to tell of another's end, as none would.
        for signum in (signal.SIGSTOP, signal.SIGKILL):
            for pid in family:
                with suppress(ProcessLookupError):
                    os.kill(pid, signum)
        process.wait()

    def stop(self) -> None:
        """End every process that was started here, and those that they have started."""
        processes = self.started.values()
        pids = {process.pid for process in processes}
        family = pids.union(*map(descendants, pids))
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(3)
        for pid in family:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for process in processes:
            process.wait()


def hiding(folder: Path) -> list[str]:
    """Give what stands before a command to which a folder is a disk of its own, as on a machine
    that shares none; needs root."""
    script = 'mount -t tmpfs none "$0" && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(folder)]


def can_hide(folder: Path) -> bool:
    """Tell whether this process may give others a view of the disks of their own."""
    tried = subprocess.run([*hiding(folder), "true"], capture_output=True, check=False)
    return tried.returncode == 0


@contextmanager
def running_nodes(token: str | None = None, *, worker: bool = True) -> Iterator[Nodes]:
    """A head that runs no tasks, and a node of two CPUs; with a token only who has it may use them.

    They have a home of their own, so that neither settings nor tokens of the user's count.
    """
    # Not pytest's folder: the names of Ray's sockets may have 107 characters only.
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        environment = {
            "HOME": name,
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_AUTH_MODE": "disabled",
        }
        if token is not None:
            (folder / "token").write_text(token)
            environment |= {
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
            }
        nodes = Nodes(folder, environment, *free_ports(2))
        try:
            nodes.start(
                "head",
                "--head",
                "--num-cpus=0",
                f"--port={nodes.gcs_port}",
                f"--dashboard-port={nodes.dashboard_port}",
                f"--ray-client-server-port={free_ports(1)[0]}",
            )
            nodes.wait_for("head")
            if worker:
                nodes.start_worker("worker", num_cpus=2)
            yield nodes
        finally:
            nodes.stop()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens at, all different."""
    sockets = [socket.socket() for _ in range(count)]
    for listener in sockets:
        listener.bind(("127.0.0.1", 0))
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports
