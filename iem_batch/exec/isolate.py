"""Doing a shard whose worker has died, in a child process, and finding the image that kills.

Only a parent that watches its child can tell that an image kills: a worker that is gone may have
been ended by the image, the machine or a person. So the second attempt is made in a
child; if that dies too, halves of the shard are tried, and halves of those, until single images
remain that kill a process of their own every time. They become rows of the quarantine, and their
neighbours are done.
"""

from collections.abc import Container, Sequence
from typing import Any

from iem_batch.errors import WorkerKilledError
from iem_batch.exec.child import Child
from iem_batch.exec.step import ShardStep, Work, do_shard
from iem_batch.run.marks import Mark

KILLS_TO_CONVICT = 2
"""How often an image must kill a process that works on nothing else."""

MAX_KILLERS = 8
"""If more images of a shard than this kill, the engine or the machine is to blame."""

MIN_PROBE_TIMEOUT_S = 60.0
"""However few images are probed, they get this much of the time a shard may take."""


def do_alone(work: Work, shard: int, attempt: int) -> Mark:
    """Do a shard in a child process; images that kill it are quarantined.

    Args:
        work: the step, and the time a shard may take.
        shard: the shard.
        attempt: number of the attempt, for the commit mark.

    Raises:
        WorkerKilledError: the child dies, and no single image is to blame, or too many are.
    """
    timeout_s = work.limits.timeout_s
    with Child() as child:
        try:
            return child.call(timeout_s, _do_shard, work, shard, attempt)
        except WorkerKilledError as death:
            search = _Search(child, work, shard)
            killers = search.killers(death)
        if killers:
            work.step.keep_back(shard, killers)
        # Also without killers: a person may have ended the worker, or another command found them.
        try:
            return child.call(timeout_s, _do_shard, work, shard, attempt)
        except WorkerKilledError as death:
            raise search.nobody(death) from death


class _Search:
    """The search for the images of a shard that kill."""

    def __init__(self, child: Child, work: Work, shard: int) -> None:
        self._child, self._step, self._shard = child, work.step, shard
        self._timeout_s = work.limits.timeout_s
        self._killers: dict[str, str] = {}
        self._num_images = 0

    def killers(self, death: WorkerKilledError) -> dict[str, str]:
        """Find image_id -> what it did; none if no single image is to blame.

        Args:
            death: how the child died of the whole shard.
        """
        image_ids = self._child.call(self._timeout_s, self._step.image_ids, self._shard)
        self._num_images = len(image_ids)
        self._search(image_ids, death)
        return self._killers

    def _search(self, image_ids: Sequence[str], death: WorkerKilledError) -> None:
        """Look into images that together have killed a process."""
        if len(image_ids) > 1:
            middle = len(image_ids) // 2
            for half in (image_ids[:middle], image_ids[middle:]):
                died = self._probe(half)
                if died is not None:
                    self._search(half, died)
            return
        for _ in range(KILLS_TO_CONVICT - 1):
            again = self._probe(image_ids)
            if again is None:
                return
            death = again
        self._killers[image_ids[0]] = str(death)
        if len(self._killers) > MAX_KILLERS:
            raise WorkerKilledError(
                f"more than {MAX_KILLERS} images of the shard kill their process, the first is "
                f"{min(self._killers)}: {death}; the engine or the machine is the likelier cause"
            ) from death

    def _probe(self, image_ids: Sequence[str]) -> WorkerKilledError | None:
        """Try some images; returns how the child died of them, if it did."""
        timeout_s = self._timeout_s
        if timeout_s is not None:
            share = timeout_s * len(image_ids) / self._num_images
            timeout_s = min(timeout_s, max(MIN_PROBE_TIMEOUT_S, share))
        try:
            self._child.call(timeout_s, _try, self._step, self._shard, frozenset(image_ids))
        except WorkerKilledError as error:
            return error
        return None

    def nobody(self, death: WorkerKilledError) -> WorkerKilledError:
        """Make the error for a shard that kills as a whole."""
        try:
            largest = self._child.call(self._timeout_s, self._step.largest_images, self._shard)
        except WorkerKilledError:  # the images cannot even be read
            largest = ""
        return WorkerKilledError(
            f"the shard {death}, but no single image of it does; its largest images are "
            f"{largest or 'not readable'}. If memory is short, use a smaller plan.shard_size"
        )


def _do_shard(work: Work, shard: int, attempt: int) -> Mark:
    return do_shard(work, work.step.open_engine(1), shard, attempt)


def _try(step: ShardStep[Any], shard: int, wanted: Container[str]) -> None:
    step.open_engine(1)(step.load(shard, wanted))
