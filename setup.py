"""Build the native IEM engine; everything else is in pyproject.toml."""

from glob import glob

from setuptools import Extension, setup

try:
    from pybind11 import get_include
except ImportError:  # not a build requirement of a source tree used in place
    extensions = []
else:
    extensions = [
        Extension(
            "iem_batch.iem._native",
            sorted(glob("iem_batch/iem/native/*.cpp")),
            depends=glob("iem_batch/iem/native/**/*.h", recursive=True)
            + glob("iem_batch/iem/native/**/*.inc", recursive=True),
            include_dirs=[get_include()],
            language="c++",
            # No contraction: where fused and separate operations differ, the source says which.
            extra_compile_args=[
                *("-std=c++17", "-O3", "-ffp-contract=off", "-fvisibility=hidden"),
                *("-Wno-uninitialized", "-Wno-maybe-uninitialized"),  # GCC 12 on its own header
            ],
            # Without a compiler the package still installs; `torch` is the engine then.
            optional=True,
        )
    ]

setup(ext_modules=extensions)
