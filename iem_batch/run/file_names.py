"""From an image's id to the path of a file, as natural as every storage can hold it."""

import hashlib
import re
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from iem_batch.sources.formats import is_image_name

MAX_STEM_BYTES = 200
"""So that the last part and any extension fit into the 255 that file systems allow for a name."""

_HASH_CHARS = 32

_UNFIT = frozenset('\\:*?"<>|%~')
"""What a file system cannot hold, and what marks codes and cut names."""

_EDGES = re.compile(r"^[ .]+|[ .]+$")
"""Of a part of a path: they hide it, climb, or are lost on some systems."""

_FILE_LIKE = re.compile(r"\.(?=(jpe?g|png|webp|txt|json)$)", re.I)
"""The dot by which a folder could have the name of a file."""

_CUT_CODE = re.compile(rb"%.?$")


def safe_stem(name: str, unfit: str = "", max_bytes: int = MAX_STEM_BYTES) -> str:
    r"""Give the path of a file named after an image, without extension; no two names share one.

    It reads as the name does, folders too. Percent-encoded is only what cannot be held: control
    characters, ``\ : * ? " < > | % ~``, dots and blanks at the ends of a part, and the dot of a
    folder that is called like a file. A part that is empty becomes ``%``. A path that would be too
    long is cut, and ends in ``~`` and a hash of the name.

    Args:
        name: any text, lone surrogates included.
        unfit: further characters that a tool cannot hold; with a slash in it there are no folders.
        max_bytes: where it is cut, 64 or more.

    Returns:
        A relative path of at most `max_bytes` of UTF-8. `urllib.parse.unquote` gives the name back,
        up to one that was cut. On a file system that ignores case, names that differ in case alone
        share a path.
    """
    *folders, last = [name] if "/" in unfit else name.split("/")
    parts = [_FILE_LIKE.sub("%2E", _part(folder, unfit)) for folder in folders]
    path = "/".join([*parts, _part(last, unfit)])
    whole = path.encode()
    if len(whole) <= max_bytes:
        return path
    end = f"~{hashlib.sha256(name.encode(errors='surrogatepass')).hexdigest()[:_HASH_CHARS]}"
    return _CUT_CODE.sub(b"", whole[: max_bytes - len(end)]).decode(errors="ignore") + end


def natural_names(image_ids: Sequence[str]) -> list[str]:
    """Name images without their extension, but for those that would share a name.

    Args:
        image_ids: those of a whole collection, all different.

    Returns:
        As many names, all different: `a/b` of `a/b.jpg`, but `a/b.jpg` and `a/b.png` where there
        are both.
    """
    stems = [_without_extension(image_id) for image_id in image_ids]
    times = pc.value_counts(pa.array(stems, pa.string()))
    shared = set(times.filter(pc.greater(times.field("counts"), 1)).field("values").to_pylist())
    return [
        image_id if stem in shared else stem
        for image_id, stem in zip(image_ids, stems, strict=True)
    ]


def _part(part: str, unfit: str) -> str:
    kept = (c if c.isprintable() and c not in _UNFIT and c not in unfit else _code(c) for c in part)
    return _EDGES.sub(lambda edge: _code(edge[0]), "".join(kept)) or "%"


def _code(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode(errors="surrogatepass"))


def _without_extension(image_id: str) -> str:
    """Take away one extension of an image; of a name with two, none, so that what is left has none.

    By this no name without extension equals an id that keeps its own.
    """
    stem = image_id.rpartition(".")[0]
    return stem if is_image_name(image_id) and not is_image_name(stem) else image_id
