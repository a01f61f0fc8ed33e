from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iem_batch.run.file_names import MAX_NAME_BYTES, safe_file_name


@pytest.mark.parametrize(
    ("image_id", "extension", "name"),
    [
        ("a.jpg", "png", "a%2Ejpg.png"),
        ("train/é 1.jpg", "jpg", "train%2F%C3%A9%201%2Ejpg.jpg"),
        ("../../etc/x", "", "%2E%2E%2F%2E%2E%2Fetc%2Fx"),
        (".hidden", "png", "%2Ehidden.png"),
        ("a%2Fb", "", "a%252Fb"),
        ("", "png", "%.png"),
        ("https://x.org/a?b=~c", "", "https%3A%2F%2Fx%2Eorg%2Fa%3Fb%3D%7Ec"),
    ],
)
def test_names_by_hand(image_id: str, extension: str, name: str) -> None:
    assert safe_file_name(image_id, extension) == name


@given(st.text(st.characters(exclude_categories=[])), st.sampled_from(["", "png", "jpeg"]))
def test_any_id_gives_a_safe_name_that_can_be_undone(image_id: str, extension: str) -> None:
    """Catches a name with a folder in it, a hidden one, or one that two ids share."""
    name = safe_file_name(image_id, extension)
    assert len(name.encode("ascii")) <= MAX_NAME_BYTES
    assert not set(name) & set('/\\:*?"<>|\0')
    assert not name.startswith(".")
    stem = name.removesuffix(f".{extension}") if extension else name
    if "~" not in name and image_id:
        assert unquote(stem, errors="surrogatepass") == image_id


def test_long_ids_that_begin_alike_stay_apart() -> None:
    """Catches a cut without a hash, and a cut in the middle of a code."""
    for base in ("x" * 300, "é" * 100, "x" + "é" * 100, "xx" + "é" * 100):
        names = {safe_file_name(base + end, "jpg") for end in "abc"}
        assert len(names) == 3
        for name in names:
            stem, _, end = name.partition("~")
            assert len(name) <= MAX_NAME_BYTES
            assert len(end) == 32 + len(".jpg")
            unquote(stem, errors="strict")
