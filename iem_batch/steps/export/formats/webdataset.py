"""Pairs as members of a tar file, for WebDataset: KEY.jpg, KEY.mask.png and KEY.json."""

import io
import json
import tarfile
from collections.abc import Sequence

import pyarrow as pa

from iem_batch.run.file_names import safe_stem
from iem_batch.steps.export.formats.pair import Pair, Place

MAX_KEY_BYTES = 100 - len(".mask.png")
"""A member's name has 100 bytes in a tar file without extra headers."""


def lay_out(pairs: Sequence[Pair], place: Place) -> dict[str, pa.Table | bytes]:
    """Lay out pairs as one tar file, whose bytes depend on the pairs alone.

    Returns:
        Name of the file -> its bytes.
    """
    buffer = io.BytesIO()
    # Ustar has no optional headers, so there is nothing in it but name, size and zeros.
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for pair in pairs:
            key = safe_stem(pair.name, ".", MAX_KEY_BYTES)  # would end at a dot
            members = {
                pair.extension: pair.image,
                "mask.png": pair.label_png,
                "json": json.dumps(pair.about).encode(),
            }
            for extension, data in members.items():
                member = tarfile.TarInfo(f"{key}.{extension}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return {f"{place.stem}.tar": buffer.getvalue()}
