"""The pages of an object store's listing, through the client that `storage` has opened."""

from collections.abc import Iterator
from typing import Any

from iem_batch.storage.walk import Page
from iem_batch.waiting import waiting


def is_s3(filesystem: Any) -> bool:
    """Tell whether S3's own requests can be sent."""
    return hasattr(filesystem, "call_s3")


def split_prefix(path: str) -> tuple[str, str]:
    """Give a folder's bucket, and the prefix of the keys below it."""
    bucket, _, key = path.partition("/")
    return bucket, f"{key}/" if key else ""


def store_pages(filesystem: Any, root: str, prefix: str, deep: bool) -> Iterator[Page]:
    """List a prefix below a folder of an object store; see `iem_batch.storage.walk.Pages`."""
    if is_s3(filesystem):
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
    bucket, top = split_prefix(root)
    request = {"Bucket": bucket, "Prefix": top + prefix}
    if not deep:
        request["Delimiter"] = "/"
    while True:
        with waiting(lambda: f"the answer to: list s3://{bucket}/{request['Prefix']}", "storage"):
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
