"""Collections of every kind that grow, and what a run of one holds."""

import gzip
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from iem_batch.run.folder import RunFolder
from iem_batch.storage.folder import Folder
from tests import collections_of_photos
from tests.collections_of_photos import Pictures
from tests.pictures import textured_disc

PIECE = 3
"""Images in a tar or a Parquet file."""


class CutOffError(BaseException):
    """The process was killed."""


def pictures(count: int) -> dict[str, bytes]:
    """Encode pictures whose ids are in the order in which they are added."""
    found = {}
    for seed in range(count):
        buffer = io.BytesIO()
        Image.fromarray(textured_disc(seed, 24, 32).image).save(buffer, "PNG")
        found[f"{seed:03d}.png"] = buffer.getvalue()
    return found


def mixed(pictures: Pictures) -> dict[str, bytes]:
    """Give the pictures other names, so that those added last are not the last by name."""
    return {f"{int(name[:3]) * 7 % 19:03d}.png": data for name, data in pictures.items()}


@dataclass(frozen=True)
class Growing:
    """A collection that is written anew with more pictures; what it had keeps its bytes."""

    kind: str
    root: str
    """Of a local folder, or a bucket."""

    @property
    def stages(self) -> tuple[int, ...]:
        """How many pictures there are at first, and at each of three extensions.

        Pieces grow and are added; but those which cannot be appended to.
        """
        return (6, 9, 12, 18) if self.kind in WHOLE_PIECES else (5, 9, 12, 16)

    def write(self, pictures: Pictures) -> str:
        """Write the collection; returns the URL of the source."""
        local = Path(self.root)
        if self.kind == "s3":
            return self._upload(mixed(pictures))
        if self.kind == "s3 tars":
            return self._upload(_files(collections_of_photos.write_tars, pictures))
        if self.kind == "s3 parquet":
            return self._upload(_files(collections_of_photos.write_parquet, pictures))
        if self.kind == "folder":
            return collections_of_photos.write_folder(local, mixed(pictures))
        if self.kind == "tars":
            return collections_of_photos.write_tars(local, pictures, PIECE)
        if self.kind == "one tar":
            url = collections_of_photos.write_tars(local, pictures, len(pictures))
            return f"{url}/00000.tar"
        if self.kind == "parquet":
            return collections_of_photos.write_parquet(local, pictures, PIECE, 2)
        if self.kind == "lmdb":
            return self._write_lmdb(pictures)
        if self.kind in _OF_FILES:
            return self._write_files(_files(_OF_FILES[self.kind], pictures))
        collections_of_photos.write_folder(local, pictures)
        if self.kind in _LINES:
            return self._write_table(pictures)
        return collections_of_photos.write_url_list(
            local, pictures, lambda name: str(local / "folder" / name)
        )

    def delete_first(self, source: str) -> tuple[str, ...]:
        """Delete the first of several pieces; returns the ids of its images."""
        folder = Folder(source)
        name = folder.names("")[0]
        folder.delete(name)
        if self.kind in ("folder", "s3"):
            return (name,)
        ids = [f"{index:03d}.png" for index in range(PIECE)]
        has_ids = self.kind in ("parquet", "arrow", "s3 parquet")
        return tuple(ids if has_ids else [f"{name}/{each}" for each in ids])

    def _write_files(self, files: Pictures) -> str:
        folder = Path(self.root, self.kind)
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return str(folder)

    def _write_table(self, pictures: Pictures) -> str:
        head, line = _LINES[self.kind]
        path = Path(self.root, f"all.{self.kind}")
        path.write_text(head + "".join(line.format(name) for name in pictures))
        return str(path)

    def _write_lmdb(self, pictures: Pictures) -> str:
        """Put another file in its place: this process may have the one before open."""
        values = {name.encode(): data for name, data in pictures.items()}
        made = Path(collections_of_photos.write_lmdb(Path(self.root, "lmdb.new"), values))
        place = Path(self.root, "lmdb")
        place.mkdir(exist_ok=True)
        (made / "data.mdb").replace(place / "data.mdb")
        return str(place)

    def _upload(self, files: Pictures) -> str:
        folder = Folder(f"{self.root}/photos")
        before = {name: folder.read_bytes(name) for name in folder.names("")}
        for name, data in files.items():
            if before.get(name) != data:
                folder.write_bytes(name, data)
        return folder.url


def _files(write: Callable[..., str], pictures: Pictures) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as root:
        folder = Path(write(Path(root), pictures, PIECE))
        return {path.name: path.read_bytes() for path in folder.iterdir()}


def _write_packed_tars(root: Path, pictures: Pictures, size: int) -> str:
    """Write a folder of tars, each packed as a whole."""
    folder = Path(collections_of_photos.write_tars(root, pictures, size))
    for path in list(folder.iterdir()):
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    return str(folder)


def _write_zips(root: Path, pictures: Pictures, size: int) -> str:
    """Write a folder of zips."""
    names = list(pictures)
    for start in range(0, len(names), size):
        with zipfile.ZipFile(root / f"{start // size:05d}.zip", "w") as archive:
            for name in names[start : start + size]:
                archive.writestr(zipfile.ZipInfo(name), pictures[name])
    return str(root)


_OF_FILES: dict[str, Callable[..., str]] = {
    "zips": _write_zips,
    "packed tars": _write_packed_tars,
    "arrow": collections_of_photos.write_arrow,
}
_LINES = {
    "csv": ("path,image_id\n", "folder/{0},{0}\n"),
    "tsv": ("path\timage_id\n", "folder/{0}\t{0}\n"),
    "jsonl": ("", '{{"path": "folder/{0}", "image_id": "{0}"}}\n'),
}
"""Kind of a list -> its first line, and the line of a picture."""

WHOLE_PIECES = ("zips", "parquet", "arrow", "s3 parquet")
IN_PIECES = ("folder", "tars", "zips", "packed tars", "parquet", "arrow", "s3", "s3 tars")
IN_PIECES += ("s3 parquet",)
KINDS = (*IN_PIECES, "one tar", "lmdb", "urls", *_LINES)


def contents(run: RunFolder, below: str = "") -> dict[str, tuple[bytes, int]]:
    """Read all files of a run, hidden ones too; on a disk with the time of their last change."""
    if not run.is_local:
        found = [file.name for file in run.walk() if file.name.startswith(below)]
        return {name: (run.read_bytes(name), 0) for name in found}
    root = Path(run.url)
    return {
        str(path.relative_to(root)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (root / below).rglob("*")
        if path.is_file()
    }


def rows(run: RunFolder, step: str) -> dict[tuple[str, Any], dict[str, Any]]:
    """Read the rows of a step by image and first mask; none may come twice."""
    found: dict[tuple[str, Any], dict[str, Any]] = {}
    for name in run.names(step):
        with run.open(f"{step}/{name}") as file:
            for row in pq.read_table(file, use_threads=False).to_pylist():
                key = row["image_id"], row.get("init_side")
                assert key not in found
                found[key] = row
    return found


@contextmanager
def killed_after(count: int) -> Iterator[list[str]]:
    """Let a process die at the write or deletion after so many; gives the names of those done."""
    done: list[str] = []

    def spend(name: str) -> None:
        if len(done) == count:
            raise CutOffError
        done.append(name)

    def write(self: Folder, name: str, data: bytes, write: Any = Folder.write_bytes) -> str:
        spend(name)
        sha: str = write(self, name, data)
        return sha

    def create(self: Folder, name: str, data: bytes, create: Any = Folder.create) -> bool:
        spend(name)
        is_new: bool = create(self, name, data)
        return is_new

    def delete(self: Folder, *names: str, delete: Any = Folder.delete) -> None:
        for name in names:
            spend(name)
            delete(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Folder, "write_bytes", write)
        patch.setattr(Folder, "create", create)
        patch.setattr(Folder, "delete", delete)
        yield done
