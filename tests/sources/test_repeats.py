import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iem_batch.sources import Entry, IgnoredFile, repeats
from iem_batch.sources.repeats import Listed, mark_repeats


def listed(pieces: list[list[str]]) -> list[Listed]:
    found = [Listed(IgnoredFile(uri="README"))]
    for number, ids in enumerate(pieces):
        entry = Entry(uri=f"{number}", start=10, stop=10 + len(ids), num_bytes=0)
        found += [Listed(entry, ids), Listed(entry)]
    return found


PIECES = st.lists(st.lists(st.text("abc", max_size=2), max_size=9), max_size=20)


@given(pieces=PIECES, in_memory=st.integers(1, 30))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40
)
def test_all_but_the_first_are_marked(
    pieces: list[list[str]], in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the ids are sorted in files; entries without ids pass through."""
    monkeypatch.setattr(repeats, "MAX_IDS_IN_MEMORY", in_memory)
    marked = list(mark_repeats(listed(pieces)))
    seen: set[str] = set()
    expected = []
    for ids in pieces:
        expected.append(tuple(10 + n for n, one in enumerate(ids) if one in seen | set(ids[:n])))
        seen |= set(ids)
    assert [item.repeats for item in marked[1::2] if isinstance(item, Entry)] == expected
    assert all(item.repeats == () for item in marked[2::2] if isinstance(item, Entry))
    assert isinstance(marked[0], IgnoredFile)
