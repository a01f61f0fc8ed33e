"""Which folders this program may write to: those with its marker, and new ones."""

import os
from itertools import islice
from typing import Literal

import iem_batch
from iem_batch.errors import RunMismatchError, SettingsError
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.storage import local_files

Kind = Literal["run", "corpus", "images", "masks"]
"""What a folder is made: a run, or what export, convert or apply writes."""

_EXAMPLES = 3


def adopt(place: RunFolder, kind: Kind) -> None:
    """Make a folder one of this program's, or check that it is.

    Raises:
        RunMismatchError: it was made something else, or somebody else's files are in it.
    """
    found = kind_of(place)
    if found is None:
        if place.kind() == "file":
            raise RunMismatchError(f"{place.url} is a file; give a new or empty folder")
        _require_free(place)
        place.create_json(layout.MARKER, {"kind": kind, "iem_batch": iem_batch.__version__})
        found = kind_of(place)
    if found != kind:
        raise RunMismatchError(f"{place.url} holds a {found}, not a {kind}; give another folder")


def kind_of(place: RunFolder) -> str | None:
    """Tell what a folder of this program is; None for any other."""
    try:
        kind: str = place.read_json(layout.MARKER)["kind"]
    except FileNotFoundError:
        return None
    return kind


def require_made(place: RunFolder, *, a_run: bool) -> None:
    """Check that a folder is one of this program's.

    Args:
        place: the folder.
        a_run: whether it must be a run.

    Raises:
        RunMismatchError: it is not; the message says how one is made.
    """
    kind = kind_of(place)
    if kind == "run" or (kind is not None and not a_run):
        return
    if kind is not None:
        raise RunMismatchError(f"{place.url} holds {kind}, and no run")
    what = "it is a file" if place.kind() == "file" else "there is nothing"
    if not place.is_empty():
        what = f"it holds {_examples(place)}"
    raise RunMismatchError(
        f"{place.url} is no run: {what}; give the folder that `iem-batch run SOURCE RUN` made"
    )


def require_lasting(place: str) -> None:
    """Check that a job submitted to Ray writes to no relative path: it would lie in a package.

    Ray unpacks what was submitted on the head, works in it, and deletes it when it needs the room.

    Args:
        place: a path or URL, as it was given.

    Raises:
        SettingsError: it is relative.
    """
    is_submitted = "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ
    if is_submitted and "://" not in place and not os.path.isabs(place):
        raise SettingsError(
            f"{place} is a relative path, and a job's own folder is deleted with the job; give an "
            "absolute path that every node reaches, or a URL"
        )


def _require_free(place: RunFolder) -> None:
    """Check that a folder is empty, or another command has just made it one of this program's."""
    if place.is_local and local_files.holds_only_a_write_of(place.url, layout.MARKER):
        return  # of another command at work, or cut off by a kill
    if not place.is_empty() and kind_of(place) is None:
        require_empty(place)


def require_empty(place: RunFolder) -> None:
    """Check that nothing is in a folder, or that there is none.

    Raises:
        RunMismatchError: there is something.
    """
    if place.is_empty():
        return
    raise RunMismatchError(
        f"{place.url} is not empty and was not made by iem-batch: it holds {_examples(place)}; "
        "nothing of it is touched, so give a new or empty folder"
    )


def _examples(place: RunFolder) -> str:
    """Name the first files of a folder."""
    names = [file.name for file in islice(place.walk(), _EXAMPLES + 1)]
    return ", ".join(names[:_EXAMPLES]) + ", ..." * (len(names) > _EXAMPLES) or "a folder"


def require_apart(run: RunFolder, source_url: str) -> None:
    """Check that neither a run nor its source lies inside the other.

    Args:
        run: the run, which need not exist.
        source_url: a local path or a URL, without what is said of its format.

    Raises:
        RunMismatchError: one does; the pictures of the run would be taken for images.
    """
    own, source = _place(run.url), _place(source_url)
    if source.startswith(own) or own.startswith(source):
        raise RunMismatchError(
            f"the run {run.url} and its images {source_url} lie inside one another; what the run "
            "writes would be taken for images, so give a folder outside"
        )


def _place(url: str) -> str:
    """Give a folder's real path, or its URL without options, with a slash at the end."""
    whole = os.path.realpath(url) if url.startswith("/") else url.partition("?")[0]
    return whole.rstrip("/") + "/"
