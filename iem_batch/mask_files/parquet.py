"""Masks in a column of encoded pictures, such as predict/ of another run."""

from threading import Lock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iem_batch.errors import MaskError
from iem_batch.images.geometry import FOREGROUND, mask_to_image
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.picture import read_labels
from iem_batch.mask_files.places import Places
from iem_batch.mask_files.protocol import require_shape
from iem_batch.mask_files.settings import Meaning
from iem_batch.run import schema
from iem_batch.run.tables import ALONE
from iem_batch.sources.parquet_columns import id_text
from iem_batch.storage.folder import Folder


class MaskColumn:
    """Parquet files with the column image_id and a column of encoded masks.

    An id of any type is taken as the text that it is in a source; a mask without an id is of no
    image.

    Masks of a run, at the size of its square, are brought to that of their photos.

    The ids are read at once, and one row group of masks is held: fast where masks lie in the order
    of the images.

    Args:
        url: a .parquet file, or a folder of them.
        column: of the masks: bytes, or a struct with `bytes` as Hugging Face `datasets` writes it.
        settings: how the images were decoded; the same limits hold for masks.
        meaning: of their values.

    Raises:
        MaskError: a file cannot be read, lacks a column, or an image has two rows.
    """

    def __init__(
        self, url: str, column: str, settings: DecodeSettings, meaning: Meaning | None = None
    ) -> None:
        """Read the ids."""
        self._folder = Folder(url)
        self._column = column
        self._settings = settings
        self._meaning = meaning or Meaning()
        self._places = Places()
        self._group: tuple[tuple[int, int], pa.Table] | None = None
        self._reading = Lock()
        self._is_of_a_run = False
        self._last = ""
        if self._folder.kind() == "file":
            parent, _, self._last = self._folder.url.rpartition("/")
            self._folder = Folder(parent)
        names = [self._last] if self._last else self._folder.names("")
        self._names = [name for name in names if name.endswith(".parquet")]
        for file in range(len(self._names)):
            self._index(file)
        self._places.sort()
        if not len(self._places):
            raise MaskError(f"{self.url} holds no Parquet file with rows")
        for file, group, row in self._places.repeated():
            image_id = id_text(self._table(file, group, "image_id")["image_id"][row].as_py())
            where = self._folder.url_of(self._names[file])
            raise MaskError(f"{where} has a second mask of {image_id}")

    @property
    def url(self) -> str:
        """Where the file or the folder lies."""
        return self._folder.url_of(self._last)

    @property
    def num_images(self) -> int:
        """How many masks there are."""
        return len(self._places)

    def has(self, image_id: str) -> bool:
        """Tell whether an image has a row."""
        return bool(self._places.find(image_id))

    def read(self, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image that has one; see `MaskFiles.read`."""
        ((file, group, row),) = self._places.find(image_id)
        value = self._masks(file, group)[row].as_py()
        data = value["bytes"] if isinstance(value, dict) else value
        where = f"{self._column} of {image_id} in {self._folder.url_of(self._names[file])}"
        if not isinstance(data, bytes):
            raise MaskError(f"{where} holds {type(data).__name__}, not an encoded mask")
        label_HW = read_labels(data, where, self._settings, self._meaning)
        if self._is_of_a_run and label_HW.shape == (self._settings.size_px,) * 2:
            is_found_HW, _ = mask_to_image(
                label_HW == FOREGROUND, width, height, self._settings.fit
            )
            return np.asarray(is_found_HW, np.uint8)
        require_shape(label_HW.shape, where, image_id, width, height)
        return label_HW

    def example(self) -> str:
        """Name one of the images."""
        return str(id_text(self._table(0, 0, "image_id")["image_id"][0].as_py()))

    def _masks(self, file: int, group: int) -> pa.ChunkedArray:
        """Read a row group of masks, unless it is the one that was read last."""
        with self._reading:
            if self._group is None or self._group[0] != (file, group):
                self._group = (file, group), self._table(file, group, self._column)
            return self._group[1][self._column]

    def _table(self, file: int, group: int, column: str) -> pa.Table:
        with self._folder.open(self._names[file]) as opened:
            parquet = pq.ParquetFile(opened, **ALONE)
            return parquet.read_row_group(group, [column], use_threads=False)

    def _index(self, file: int) -> None:
        where = self._folder.url_of(self._names[file])
        try:
            with self._folder.open(self._names[file]) as opened:
                parquet = pq.ParquetFile(opened, **ALONE)
                self._is_of_a_run = schema.VERSION_KEY in (parquet.schema_arrow.metadata or {})
                missing = {"image_id", self._column} - set(parquet.schema_arrow.names)
                if missing:
                    raise MaskError(
                        f"{where} has no column {', '.join(sorted(missing))}, but "
                        f"{', '.join(parquet.schema_arrow.names)}; "
                        "the setting `column` names that of the masks"
                    )
                for group in range(parquet.num_row_groups):
                    table = parquet.read_row_group(group, ["image_id"], use_threads=False)
                    for row, value in enumerate(table["image_id"].to_pylist()):
                        if (image_id := id_text(value)) is not None:
                            self._places.add(image_id, (file, group, row))
        except pa.ArrowException as error:
            raise MaskError(f"{where} cannot be read as Parquet: {error}") from error
