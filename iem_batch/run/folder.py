"""A run folder, or another place with steps of its own, on any storage; see `layout`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from iem_batch.errors import StepMissingError, StorageError
from iem_batch.run.tables import ALONE, encode_table
from iem_batch.storage.folder import Folder
from iem_batch.storage.range_file import RangeFile
from iem_batch.waiting import waiting


@dataclass(frozen=True)
class RunFolder(Folder):
    """A folder with tables and JSON files."""

    def below(self, name: str) -> "RunFolder":
        """Give a place below this one, reached in the same way."""
        return RunFolder(super().below(name).url)

    def read_table(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read a Parquet file, or only some of its columns.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it is damaged, or cannot be read.
        """
        question = f"the answer to: read {self.url_of(name)}"
        with self.open(name) as file, waiting(lambda: question, "storage"):
            try:
                table = pq.ParquetFile(file, **ALONE).read(columns, use_threads=False)
                return table if columns is None else table.select(columns)
            except (pa.ArrowException, OSError, KeyError) as error:  # pyarrow raises any of these
                raise StorageError(f"{self.url_of(name)} is damaged: {error}") from error

    @contextmanager
    def open_table(self, name: str) -> Iterator[pq.ParquetFile]:
        """Open a Parquet file to read single columns, and of the file no more than they take.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it is damaged, or cannot be read.
        """
        source: Any = self.url_of(name)
        if not self.is_local:
            source = RangeFile(self, name, 0, self.size(name))
        try:
            with pq.ParquetFile(source, pre_buffer=not self.is_local) as file:
                yield file
        except pa.ArrowException as error:
            raise StorageError(f"{self.url_of(name)} is damaged: {error}") from error

    def write_table(self, name: str, table: pa.Table) -> str:
        """Write a Parquet file by `encode_table`; returns its SHA-256 in hexadecimal."""
        return self.write_bytes(name, encode_table(table))

    def read_json(self, name: str) -> Any:
        """Read a JSON file.

        Raises:
            FileNotFoundError: there is no such file.
            StorageError: it is damaged, or cannot be read.
        """
        try:
            return json.loads(self.read_bytes(name))
        except ValueError as error:
            raise StorageError(f"{self.url_of(name)} is damaged: {error}") from error

    def write_json(self, name: str, value: Any) -> str:
        """Write a JSON file, keys in the order given; returns its SHA-256."""
        return self.write_bytes(name, _json(value))

    def create_json(self, name: str, value: Any) -> None:
        """Write a JSON file if there is none, see `Folder.create`."""
        self.create(name, _json(value))

    def require(self, name: str, command: str) -> None:
        """Check that an earlier command has left its output.

        Raises:
            StepMissingError: `name` is not there; the message names the command to run first.
        """
        if not self.exists(name):
            raise StepMissingError(
                f"{self.url} has no finished {command}; run `iem-batch {command}` first", command
            )


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def title(run: RunFolder, place: RunFolder, step: str) -> str:
    """Name a step for people: with its round if that is not the first, or with its folder."""
    if place == run:
        return step
    inside = place.url_of("").removeprefix(run.url_of("") + "/")
    return f"{inside}/{step}" if inside != place.url_of("") else f"{place.url_of('')}: {step}"
