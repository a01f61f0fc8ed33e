"""Comparing what a step was begun with and what it would be resumed with."""

from typing import Any, Literal

Changes = dict[str, tuple[Any, Any]]
"""Dotted name of an entry -> what it was before and is now."""


def changes(before: dict[str, Any], now: dict[str, Any]) -> Changes:
    """List the entries in which two records differ, by name."""
    old, new = _flatten(before), _flatten(now)
    return {
        name: (old.get(name), new.get(name))
        for name in sorted(old | new)
        if old.get(name) != new.get(name)
    }


def refusal(url: str, changed: Changes, kind: Literal["settings", "versions"]) -> str:
    """Say why a step is not resumed, and what can be done.

    Args:
        url: where its output is.
        changed: at least one entry.
        kind: what the entries are.
    """
    accept = ""
    if kind == "versions":
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
