from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iem_batch.errors import SettingsError
from iem_batch.run.sampling import SAMPLED_TOGETHER, chosen
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Entry, IgnoredFile

Item = Entry | IgnoredFile


class Ranges:
    """A source of one piece of so many images, that remembers the size of entries asked for."""

    exact_bytes = True

    def __init__(self, num_images: int, place: str = "/data", count: str = "exact") -> None:
        self.num_images = num_images
        self.url = f"{place}#format=tar"
        self.place = place
        self.count = count
        self.max_images = 0

    def entries(self, max_images: int = 512):
        self.max_images = max_images
        yield IgnoredFile(uri=f"{self.place}/README")
        for start in range(0, self.num_images, max_images):
            yield Entry(
                uri=f"{self.place}/x.tar",
                start=start,
                stop=min(start + max_images, self.num_images),
                num_bytes=1,
                count=self.count,
                repeats=(start,),
            )

    def read(self, entry: Entry, wanted: object = None):
        raise NotImplementedError


def images(items: object) -> list[int]:
    return [n for item in items if isinstance(item, Entry) for n in range(item.start, item.stop)]


@given(st.integers(1, 300), st.integers(1, 400), st.integers(1, 40), st.integers(0, 3))
def test_sample_of_a_number(num_images: int, number: int, shard_size: int, seed: int) -> None:
    """Exactly so many, in order, each once."""
    settings = PlanSettings(sample=number, shard_size=shard_size, seed=seed)
    found = images(chosen(Ranges(num_images), settings))
    assert len(found) == len(set(found)) == min(number, num_images)
    assert found == sorted(found)


def test_sample_of_a_share() -> None:
    settings = PlanSettings(sample=0.25, seed=1)
    found = images(chosen(Ranges(100_000), settings))
    assert 24_000 < len(found) < 26_000
    other = images(chosen(Ranges(100_000), replace(settings, seed=2)))
    assert len(set(found) & set(other)) < 8_000


def test_sample_depends_on_names_below_the_source_alone() -> None:
    """A copy of the collection elsewhere gives the same sample."""
    settings = PlanSettings(sample=50)
    here, there = Ranges(1000, "/data"), Ranges(1000, "s3://bucket/copy")
    assert images(chosen(here, settings)) == images(chosen(there, settings))
    assert here.max_images == SAMPLED_TOGETHER


def test_limit_and_sample_together() -> None:
    both = PlanSettings(sample=100, limit=30)
    assert (
        images(chosen(Ranges(1000), both))
        == images(chosen(Ranges(1000), PlanSettings(sample=100)))[:30]
    )


def test_cut_of_an_estimate_is_a_bound() -> None:
    """What is estimated may hold fewer images than it is cut to."""
    items = list(chosen(Ranges(20, count="estimated"), PlanSettings(limit=7)))
    [entry] = [item for item in items if isinstance(item, Entry)]
    assert (entry.stop, entry.count, entry.repeats) == (7, "at_most", (0,))


@pytest.mark.parametrize("sample", [0, -1, 1.5, float("nan")])
def test_samples_that_mean_nothing(sample: float) -> None:
    with pytest.raises(SettingsError, match="plan.sample is"):
        PlanSettings(sample=sample)


def test_manifest_keeps_every_field(tmp_path: Path) -> None:
    from iem_batch.run.folder import RunFolder
    from iem_batch.run.manifest import append_manifest, shard_entries

    entries = [
        Entry(uri="ä", start=0, stop=5, num_bytes=7, offset=1 << 40, end=(1 << 40) + 7),
        Entry(uri="b", start=3, stop=4, num_bytes=0, first_key=b"\x00\xff", repeats=(3,)),
        Entry(uri="c", start=0, stop=1, num_bytes=0, count="at_most", problem="it is cut"),
    ]
    run = RunFolder(str(tmp_path))
    shards = [[entries[number % 3]] * (1 + number % 2) for number in range(600)]
    assert append_manifest(run, 0, iter(shards)) == 600
    assert len(run.names("_run/manifest")) == 3
    for number in (0, 1, 255, 256, 599):
        assert shard_entries(run, number) == shards[number]
