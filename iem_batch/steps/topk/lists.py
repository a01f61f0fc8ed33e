"""Lists of images that people have made: those to leave out, and those alone to select among.

A list is text, an image_id a line. A line that begins with a quotation mark is a JSON string: so
the report writes ids that hold a line break.
"""

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from iem_batch.errors import SettingsError
from iem_batch.run import schema
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.storage.folder import Folder

ListName = Literal["exclude", "only"]
LIST_NAMES: tuple[ListName, ...] = ("exclude", "only")


@dataclass(frozen=True, kw_only=True)
class Lists:
    """The lists that the settings name, in memory."""

    ids: dict[ListName, pa.Array]
    """Each id once."""

    def look_up(self, image_id: pa.ChunkedArray) -> tuple[NDArray[np.bool_], int]:
        """Tell which images may be selected, and how many entries of the lists these are."""
        is_wanted = np.ones(len(image_id), np.bool_)
        num_found = 0
        for name, ids in self.ids.items():
            is_in = pc.is_in(image_id, value_set=ids).to_numpy()
            num_found += int(is_in.sum())
            is_wanted &= is_in if name == "only" else ~is_in
        return is_wanted, num_found

    @property
    def num_ids(self) -> int:
        """Entries of all lists."""
        return sum(map(len, self.ids.values()))


def open_lists(settings: TopkSettings) -> Lists:
    """Read the lists that the settings name.

    Raises:
        SettingsError: one is not there, or is no list.
    """
    urls = {name: getattr(settings, name) for name in LIST_NAMES}
    return Lists(ids={name: _read(name, url) for name, url in urls.items() if url is not None})


def list_digests(settings: TopkSettings) -> dict[str, str]:
    """Hash the lists that the settings name.

    Raises:
        SettingsError: one is not there.
    """
    urls = {name: getattr(settings, name) for name in LIST_NAMES}
    return {
        name: schema.checksum(read_file(name, url)) for name, url in urls.items() if url is not None
    }


def read_file(name: str, url: str) -> bytes:
    """Read a file that a setting of `topk` names.

    Raises:
        SettingsError: it is not there.
    """
    try:
        return Folder(url).read_bytes("")
    except FileNotFoundError as error:
        raise SettingsError(f"topk.{name}: {url} does not exist") from error


def _read(name: ListName, url: str) -> pa.Array:
    ids: dict[str, None] = {}
    try:
        for line in read_file(name, url).decode("utf-8-sig").split("\n"):
            line = line.removesuffix("\r")
            if line:
                ids[str(json.loads(line)) if line.startswith('"') else line] = None
        return pa.array(ids, pa.string())
    except ValueError as error:  # of UTF-8 or of JSON
        raise SettingsError(
            f"topk.{name}: {url} is no list of ids, one a line, after {len(ids):,} of them: {error}"
        ) from error
