"""The groups among which a selection is shared out."""

import io
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from iem_batch.errors import SettingsError
from iem_batch.run import schema
from iem_batch.run.tables import ALONE
from iem_batch.steps.topk.lists import read_file
from iem_batch.steps.topk.settings import GROUP_BY_FOLDER, TopkSettings


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Which image is in which group."""

    table: pa.Table | None
    """image_id and group, all of it in memory; None where the folder of an image is its group."""

    def attach(self, rows: pa.Table) -> pa.Table:
        """Add the column group to rows with an image_id; those in no group are dropped."""
        if self.table is None:
            # An id is a path below the source; an image at the top is in the group without a name.
            folder = pc.replace_substring_regex(rows["image_id"], r"(^|/)[^/]*$", "")
            return rows.append_column("group", folder)
        found = pc.index_in(rows["image_id"], value_set=self.table["image_id"])
        rows = rows.append_column("group", self.table["group"].take(found))
        return rows.filter(pc.is_valid(rows["group"]))


def open_groups(settings: TopkSettings) -> Groups | None:
    """Open the groups that the settings ask for; None if they ask for none.

    Raises:
        SettingsError: the table is not there, lacks a column, or has an image twice.
    """
    if settings.per_group in (None, GROUP_BY_FOLDER):
        return None if settings.per_group is None else Groups(table=None)
    assert settings.groups is not None
    table = _read(settings.groups, ["image_id", settings.per_group])
    table = table.rename_columns(["image_id", "group"]).cast(
        pa.schema([("image_id", pa.string()), ("group", pa.string())])
    )
    if pc.count_distinct(table["image_id"]).as_py() < len(table):
        raise SettingsError(f"topk.groups: {settings.groups} has an image_id more than once")
    return Groups(table=table)


def groups_digest(url: str) -> str:
    """Hash a table of groups.

    Raises:
        SettingsError: the table is not there.
    """
    return schema.checksum(read_file("groups", url))


def _read(url: str, columns: list[str]) -> pa.Table:
    data = read_file("groups", url)
    try:
        if data.startswith(b"PAR1"):
            return (
                pq.ParquetFile(io.BytesIO(data), **ALONE)
                .read(columns, use_threads=False)
                .select(columns)
            )
        text = dict.fromkeys(columns, pa.string())  # else a group 007 becomes 7
        options = pacsv.ConvertOptions(include_columns=columns, column_types=text)
        return pacsv.read_csv(io.BytesIO(data), convert_options=options)
    except (pa.ArrowException, KeyError) as error:
        raise SettingsError(
            f"topk.groups: {url} is no Parquet or CSV file with the columns "
            f"{' and '.join(columns)}: {error}"
        ) from error
