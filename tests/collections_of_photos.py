"""The same pictures as a folder, tar, zip, Parquet, LMDB, a list of URLs, tables of paths."""

import gzip
import io
import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Pictures = Mapping[str, bytes]
"""Id -> encoded picture; an id is a relative path."""


def write_folder(root: Path, pictures: Pictures) -> str:
    """Write a folder tree; returns the URL of the source."""
    for name, data in pictures.items():
        path = root / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(root / "folder")


def write_tar(root: Path, pictures: Pictures) -> str:
    """Write one tar, members in a mixed order and with other files between."""
    root.mkdir(parents=True, exist_ok=True)
    names = list(pictures)
    random.Random(0).shuffle(names)
    with tarfile.open(root / "all.tar", "w") as tar:
        for name in names:
            _add(tar, name, pictures[name])
            _add(tar, f"{name}.json", b"{}")
    return str(root / "all.tar")


def write_tars(root: Path, pictures: Pictures, size: int = 25) -> str:
    """Write a folder of tars; an id has its tar before it."""
    (root / "tars").mkdir(parents=True, exist_ok=True)
    names = list(pictures)
    for start in range(0, len(names), size):
        with tarfile.open(root / "tars" / f"{start // size:05d}.tar", "w") as tar:
            for name in names[start : start + size]:
                _add(tar, name, pictures[name])
    return str(root / "tars")


def write_packed_tar(root: Path, pictures: Pictures) -> str:
    """Write one tar, packed as a whole."""
    path = Path(write_tar(root, pictures))
    (root / "all.tar.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    return str(root / "all.tar.gz")


def write_zip(root: Path, pictures: Pictures) -> str:
    """Write one zip."""
    root.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(root / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pictures.items():
            archive.writestr(name, data)
    return str(root / "all.zip")


def write_parquet(root: Path, pictures: Pictures, size: int = 25, rows: int = 7) -> str:
    """Write a folder of Parquet files as Hugging Face has them, with a column of ids."""
    (root / "parquet").mkdir(parents=True, exist_ok=True)
    names = list(pictures)
    for start in range(0, len(names), size):
        some = names[start : start + size]
        images = [{"bytes": pictures[name], "path": name} for name in some]
        kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        table = pa.table(
            {"image": pa.array(images, kind), "image_id": some, "label": [0] * len(some)}
        )
        path = root / "parquet" / f"{start // size:05d}.parquet"
        pq.write_table(table, path, row_group_size=rows)
    return str(root / "parquet")


def write_arrow(root: Path, pictures: Pictures, size: int = 25, rows: int = 7) -> str:
    """Write a folder of Arrow streams, as `save_to_disk` of Hugging Face `datasets` does."""
    folder = Path(write_parquet(root, pictures, size))
    for number, path in enumerate(sorted(folder.iterdir())):
        table = pq.read_table(path)
        path.unlink()
        with pa.ipc.new_stream(folder / f"data-{number:05d}.arrow", table.schema) as writer:
            writer.write_table(table, max_chunksize=rows)
    (folder / "state.json").write_text("{}")
    return str(folder)


def write_lmdb(path: Path, values: Mapping[bytes, bytes]) -> str:
    """Write an LMDB of any keys and values."""
    import lmdb

    path.mkdir(parents=True, exist_ok=True)
    size = 2 * sum(len(key) + len(value) + 5000 for key, value in values.items()) + (1 << 20)
    with lmdb.open(str(path), map_size=size) as environment, environment.begin(write=True) as txn:
        for key, value in values.items():
            txn.put(key, value)
    (path / "lock.mdb").unlink()
    return str(path)


def write_url_list(root: Path, pictures: Pictures, url_of: Callable[[str], str]) -> str:
    """Write a list of URLs, with comments and blank lines between."""
    root.mkdir(parents=True, exist_ok=True)
    lines = [f"# {name}\n{url_of(name)}\n\n" for name in pictures]
    (root / "urls.txt").write_text("".join(lines))
    return str(root / "urls.txt")


def write_paths(root: Path, pictures: Pictures) -> str:
    """Write files and a packed table of their paths, with ids, as JSON Lines."""
    write_folder(root, pictures)
    rows = [json.dumps({"path": f"folder/{name}", "image_id": name}) for name in pictures]
    (root / "all.jsonl.gz").write_bytes(gzip.compress("\n".join(rows).encode()))
    return str(root / "all.jsonl.gz")


def write_csv(root: Path, pictures: Pictures) -> str:
    """Write files and a table of their paths, with ids, as TSV."""
    write_folder(root, pictures)
    rows = [f"folder/{name}\t{name}" for name in pictures]
    (root / "all.tsv").write_text("\n".join(["path\timage_id", *rows]) + "\n")
    return str(root / "all.tsv")


def write_lists(root: Path, pictures: Pictures, size: int = 3) -> str:
    """Write a Parquet file whose rows are lists of pictures, with the name of the first one."""
    root.mkdir(parents=True, exist_ok=True)
    rows = batched(pictures, size)
    images = [[{"bytes": pictures[name], "path": name} for name in row] for row in rows]
    kind = pa.list_(pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    names = [row[0] for row in rows]
    table = pa.table({"images": pa.array(images, kind), "image_id": names, "first": names})
    pq.write_table(table, root / "lists.parquet", row_group_size=7)
    return str(root / "lists.parquet")


def ids_in_lists(names: Iterable[str], size: int = 3) -> dict[str, str]:
    """Give the id of each picture that `write_lists` has written -> its name."""
    rows = batched(names, size)
    return {f"{row[0]}/{place}": name for row in rows for place, name in enumerate(row)}


def batched(names: Iterable[str], size: int) -> list[list[str]]:
    """Put names into groups."""
    every = list(names)
    return [every[start : start + size] for start in range(0, len(every), size)]


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))
