"""What a machine has, what it can run, and what to do where it cannot."""

import importlib.metadata
import os
import platform
import resource
import shlex
import shutil
import socket
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import torch

import iem_batch
from iem_batch.errors import IEMBatchError
from iem_batch.iem.backends import BACKENDS, resolve
from iem_batch.images import fast_jpeg
from iem_batch.run.deletion import delete_own
from iem_batch.run.folder import RunFolder
from iem_batch.sources import Entry, open_source
from iem_batch.storage import bucket
from iem_batch.tools.findings import (
    Examination,
    Finding,
    Level,
    clock_problems,
    differences,
    finding_lines,
)

TIMEOUT_S = 120.0
"""For a node of a cluster to answer."""

GIB = 1 << 30
MIN_SHARED_MEMORY = 2 * GIB
MIN_FREE_DISK = 5 * GIB
MAX_DISK_USE = 0.95
"""Where a disk is fuller, Ray writes no objects to it."""
MIN_OPEN_FILES = 4096
PACKAGES = ("torch", "ray", "pyarrow", "pillow", "numpy", "fsspec")


def doctor(address: str | None, run: str | None, source: str | None) -> None:
    """Print what this machine or the cluster can run, and what to do where it cannot.

    Args:
        address: a cluster to examine; None takes the one a job was submitted to, if it was.
        run: a run folder to write to.
        source: images to read one of.

    Raises:
        SystemExit: something is wrong.
    """
    if address is None and not os.environ.get("RAY_ADDRESS"):
        examinations, common = [examine(run, source)], list[Finding]()
    else:
        from iem_batch.exec.ray.executor import RayExecutor
        from iem_batch.exec.settings import ClusterSettings

        with RayExecutor(ClusterSettings(address=address)) as executor:
            executor.join()
            examinations, common = examine_nodes(run, source)
    for line in finding_lines(examinations, common):
        print(line)
    findings = [finding for each in examinations for finding in each.findings]
    if any(finding.level == "problem" for finding in (*findings, *common)):
        raise SystemExit(1)


def examine_nodes(run: str | None, source: str | None) -> tuple[list[Examination], list[Finding]]:
    """Examine every node of the cluster that has been joined, and compare them.

    Args:
        run: as for `examine`.
        source: as for `examine`.

    Returns:
        What was found on the nodes, by host; what concerns all of them.
    """
    from iem_batch.exec.ray.everywhere import call_everywhere

    found: list[Examination] = []
    common: list[Finding] = []
    for answer in call_everywhere(examine, run, source, timeout_s=TIMEOUT_S):
        if answer.result is None:
            detail = f"{answer.host} cannot be examined: {answer.error}"
            common.append(Finding(name="nodes", level="problem", detail=detail))
            continue
        found.append(answer.result)
        common += clock_problems(answer.result, answer.sent, answer.received)
    if run is not None:
        common += _same_folder(run)
    return sorted(found, key=lambda each: each.host), common + differences(found)


def _same_folder(url: str) -> list[Finding]:
    """Tell which nodes see another folder under the same path than this process."""
    from iem_batch.exec.ray.same_folder import nodes_without

    try:
        missing = nodes_without(RunFolder(url))
    except IEMBatchError as error:
        return [Finding(name="run folder", level="problem", detail=f"from here: {error}")]
    cure = "mount one disk on all nodes, or give a URL such as s3://bucket/run"
    return [
        Finding(name="run folder", level="problem", detail=f"{url} on {node}: {reason}", cure=cure)
        for node, reason in missing.items()
    ]


def examine(run: str | None, source: str | None) -> Examination:
    """Look at this machine.

    Args:
        run: URL of a folder to write to, read from and delete from; None leaves that out.
        source: URL of images of which to read one; None leaves that out.
    """
    findings = [_versions(), _processors(), *_engines(), _fast_decoding()]
    findings += [_shared_memory(Path("/dev/shm")), _disk(Path(tempfile.gettempdir()))]
    findings += [_open_files(), _home(), _file_names(), _python()]
    if run is not None:
        findings.append(_run_folder(run))
    if source is not None:
        findings.append(_source(source))
    findings += [_bucket(url) for url in (run, source) if url is not None and bucket.is_s3(url)]
    return Examination(host=socket.gethostname(), findings=findings, clock=time.time())


def _versions() -> Finding:
    versions = [f"{package} {importlib.metadata.version(package)}" for package in PACKAGES]
    ours = f"iem_batch {iem_batch.__version__}, Python {platform.python_version()}"
    return Finding(name="versions", level="ok", detail=", ".join([ours, *versions]))


def _processors() -> Finding:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    detail = f"{os.cpu_count()} CPUs, {memory:.0f} GiB of memory, {_gpus() or 'no CUDA GPU'}"
    return Finding(name="processors", level="ok", detail=detail)


def _gpus() -> str:
    if not torch.cuda.is_available():
        return ""
    count = torch.cuda.device_count()
    return ", ".join(torch.cuda.get_device_name(index) for index in range(count))


def _engines() -> Iterator[Finding]:
    taken = resolve("auto")
    for name, backend in BACKENDS.items():
        reason = backend.unavailable()
        if reason is None:
            detail = "the one that auto takes" if name == taken else "available"
            yield Finding(name=f"engine {name}", level="ok", detail=detail)
            continue
        cure = ""
        if name == "native":
            cure = "install a C++ compiler, then iem_batch again"
        if name == "cuda" and _gpus():
            cure = "install what is missing, or say --segment.backend for another engine"
        level: Level = "problem" if cure and name == "cuda" else "note"
        yield Finding(name=f"engine {name}", level=level, detail=reason, cure=cure)


def _fast_decoding() -> Finding:
    reason = fast_jpeg.unavailable()
    level: Level = "note" if reason else "ok"
    return Finding(name="fast JPEG decoding", level=level, detail=reason or "available")


def _shared_memory(place: Path) -> Finding:
    """Ray keeps in it what one worker hands to the next; Docker gives 64 MB unless told."""
    if not place.is_dir():
        return Finding(name="shared memory", level="note", detail=f"there is no {place} here")
    total, _, free = shutil.disk_usage(place)
    detail = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free in {place}"
    if free >= MIN_SHARED_MEMORY:
        return Finding(name="shared memory", level="ok", detail=detail)
    return Finding(
        name="shared memory",
        level="problem",
        detail=detail,
        cure="docker run --shm-size=8g; on Kubernetes an emptyDir of medium Memory at /dev/shm",
    )


def _disk(place: Path) -> Finding:
    """Ray's logs, and objects for which there is no memory."""
    total, used, free = shutil.disk_usage(place)
    detail = f"{free / GIB:.0f} of {total / GIB:.0f} GiB free in {place}"
    if free >= MIN_FREE_DISK and used <= MAX_DISK_USE * total:
        return Finding(name="disk", level="ok", detail=detail)
    cure = "free some, or set TMPDIR and ray start --temp-dir to a larger disk"
    return Finding(name="disk", level="problem", detail=detail, cure=cure)


def _open_files() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{soft:,} files and sockets may be open at once"
    if soft >= MIN_OPEN_FILES or soft == resource.RLIM_INFINITY:
        return Finding(name="open files", level="ok", detail=detail)
    cure = "ulimit -n 65536 before `ray start`"
    return Finding(name="open files", level="problem", detail=detail, cure=cure)


def _home() -> Finding:
    try:
        return Finding(name="home", level="ok", detail=str(Path.home()))
    except RuntimeError:
        detail = "the user has none, and Ray Train does not start without"
        cure = "set HOME before `ray start`; Ray on this machine alone gets one"
        return Finding(name="home", level="problem", detail=detail, cure=cure)


def _file_names() -> Finding:
    """Nodes that read names of files differently do not find one another's."""
    encoding = sys.getfilesystemencoding()
    detail = f"names of files are read as {encoding}"
    if encoding == "utf-8":
        return Finding(name="file names", level="ok", detail=detail)
    cure = "set PYTHONUTF8=1 or LC_ALL=C.UTF-8, on every node before `ray start`"
    return Finding(name="file names", level="problem", detail=detail, cure=cure)


def _python() -> Finding:
    level: Level = "ok" if shlex.quote(sys.executable) == sys.executable else "note"
    cure = "" if level == "ok" else "install it elsewhere if other programs use this Ray too"
    return Finding(name="Python", level=level, detail=sys.executable, cure=cure)


def _run_folder(url: str) -> Finding:
    """Do what every shard does: write, read, delete."""
    name = f".doctor-{uuid.uuid4().hex}"
    sent = os.urandom(1024)
    try:
        folder = RunFolder(url)
        folder.write_bytes(name, sent)
        received = folder.read_bytes(name)
        delete_own(folder, name)
    except (IEMBatchError, OSError) as error:
        return Finding(
            name="run folder", level="problem", detail=f"{type(error).__name__}: {error}"
        )
    if received != sent:
        return Finding(name="run folder", level="problem", detail=f"{url} gives back other bytes")
    detail = f"wrote, read and deleted 1 kB at {url}"
    return Finding(name="run folder", level="ok", detail=detail)


def _source(url: str) -> Finding:
    """Read the first image."""
    try:
        source = open_source(url)
        first = next((item for item in source.entries() if isinstance(item, Entry)), None)
        if first is None:
            return Finding(name="source", level="problem", detail=f"there is no image in {url}")
        image = next(iter(source.read(first)))
    except (IEMBatchError, OSError) as error:
        return Finding(name="source", level="problem", detail=f"{type(error).__name__}: {error}")
    return Finding(name="source", level="ok", detail=f"read {image.image_id} from {url}")


def _bucket(url: str) -> Finding:
    """Say what its owner has set, and what of that costs money unseen."""
    try:
        found = bucket.state(url)
    except IEMBatchError as error:
        return Finding(name="bucket", level="problem", detail=str(error))
    cures = []
    if found["versions of objects"] == "kept":
        cures.append("a rule that ends old versions: files of a run are written again and again")
    if found["rule that ends those"] != "some" and found["unfinished uploads"] != "0":
        cures.append("a rule AbortIncompleteMultipartUpload: unfinished uploads are paid for")
    detail = f"{url}: " + ", ".join(f"{name}: {value}" for name, value in found.items())
    return Finding(
        name="bucket", level="note" if cures else "ok", detail=detail, cure="; ".join(cures)
    )
