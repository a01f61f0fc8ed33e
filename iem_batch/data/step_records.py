"""Comparing what a step was begun with and what it would be resumed with."""

from typing import Any

VERSIONS = ("version", "libraries")
"""Entries of a step's record that name code, not settings."""

Changes = dict[str, tuple[Any, Any]]
"""Dotted name of an entry -> what it was before and is now."""


def changes(before: dict[str, Any], now: dict[str, Any]) -> Changes:
    """List the entries in which two records of a step differ, by name."""
    old, new = _flatten(before), _flatten(now)
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    }


def are_versions(changed: Changes) -> bool:
    """Tell whether nothing but versions of code has changed."""
    return all(name.split(".")[0] in VERSIONS for name in changed)


def refusal(url: str, changed: Changes) -> str:
    """Say why a step cannot be resumed, and what can be done.

    Args:
        url: where its output is.
        changed: at least one entry.
    """
    kind, accept = "settings", ""
    if are_versions(changed):
        kind = "versions"
        accept = "--accept-versions to keep what is done and do the rest with these versions, "
    lines = [f"  {name}: {old!r} before, {new!r} now" for name, (old, new) in changed.items()]
    return (
        f"{url} was begun with other {kind}:\n"
        + "\n".join(lines)
        + f"\nUse a new run folder, what it was begun with, {accept}or --overwrite to drop "
        "this step and the later ones and do them again."
    )


def _flatten(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = list(value) if isinstance(value, tuple) else value
    return flat
