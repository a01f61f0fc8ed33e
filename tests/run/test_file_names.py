from itertools import pairwise
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iem_batch.run.file_names import MAX_STEM_BYTES, natural_names, safe_stem

ODD = st.text(st.characters(exclude_categories=[]), max_size=20)
"""Any text, lone surrogates too."""

MEAN = st.text(st.sampled_from("ab/.. %~\\:é\0"), max_size=8)
"""Such as meets every rule."""


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("train_im4", "train_im4"),
        ("train/é 1", "train/é 1"),
        ("v1.0/IMG.2020 (3)", "v1.0/IMG.2020 (3)"),
        ("../../etc/x", "%2E%2E/%2E%2E/etc/x"),
        ("/etc/x", "%/etc/x"),
        (".hidden", "%2Ehidden"),
        ("a%2Fb", "a%252Fb"),
        ("", "%"),
        ("x.jpg/y", "x%2Ejpg/y"),  # a file may be called x.jpg
        ("https://x.org/a?b=~c", "https%3A/%/x.org/a%3Fb=%7Ec"),
    ],
)
def test_names_by_hand(name: str, stem: str) -> None:
    assert safe_stem(name) == stem


def test_what_a_tool_cannot_hold_is_encoded_too() -> None:
    assert safe_stem("a.b/c.d", ".") == "a%2Eb/c%2Ed"
    assert safe_stem("a.b/c.d", "/") == "a.b%2Fc.d"


@given(st.one_of(ODD, MEAN), st.sampled_from(["", ".", "/"]))
def test_any_id_gives_a_safe_path_that_can_be_undone(name: str, unfit: str) -> None:
    """Catches a path that climbs, is hidden or cannot be written, or that two ids share."""
    stem = safe_stem(name, unfit)
    assert len(stem.encode()) <= MAX_STEM_BYTES
    assert not set(stem) & set('\\:*?"<>|\0' + unfit)
    for part in stem.split("/"):
        assert part.strip(" .") == part != ""
    if "~" not in stem:
        parts = ["" if part == "%" else part for part in stem.split("/")]
        assert unquote("/".join(parts), errors="surrogatepass") == name


@given(st.lists(MEAN, unique=True, max_size=30), st.sampled_from(["", ".", "/"]))
def test_no_two_ids_share_a_path(names: list[str], unfit: str) -> None:
    assert len({safe_stem(name, unfit, 64) for name in names}) == len(names)


def test_long_ids_that_begin_alike_stay_apart() -> None:
    """Catches a cut without a hash, and a cut in the middle of a code or a letter."""
    for base in ("x" * 300, "é" * 150, "x" + "é" * 150, "?" * 100, "x" + "?" * 100, "a/" * 150):
        stems = {safe_stem(base + end) for end in "abc"}
        assert len(stems) == 3
        for stem in stems:
            kept, _, end = stem.partition("~")
            assert MAX_STEM_BYTES - 3 <= len(stem.encode()) <= MAX_STEM_BYTES
            assert len(end) == 32
            assert base.startswith(unquote(kept, errors="strict"))


@pytest.mark.parametrize(
    ("image_ids", "names"),
    [
        (["a/b.jpg", "c.PNG", "d", "e.f", "g.tar.gz"], ["a/b", "c", "d", "e.f", "g.tar.gz"]),
        (["a.jpg", "a.png", "b.jpg"], ["a.jpg", "a.png", "b"]),
        (["a", "a.jpg"], ["a", "a.jpg"]),
        (["a.jpg", "a.png", "a.jpg.png"], ["a.jpg", "a.png", "a.jpg.png"]),
        ([], []),
    ],
)
def test_natural_names(image_ids: list[str], names: list[str]) -> None:
    assert natural_names(image_ids) == names


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "/", ".", ".jpg", ".png"]), max_size=5).map("".join),
        unique=True,
    )
)
def test_natural_names_are_all_different(image_ids: list[str]) -> None:
    names = sorted(natural_names(image_ids))
    assert all(one != other for one, other in pairwise(names))
