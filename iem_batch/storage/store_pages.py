"""The pages of an object store's listing, through the client that `storage` has opened."""

from collections.abc import Iterator
from typing import Any

from iem_batch.storage.walk import Page


def store_pages(filesystem: Any, root: str, prefix: str, deep: bool) -> Iterator[Page]:
    """List a prefix below a folder of an object store; see `iem_batch.storage.walk.Pages`."""
    if hasattr(filesystem, "call_s3"):
        yield from _s3_pages(filesystem, root, prefix, deep)
        return
    # Other clients give a listing as a whole.
    top = f"{root}/{prefix}".rstrip("/")
    found = filesystem.find(top, detail=True) if deep else _by_name(filesystem, top)
    names = {key.removeprefix(root).lstrip("/"): entry for key, entry in found.items()}
    files = {name: entry for name, entry in names.items() if entry["type"] == "file"}
    yield Page(
        files=sorted((name, int(entry["size"])) for name, entry in files.items()),
        folders=sorted(name.rstrip("/") + "/" for name in names.keys() - files.keys()),
    )


def _by_name(filesystem: Any, path: str) -> dict[str, Any]:
    return {entry["name"]: entry for entry in filesystem.ls(path, detail=True)}


def _s3_pages(filesystem: Any, root: str, prefix: str, deep: bool) -> Iterator[Page]:
    bucket, _, top = root.partition("/")
    top = f"{top}/" if top else ""
    request = {"Bucket": bucket, "Prefix": top + prefix}
    if not deep:
        request["Delimiter"] = "/"
    while True:
        found = filesystem.call_s3("list_objects_v2", **request)
        yield Page(
            files=[
                (item["Key"].removeprefix(top), int(item["Size"]))
                for item in found.get("Contents", ())
                if item["Key"] != top
            ],
            folders=[item["Prefix"].removeprefix(top) for item in found.get("CommonPrefixes", ())],
        )
        if not found.get("IsTruncated"):
            return
        request["ContinuationToken"] = found["NextContinuationToken"]
