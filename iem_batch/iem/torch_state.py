"""The process-wide settings of torch that IEM depends on."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_torch(num_threads: int) -> Iterator[None]:
    """Use `num_threads` threads in one operation and full float32 products, then as before.

    With TF32 or bfloat16 products, which a training step may have switched on in this process,
    up to 41 % of the final masks come out otherwise.
    """
    threads_before = torch.get_num_threads()
    precision_before = torch.get_float32_matmul_precision()
    torch.set_num_threads(num_threads)
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.set_float32_matmul_precision(precision_before)
