"""What the errors of object stores mean.

Their clients raise types of their own, which need not be importable here.
"""

from iem_batch.storage.object_store import STORES, redacted

_CREDENTIAL_ERRORS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
_CREDENTIAL_CODES = frozenset(
    ("ExpiredToken", "InvalidAccessKeyId", "InvalidToken", "SignatureDoesNotMatch")
    + ("RequestTimeTooSkewed", "AuthorizationHeaderMalformed", "TokenRefreshRequired")
)
"""Codes of S3 for credentials that are wrong for all objects, not for one."""


_THERE = frozenset(("PreconditionFailed", "ConditionalRequestConflict"))


def error_code(error: BaseException | None) -> str:
    """Give S3's code of what went wrong, of an error or of one behind it; empty if there is none.

    Args:
        error: of a client, or what was made of it.
    """
    if error is None:
        return ""
    answer = getattr(error, "response", None)
    code = answer.get("Error", {}).get("Code", "") if isinstance(answer, dict) else ""
    return code or error_code(error.__cause__)


def concerns_credentials(error: BaseException) -> bool:
    """Tell whether a store does not know who asks; that this one may not is no such error."""
    return (
        error_code(error) in _CREDENTIAL_CODES
        or type(error).__name__ in _CREDENTIAL_ERRORS
        or getattr(error, "code", None) == 401  # of gcsfs
    )


def says_it_is_there(error: BaseException) -> bool:
    """Tell whether a file was not written because there is one, from the error made of that."""
    return isinstance(error.__cause__, FileExistsError) or error_code(error) in _THERE


def cause(error: Exception, scheme: str) -> str:
    """Say in one line what went wrong and, where that is known, what to do."""
    text = redacted(" ".join(str(error).split()))
    kind = type(error).__name__
    credentials = STORES[scheme].credentials
    if isinstance(error, FileNotFoundError):
        return text
    if isinstance(error, PermissionError):
        return f"access denied ({text}); check {credentials}, and what the store allows them"
    if kind in _CREDENTIAL_ERRORS:
        return f"{text}; set {credentials}, or add ?anon=true to the URL of a public bucket"
    if kind in ("EndpointConnectionError", "ConnectTimeoutError", "ClientConnectorError"):
        return f"{text}; check AWS_ENDPOINT_URL, and the network"
    return f"{kind}: {text}" if text else kind
