"""From an image's id to a file name that is safe on every storage."""

import hashlib
from urllib.parse import quote

MAX_NAME_BYTES = 255
"""What the usual file systems allow for one name."""

_HASH_CHARS = 32


def safe_file_name(image_id: str, extension: str = "", max_bytes: int = MAX_NAME_BYTES) -> str:
    """Give the file name of an image; different ids never share one.

    Everything but ASCII letters, digits, ``_`` and ``-`` is percent-encoded, dots too: the name
    has no folder, is never hidden, and its only dot is that of the extension, as WebDataset wants
    it. A name that would be too long is cut, and ends in ``~`` and a hash of the id; ``~`` itself
    is always encoded, so a cut name equals no whole one.

    Args:
        image_id: any text, lone surrogates included.
        extension: what follows the dot; none when empty.
        max_bytes: where it is cut, 64 or more.

    Returns:
        An ASCII name of at most `max_bytes`. `urllib.parse.unquote` gives the id back, up to
        a name that was cut. On a file system that ignores case, ids that differ in case alone
        share a name.
    """
    data = image_id.encode(errors="surrogatepass")
    name = quote(data, safe="").replace(".", "%2E").replace("~", "%7E") or "%"
    suffix = f".{extension}" if extension else ""
    if len(name) + len(suffix) > max_bytes:
        end = f"~{hashlib.sha256(data).hexdigest()[:_HASH_CHARS]}"
        name = _cut(name, max_bytes - len(suffix) - len(end)) + end
    return name + suffix


def _cut(name: str, length: int) -> str:
    """Cut a percent-encoded name, but not within a code."""
    percent = name.rfind("%", length - 2, length)
    return name[:percent] if percent != -1 else name[:length]
