"""What a bucket of S3 is set to; only S3's own requests tell."""

from collections.abc import Callable
from typing import Any

from iem_batch.storage import object_store
from iem_batch.storage.store_errors import error_code

NOT_TOLD = "not told"
"""The store does not know the question, or these credentials may not ask it."""

_NONE_IS_SET = ("NoSuchLifecycleConfiguration", "ServerSideEncryptionConfigurationNotFoundError")


def _algorithm(answer: dict[str, Any]) -> str:
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    found = [rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in rules[:1]]
    return found[0] if found else "none"


def _rule(answer: dict[str, Any]) -> str:
    rules = [rule for rule in answer.get("Rules", ()) if rule.get("Status") == "Enabled"]
    return "some" if any("AbortIncompleteMultipartUpload" in rule for rule in rules) else "none"


def _uploads(answer: dict[str, Any]) -> str:
    number = len(answer.get("Uploads", ()))
    return f"{number}{' or more' if answer.get('IsTruncated') else ''}"


QUESTIONS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "region": ("get_bucket_location", lambda found: found.get("LocationConstraint") or "us-east-1"),
    "versions of objects": (
        "get_bucket_versioning",
        lambda found: "kept" if found.get("Status") == "Enabled" else "not kept",
    ),
    "unfinished uploads": ("list_multipart_uploads", _uploads),
    "rule that ends those": ("get_bucket_lifecycle_configuration", _rule),
    "who pays": ("get_bucket_request_payment", lambda found: found.get("Payer", "").lower()),
    "encryption": ("get_bucket_encryption", _algorithm),
}
"""Name of a setting -> the request for it, and what its answer says."""


def is_s3(url: str) -> bool:
    """Tell whether a URL is one of S3."""
    return url.startswith(("s3://", "s3a://"))


def state(url: str) -> dict[str, str]:
    """Ask what a bucket is set to.

    Args:
        url: of something on S3.

    Returns:
        Name of a setting -> its value, for a person; `NOT_TOLD` where nobody says.

    Raises:
        StorageError: the URL cannot be used.
    """
    filesystem, path = object_store.connect(object_store.parse(url))
    bucket = path.partition("/")[0]
    return {name: _ask(filesystem, bucket, *asked) for name, asked in QUESTIONS.items()}


def _ask(filesystem: Any, bucket: str, request: str, read: Callable[[Any], str]) -> str:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return read(filesystem.call_s3(request, Bucket=bucket))
    except (OSError, BotoCoreError, ClientError) as error:
        return "none" if error_code(error) in _NONE_IS_SET else NOT_TOLD
