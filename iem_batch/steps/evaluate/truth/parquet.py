"""Ground truth in a column of encoded masks, such as predict/ of another run."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iem_batch.errors import TruthError
from iem_batch.images.settings import DecodeSettings
from iem_batch.run.tables import ALONE
from iem_batch.sources.parquet_columns import id_text
from iem_batch.steps.evaluate.truth.picture import Meaning, read_labels
from iem_batch.steps.evaluate.truth.protocol import require_shape
from iem_batch.storage.folder import Folder


class MaskColumn:
    """Parquet files with the column image_id and a column of encoded masks.

    An id of any type is taken as the text that it is in a source; a mask without an id is of no
    image.

    Only the ids are held in memory, and one row group of masks: fast where masks lie in the order
    of the images.

    Args:
        url: a .parquet file, or a folder of them.
        column: of the masks: bytes, or a struct with `bytes` as Hugging Face `datasets` writes it.
        settings: how the images were decoded; the same limits hold for masks.
        meaning: of their values.

    Raises:
        TruthError: a file cannot be read, lacks a column, or an image has two rows.
    """

    def __init__(
        self, url: str, column: str, settings: DecodeSettings, meaning: Meaning | None = None
    ) -> None:
        """Read the ids."""
        self._folder = Folder(url)
        self._column = column
        self._settings = settings
        self._meaning = meaning or Meaning()
        self._place: dict[str, tuple[str, int, int]] = {}
        self._group: tuple[tuple[str, int], list[Any]] | None = None
        self._last = ""
        if self._folder.kind() == "file":
            parent, _, self._last = self._folder.url.rpartition("/")
            self._folder = Folder(parent)
        names = [self._last] if self._last else self._folder.names("")
        for name in names:
            if name.endswith(".parquet"):
                self._index(name)
        if not self._place:
            raise TruthError(f"{self.url} holds no Parquet file with rows")

    @property
    def url(self) -> str:
        """Where the file or the folder lies."""
        return self._folder.url_of(self._last)

    @property
    def num_images(self) -> int:
        """How many masks there are."""
        return len(self._place)

    def has(self, image_id: str) -> bool:
        """Tell whether an image has a row."""
        return image_id in self._place

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image that has one; see `Truth.read`."""
        name, group, row = self._place[image_id]
        if self._group is None or self._group[0] != (name, group):
            with self._folder.open(name) as file:
                parquet = pq.ParquetFile(file, **ALONE)
                table = parquet.read_row_group(group, [self._column], use_threads=False)
            self._group = (name, group), table[self._column].to_pylist()
        value = self._group[1][row]
        data = value["bytes"] if isinstance(value, dict) else value
        where = f"{self._column} of {image_id} in {self._folder.url_of(name)}"
        if not isinstance(data, bytes):
            raise TruthError(f"{where} holds {type(data).__name__}, not an encoded mask")
        label_HW = read_labels(data, where, self._settings, self._meaning)
        require_shape(label_HW.shape, where, image_id, width, height)
        return label_HW

    def example(self) -> str:
        """Name one of the images."""
        return next(iter(self._place))

    def _index(self, name: str) -> None:
        where = self._folder.url_of(name)
        try:
            with self._folder.open(name) as file:
                parquet = pq.ParquetFile(file, **ALONE)
                missing = {"image_id", self._column} - set(parquet.schema_arrow.names)
                if missing:
                    raise TruthError(
                        f"{where} has no column {', '.join(sorted(missing))}, but "
                        f"{', '.join(parquet.schema_arrow.names)}; "
                        "--evaluate.column names that of the masks"
                    )
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group, ["image_id"], use_threads=False)
                    for row, value in enumerate(table["image_id"].to_pylist()):
                        image_id = id_text(value)
                        if image_id in self._place:
                            raise TruthError(f"{where} has a second mask of {image_id}")
                        if image_id is not None:
                            self._place[image_id] = (name, group, row)
        except pa.ArrowException as error:
            raise TruthError(f"{where} cannot be read as Parquet: {error}") from error
