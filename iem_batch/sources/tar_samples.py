"""Samples of WebDataset: members of a tar that follow one another with one name up to a dot.

What lies beside an image is kept as text: ``txt`` or ``cls`` as it is, of ``json`` also a field, as
in ``json.caption``.
"""

import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from iem_batch.sources.tar_members import Member, TarReader
from iem_batch.sources.text_rows import json_object, json_text

MAX_TEXT_BYTES = 1 << 20
"""What is longer beside an image is not kept."""

MAX_TOGETHER = 64
"""Images of a sample that are read together; of more, the later ones may lack what is kept."""

Found = tuple[Member, str | None]
"""A member, and its id if it is an image that is taken."""


def with_texts(found: Iterable[Found]) -> Iterator[Found]:
    """Give images what lies beside them as `Member.beside`; that does not come itself.

    The range of the first image of a sample begins with the sample, that of the last ends with it.

    Args:
        found: the members in order.
    """
    for _, group in groupby(found, key=lambda pair: _sample(pair[0])):
        sample = list(group)
        images = [(member, image_id) for member, image_id in sample if image_id is not None]
        if not images:
            yield from sample
        beside = {_extension(member): member for member, image_id in sample if image_id is None}
        for index, (member, image_id) in enumerate(images):
            is_first, is_last = member is images[0][0], member is images[-1][0]
            member = replace(
                member,
                beside=beside,
                offset=sample[0][0].offset if is_first else member.offset,
                end=sample[-1][0].end if is_last else member.end,
                joins=index % MAX_TOGETHER > 0,
            )
            yield member, image_id


def kept_texts(
    reader: TarReader, beside: Mapping[str, Member], keep: Sequence[str]
) -> tuple[str | None, ...]:
    """Read what lies beside an image; None for what does not, or is too long."""
    return tuple(_kept(reader, beside, name) for name in keep)


def names_beside(reader: TarReader, beside: Mapping[str, Member]) -> list[str]:
    """List what could be kept of what lies beside an image."""
    texts = {extension: _text(reader, member) or "" for extension, member in beside.items()}
    fields = {extension: json_object(text) or () for extension, text in texts.items()}
    return [*beside, *(f"{extension}.{name}" for extension in beside for name in fields[extension])]


def _kept(reader: TarReader, beside: Mapping[str, Member], name: str) -> str | None:
    if name in beside:
        return _text(reader, beside[name])
    for extension, member in beside.items():
        if name.startswith(f"{extension}."):
            found = json_object(_text(reader, member) or "")
            if found is not None:
                return json_text(found, name.removeprefix(f"{extension}."))
    return None


def _text(reader: TarReader, member: Member) -> str | None:
    if member.info is None or not member.info.isreg() or member.info.size > MAX_TEXT_BYTES:
        return None
    try:
        data = reader.data(member)
    except tarfile.TarError:
        return None
    return data.decode(errors="backslashreplace").rstrip("\r\n")


def _sample(member: Member) -> str:
    """Give the key of a sample; a damaged place is one of its own."""
    if not member.name:
        return f"/{member.offset}"
    folder, slash, base = member.name.rpartition("/")
    return f"{folder}{slash}{base.partition('.')[0]}"


def _extension(member: Member) -> str:
    return member.name.rpartition("/")[2].partition(".")[2].lower()
