"""Any plan, any order of completion, any failures and kills: each image exactly once."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from iem_batch.exec.attempts import MAX_FAILURES_IN_A_ROW, Attempts
from iem_batch.run.folder import RunFolder
from iem_batch.run.plan import shard_entries, write_plan
from iem_batch.run.settings import PlanSettings
from iem_batch.sources import Entry

OUTCOMES = ("done", "done", "done", "fails", "lost", "done, but the word is lost")
MAX_COMMANDS = 6


@dataclass
class Pieces:
    """A source of pieces of so many images each; nothing in it is ever read."""

    sizes: list[int]
    url: str = "memory://somewhere"
    exact_bytes: bool = True

    def fingerprint(self) -> None:
        return None

    def entries(self, max_images: int = 512):
        for number, size in enumerate(self.sizes):
            for start in range(0, size, max_images):
                stop = min(size, start + max_images)
                yield Entry(uri=f"{number:04d}", start=start, stop=stop, num_bytes=stop - start)

    def images(self) -> list[tuple[str, int]]:
        return [(f"{n:04d}", index) for n, size in enumerate(self.sizes) for index in range(size)]


@dataclass
class Store:
    """What is committed: the images of each shard, written as often as it may be."""

    planned: dict[int, list[tuple[str, int]]]
    written: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    writes: int = 0

    def commit(self, shard: int) -> None:
        again = self.written.get(shard)
        assert again is None or again == self.planned[shard]
        self.written[shard] = self.planned[shard]
        self.writes += 1


def one_command(store: Store, data: st.DataObject, max_attempts: int, *, healthy: bool) -> Attempts:
    """Do what is left with some window of shards in flight, which end in any order."""
    todo = [shard for shard in sorted(store.planned) if shard not in store.written]
    suspects = set(data.draw(st.lists(st.sampled_from(todo), max_size=3))) if todo else set()
    attempts = Attempts(todo, max_attempts, suspects, dict.fromkeys(suspects, 1))
    window = data.draw(st.integers(1, 4))
    tries: dict[int, int] = {}
    while attempts.unfinished and not attempts.given_up:
        while len(attempts.in_flight) < window and (attempt := attempts.start()):
            tries[attempt.shard] = tries.get(attempt.shard, 0) + 1
            assert tries[attempt.shard] <= max_attempts
            assert attempt.alone >= (attempt.shard in suspects)
        shard = data.draw(st.sampled_from(sorted(attempts.in_flight)))
        outcome = "done" if healthy else data.draw(st.sampled_from(OUTCOMES))
        if outcome.startswith("done"):
            store.commit(shard)
        if outcome == "done":
            attempts.done(shard)
            continue
        was_alone = attempts.in_flight[shard].alone
        final = attempts.failed(shard, outcome, lost=outcome != "fails")
        assert final == (shard in attempts.failures)
        if not final and (was_alone or outcome != "fails"):
            assert attempts._todo[0].alone, "a shard whose worker was lost is tried alone"
        if not healthy and data.draw(st.integers(0, 20)) == 0:
            return attempts  # the command is killed, with whatever it has in flight
    assert attempts.given_up or set(store.planned) == set(store.written) | set(attempts.failures)
    return attempts


@settings(max_examples=60, derandomize=True)
@given(
    sizes=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    shard_size=st.integers(1, 12),
    max_attempts=st.integers(1, 3),
    data=st.data(),
)
def test_each_image_exactly_once(
    sizes: list[int], shard_size: int, max_attempts: int, data: st.DataObject
) -> None:
    """Catches a shard dropped after a failure, done under another's name, or never tried again."""
    source = Pieces(sizes)
    run = RunFolder(f"memory://bucket/{data.draw(st.uuids())}")
    plan = write_plan(run, source, PlanSettings(shard_size=shard_size))
    planned = {
        shard: [
            (entry.uri, index)
            for entry in shard_entries(run, shard)
            for index in range(entry.start, entry.stop)
        ]
        for shard in range(plan.num_shards)
    }
    run.delete(*(found.name for found in run.walk()))
    assert all(0 < len(images) <= shard_size for images in planned.values())
    store = Store(planned)
    for _ in range(data.draw(st.integers(0, MAX_COMMANDS))):
        one_command(store, data, max_attempts, healthy=False)
    last = one_command(store, data, max_attempts, healthy=True)
    assert not last.failures
    done = [image for shard in sorted(store.written) for image in store.written[shard]]
    assert done == source.images()
    assert len(set(done)) == len(done)


def test_failures_in_a_row_end_the_command_and_a_success_between_them_does_not() -> None:
    attempts = Attempts(range(10), max_attempts=1)
    for outcome in "ffdffdfff":
        attempt = attempts.start()
        assert attempt is not None
        if outcome == "d":
            attempts.done(attempt.shard)
        else:
            attempts.failed(attempt.shard, "no route")
    assert attempts.given_up
    assert attempts.start() is None
    assert len(attempts.failures) == 7 >= MAX_FAILURES_IN_A_ROW


def test_attempts_of_commands_before_do_not_use_up_those_of_this_one() -> None:
    """Catches a shard that has failed before being given up at once when it is tried again."""
    attempts = Attempts([5], max_attempts=2, before={5: 7})
    first = attempts.start()
    assert first is not None
    assert (first.number, first.alone) == (8, False)
    assert not attempts.failed(5, "no route", lost=True)
    second = attempts.start()
    assert second is not None
    assert (second.number, second.alone) == (9, True)
    assert attempts.failed(5, "no route")
