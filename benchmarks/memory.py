"""The peak memory of a program, not of whoever started it.

`ru_maxrss` survives exec: a program reports at least the peak of the process that started it.
The kernel's VmHWM belongs to the program's own address space.

    python -m benchmarks.memory segment SOURCE RUN --local

does what iem-batch does with the same arguments, and ends its output with the peak in MB.
"""

from pathlib import Path


def peak_mb() -> float:
    """Read the peak resident memory of this program, in MB (MiB, as the kernel counts)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    from iem_batch.cli import main

    try:
        main()
    finally:
        print(peak_mb())
