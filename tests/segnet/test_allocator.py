import os
import subprocess
import sys
from collections.abc import Mapping

import pytest

from iem_batch.segnet import allocator
from iem_batch.segnet.allocator import keep_freed_memory

_CODE = """
import resource, sys
from concurrent.futures import ThreadPoolExecutor
import torch
from iem_batch.segnet.allocator import keep_freed_memory

def tensors():
    for _ in range(5):
        [torch.zeros(40_000_000, dtype=torch.uint8) for _ in range(int(sys.argv[2]))]

if sys.argv[1] == "keep":
    keep_freed_memory()
with ThreadPoolExecutor(1) as pool:
    for run in (tensors, lambda: pool.submit(tensors).result()):
        for _ in range(5):  # until the heap has its size
            run()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        run()
        print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(
    what: str, tensors_at_once: int = 1, environment: Mapping[str, str] | None = None
) -> list[int]:
    """Count page faults in the main thread and in one of a pool."""
    done = subprocess.run(
        [sys.executable, "-c", _CODE, what, str(tensors_at_once)],
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return [int(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(not allocator._is_glibc(), reason="this libc is not glibc")
def test_freed_memory_is_not_asked_for_again() -> None:
    """In the main thread and in one of a pool; catches settings that glibc does not take."""
    assert max(faults("keep")) < 1000 < min(faults("return"))


@pytest.mark.skipif(not allocator._is_glibc(), reason="this libc is not glibc")
def test_a_thread_too_keeps_many_tensors_in_a_process_started_so() -> None:
    """Catches Ray's training workers clearing pages anew for each step.

    What a thread keeps in a process not started so is not asserted: it was all of its heaps or all
    but one, with the same tensors, in runs that differed only in what was allocated before.
    """
    assert max(faults("keep", 8, allocator.ENVIRONMENT)) < 1000


def test_another_libc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a training that does not start on Alpine, where confstr gives nothing, or macOS."""
    monkeypatch.setattr("ctypes.CDLL", pytest.fail)
    monkeypatch.setattr(os, "confstr", lambda name: "")
    keep_freed_memory()
    monkeypatch.delattr(os, "confstr_names")
    keep_freed_memory()
