"""The code whose version may change the bytes of what a run writes."""

from importlib.metadata import version

import iem_batch

LIBRARIES = ("numpy", "pillow", "pyarrow", "torch")
"""Pixels (pillow), numbers (numpy, torch), and the files themselves: pyarrow puts its version into
every Parquet file, pillow's zlib decides the bytes of a PNG."""


def code_versions() -> dict[str, str]:
    """Give the version of this program and of each library, for the record of a step."""
    return {"iem_batch": iem_batch.__version__} | {name: version(name) for name in LIBRARIES}
