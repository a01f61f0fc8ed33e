"""What is checked before work begins: names and values of settings, and packages of extras.

A settings class says beside each field what its values must be, and checks itself when it is made:

    @dataclass(frozen=True, kw_only=True)
    class PlanSettings(Section, name="plan"):
        shard_size: Annotated[int, at_least(1)] = 512
        limit: Annotated[int, at_least(1)] | None = None

`PlanSettings(limit=0)` raises "plan.limit is 0; it must be at least 1 or null".
"""

import importlib
import socket
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher
from numbers import Real
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

from iem_batch.errors import BackendUnavailableError, IEMBatchError, SettingsError


@dataclass(frozen=True, repr=False)
class Rule:
    """What a value must be; part of the `Annotated` type of a field."""

    text: str
    """How the sentence "it must be ..." ends."""
    holds: Callable[[Any], bool]
    """Called only with values of the type that the rule is part of."""

    def __repr__(self) -> str:
        return self.text  # the help of the command line prints it


def at_least(least: float) -> Rule:
    """Allow `least` and all above it, infinity too."""
    text = "0 or above" if least == 0 else f"at least {least}"
    return Rule(text, lambda value: value >= least)


def above(bound: float) -> Rule:
    """Allow all above `bound`, infinity too."""
    return Rule(f"above {bound}", lambda value: value > bound)


def one_of(names: Collection[str]) -> Rule:
    """Allow some names."""
    return Rule(f"one of {', '.join(names)}", lambda value: value in names)


def within(least: float, most: float) -> Rule:
    """Allow what lies between two bounds, and these."""
    return Rule(f"in {least}..{most}", lambda value: least <= value <= most)


finite = Rule("finite", lambda value: abs(value) < float("inf"))
odd = Rule("odd", lambda value: value % 2 == 1)
share = Rule("between 0 and 1", lambda value: 0 < value < 1)
share_below_1 = Rule("at least 0 and below 1", lambda value: 0 <= value < 1)
whole = Rule("a whole number", lambda value: value % 1 == 0)


def multiple_of(step: int) -> Rule:
    """Allow multiples."""
    return Rule(f"a multiple of {step}", lambda value: value % step == 0)


class Section:
    """Base of the settings of one section: each value is checked against the type of its field."""

    section: ClassVar[str]
    """Its name, for messages."""
    kinds: ClassVar[dict[str, Any]]
    """Field -> its type, rules included."""

    def __init_subclass__(cls, *, name: str) -> None:
        """Take the section's name and the types of its fields."""
        cls.section = name
        hints = get_type_hints(cls, include_extras=True)
        cls.kinds = {field: kind for field, kind in hints.items() if get_origin(kind) != ClassVar}

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            SettingsError: a value that its field's type does not allow.
        """
        for name, kind in self.kinds.items():
            self.require(name, _allows(kind, getattr(self, name)), _text(kind))

    def require(self, name: str, holds: bool, text: str) -> None:
        """Refuse the value of a field unless something holds.

        Args:
            name: of the field.
            holds: whether its value can be used.
            text: what it must be, for the message.
        """
        if not holds:
            value = getattr(self, name)
            shown = list(value) if isinstance(value, tuple) else value
            raise SettingsError(f"{self.section}.{name} is {shown!r}; it must be {text}")


def _allows(kind: Any, value: Any) -> bool:
    """Tell whether a type allows a value; the parser of the flags checks all other types."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_allows(one, value) for one in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple:
        return isinstance(value, tuple) and all(_allows(inner[0], each) for each in value)
    if origin is Annotated:
        return _allows(inner[0], value) and all(rule.holds(value) for rule in kind.__metadata__)
    if kind in (int, float):
        return isinstance(value, Real)
    return (value is None) == (kind is NoneType)


TYPES = {
    NoneType: "null",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def type_text(kind: Any) -> str:
    """Say in words what a value must be, of which not even the type is right."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(type_text, inner))
    if origin is Annotated and inner[0] in (int, float):
        return f"{TYPES[inner[0]]}, {_text(kind)}"
    return _text(kind)


def _text(kind: Any) -> str:
    """Say in words what `_allows` allows."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(map(_text, inner))
    if origin is Literal:
        return inner[0] if len(inner) == 1 else f"one of {', '.join(inner)}"
    if origin is tuple:
        return f"a list, each {_text(inner[0])}"
    if origin is Annotated:
        return " and ".join(rule.text for rule in kind.__metadata__)
    return TYPES.get(kind, "a mapping")


@contextmanager
def needs_extra(
    extra: str, what: str, kind: type[IEMBatchError] = BackendUnavailableError
) -> Iterator[None]:
    """Explain a failed import in the block: the package is one that an extra installs.

    Args:
        extra: name of the extra.
        what: whatever needs the package, for the message.
        kind: of the error.

    Raises:
        IEMBatchError: the package is not installed; of the kind given.
    """
    try:
        yield
    except ImportError as error:
        package = (error.name or "a package").partition(".")[0]
        raise kind(
            f"{what} needs {package}, which is not installed; pip install 'iem-batch[{extra}]'"
        ) from error


def import_named(setting: str, path: str, users: str) -> Any:
    """Import what a setting names.

    Args:
        setting: its name, for messages.
        path: its value, "package.module:Class".
        users: which machines need it, for messages: "every machine that ...".

    Raises:
        SettingsError: it cannot be imported here, or is not there.
    """
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise SettingsError(f'{setting} is {path!r}; write it as "package.module:Class"')
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise SettingsError(
            f"{setting}: {module_name} cannot be imported on {socket.gethostname()}: "
            f"{first_line(error)}. Install it, or put its folder on PYTHONPATH, on every machine "
            f"that {users}"
        ) from error
    if not hasattr(module, name):
        raise SettingsError(f"{setting} is {path!r}, and {module_name} has no such name")
    return getattr(module, name)


def call_named(setting: str, path: str, kind: Callable[..., Any], arguments: Any) -> Any:
    """Call what `import_named` gave.

    Args:
        setting: as there; that of the arguments is called the same with `_args` behind it.
        path: as there.
        kind: the class.
        arguments: by name, from the settings.

    Raises:
        SettingsError: it raises.
    """
    try:
        return kind(**arguments)
    except Exception as error:
        raise SettingsError(
            f"{setting} {path} cannot be made with {setting}_args {arguments}: {first_line(error)}"
        ) from error


def first_line(error: Exception) -> str:
    """Say in one line what was raised."""
    return f"{type(error).__name__}: {error}".splitlines()[0]


LIKELY = 0.6
"""Likeness from which a name is taken for a slip of another."""


def did_you_mean(name: str, names: Iterable[str], own: str = "") -> str:
    """Give the end of a message: the name that is most like one that does not exist, if any is.

    Args:
        name: what was given.
        names: what exists. Of `section.setting` the second half is compared too.
        own: section that is preferred among those that are equally like it.
    """

    def likeness(other: str) -> tuple[float, bool]:
        bare, other_bare = name.lstrip("-"), other.lstrip("-")
        halves = (other_bare, other_bare.rpartition(".")[2])
        ratio = max(SequenceMatcher(None, bare.replace("-", "_"), half).ratio() for half in halves)
        return ratio, other_bare.startswith(f"{own}.")

    best = max(names, key=likeness)
    return f"; did you mean {best}?" if likeness(best)[0] >= LIKELY else ""
