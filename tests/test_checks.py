"""What a settings class allows, and what it says where a value is not allowed."""

import re
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

import pytest

from iem_batch.checks import (
    Section,
    above,
    at_least,
    finite,
    multiple_of,
    needs_extra,
    odd,
    share,
    share_below_1,
    within,
)
from iem_batch.config import SECTIONS
from iem_batch.errors import BackendUnavailableError, SettingsError, SourceError

NAN, INFINITY = float("nan"), float("inf")


@dataclass(frozen=True, kw_only=True)
class Cake(Section, name="cake"):
    layers: Annotated[int, at_least(1)] = 2
    grams: Annotated[float, above(0), finite] = 500.0
    candles: Annotated[int, odd, at_least(3)] | None = None
    slices: Literal["auto"] | Annotated[int, multiple_of(4)] = "auto"
    icing: Literal["none", "sugar"] = "none"
    eaten: Annotated[float, share_below_1] = 0.0
    ripeness: Annotated[float, share] = 0.5
    rating: Annotated[float, within(0, 5)] = 0.0
    wishes: tuple[Annotated[int, at_least(0)], ...] = ()
    fillings: tuple[Literal["jam", "cream"], ...] = ()
    name: str | None = None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"layers": 1, "grams": 1e-9, "candles": 3, "slices": 4, "icing": "sugar"},
        {"eaten": 0.999, "rating": 0, "wishes": (0, 7), "fillings": ("jam", "jam")},
        {"rating": 5.0, "name": "plum"},
    ],
)
def test_what_can_be_used(values: dict[str, Any]) -> None:
    """Catches bounds that are left out, and null or a word refused where it is allowed."""
    cake = Cake(**values)
    assert all(getattr(cake, name) == value for name, value in values.items())


@pytest.mark.parametrize(
    ("name", "value", "must"),
    [
        ("layers", 0, "at least 1"),
        ("layers", None, "at least 1"),
        ("layers", "two", "at least 1"),
        ("grams", 0.0, "above 0 and finite"),
        ("grams", INFINITY, "above 0 and finite"),
        ("grams", NAN, "above 0 and finite"),
        ("candles", 4, "odd and at least 3 or null"),
        ("candles", 1, "odd and at least 3 or null"),
        ("slices", 6, "auto or a multiple of 4"),
        ("slices", "many", "auto or a multiple of 4"),
        ("icing", "salt", "one of none, sugar"),
        ("eaten", 1.0, "at least 0 and below 1"),
        ("eaten", NAN, "at least 0 and below 1"),
        ("ripeness", 0.0, "between 0 and 1"),
        ("rating", 5.1, "in 0..5"),
        ("rating", NAN, "in 0..5"),
        ("wishes", (3, -1), "a list, each 0 or above"),
        ("fillings", ("jam", "ham"), "a list, each one of jam, cream"),
    ],
)
def test_what_cannot(name: str, value: object, must: str) -> None:
    shown = list(value) if isinstance(value, tuple) else value
    message = f"^{re.escape(f'cake.{name} is {shown!r}; it must be {must}')}$"
    with pytest.raises(SettingsError, match=message):
        Cake(**{name: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_checks_itself(name: str) -> None:
    """Catches a class of settings that is not checked, and messages of another section."""
    section = SECTIONS[name]
    assert issubclass(section, Section)
    assert section.section == name
    assert list(section.kinds) == [field.name for field in fields(section)]  # type: ignore[arg-type]
    section()


def test_a_missing_package_is_said() -> None:
    message = (
        "^the cake needs no_oven, which is not installed; pip install 'iem-batch\\[kitchen\\]'$"
    )
    with (
        pytest.raises(BackendUnavailableError, match=message),
        needs_extra("kitchen", "the cake"),
    ):
        import no_oven.heat  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(SourceError), needs_extra("kitchen", "the cake", SourceError):
        raise ImportError("as libraries raise, without a name")
