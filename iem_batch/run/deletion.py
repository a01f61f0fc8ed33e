"""The only module that deletes files of a run; it deletes only those that the run's records name.

A step is dropped file by file, as its marks name them; of a shard that was begun and has no mark,
these are the files that the shard would have. Its record is marked as dropped first and
deleted last, so the next command finishes a deletion that was cut off, and nothing half-deleted is
taken for done. Files that no record names stay.
"""

import contextlib
from collections.abc import Container, Iterable
from dataclasses import replace

from iem_batch.errors import StorageError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import committed, read_marks, read_record, read_summary, write_record
from iem_batch.storage import local_files


def drop_step(
    place: RunFolder, step: str, further: Iterable[str] = (), parts: Iterable[str] = ()
) -> None:
    """Delete what a step has written in a place; does nothing where it was not started.

    Args:
        place: a run, a round or a corpus elsewhere, on which no command is at work.
        step: its name.
        further: names of files that it keeps beside those of its marks.
        parts: folders in which each of its shards may have a file.
    """
    record = read_record(place, step)
    if record is None:
        return
    write_record(place, step, replace(record, is_dropped=True))
    shards = set(range(record.num_shards))
    done = committed(place, step) & shards
    failures = _files_of(place, layout.failures(step), shards)
    unmarked = [name for folder in parts for name in _files_of(place, folder, shards - done)]
    beside = [*further, *failures, *unmarked]
    whole = read_summary(place, step)
    delete_summary(place, step)  # first: half-dropped, it must not look complete
    folders = {name.rpartition("/")[0] for name in (*beside, *(whole.files if whole else ()))}
    for mark in read_marks(place, step, sorted(done)):
        place.delete(*mark.files)
        place.delete(layout.mark(step, mark.shard))
        folders |= {name.rpartition("/")[0] for name in mark.files}
    place.delete(*beside)
    delete_unfinished_writes(place, {step, *folders})
    place.delete(layout.record(step))  # by itself: a store deletes many in any order
    own = {"_run/steps", "_run/done", f"_run/stats/{step}"}
    place.delete_empty_folders(folders | own)


def _files_of(place: RunFolder, folder: str, shards: Container[int]) -> list[str]:
    """List the files of a folder that are named as those of these shards are."""
    names = [name for name in place.names(folder) if layout.shard_of(name) in shards]
    return [f"{folder}/{name}" if folder else name for name in names]


def delete_summary(place: RunFolder, step: str) -> None:
    """Take back that a step has finished."""
    whole = read_summary(place, step)
    place.delete(*(whole.files if whole else ()), layout.summary(step))


def reopen(place: RunFolder, step: str, shards: Iterable[int]) -> None:
    """Mark shards of a step as not done; the next command does them again."""
    delete_summary(place, step)  # first: the step is not whole any more
    for shard in shards:
        place.delete(layout.mark(step, shard))


def delete_own(place: RunFolder, *names: str) -> None:
    """Delete files that this program wrote; they need not exist."""
    place.delete(*names)


def delete_leniently(place: RunFolder, name: str) -> None:
    """Delete a file that only people read; a failure of the store is ignored."""
    with contextlib.suppress(StorageError):
        place.delete(name)


def delete_unfinished_writes(place: RunFolder, folders: Iterable[str]) -> None:
    """Delete the hidden files of writes that a kill has cut off; only local folders have them."""
    if place.is_local:
        for folder in folders:
            local_files.delete_unfinished_writes(f"{place.url}/{folder}")
