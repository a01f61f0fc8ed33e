"""The libraries whose version may change the bytes of what a run writes."""

from importlib.metadata import version

LIBRARIES = ("numpy", "pillow", "pyarrow", "torch")
"""Pixels (pillow), numbers (numpy, torch), and the files themselves: pyarrow puts its version into
every Parquet file, pillow's zlib decides the bytes of a PNG."""


def library_versions() -> dict[str, str]:
    """Give the version of each, for the record of a step."""
    return {name: version(name) for name in LIBRARIES}
