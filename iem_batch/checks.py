"""Settings that are one of a few words."""

from collections.abc import Mapping
from typing import Any, get_args

from iem_batch.errors import SettingsError


def require_choices(section: str, settings: object, kinds: Mapping[str, Any]) -> None:
    """Check settings that must be one of the words of a Literal.

    Args:
        section: their section, for the message.
        settings: a record with the values.
        kinds: name of a setting -> its Literal.

    Raises:
        SettingsError: a value is none of the words; the message lists them.
    """
    for name, kind in kinds.items():
        value = getattr(settings, name)
        if value not in get_args(kind):
            raise SettingsError(
                f"{section}.{name} is {value!r}; it must be one of {', '.join(get_args(kind))}"
            )
