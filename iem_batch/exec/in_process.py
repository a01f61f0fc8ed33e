"""Running a step over shards in this process, one shard after another."""

import os
from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

from iem_batch.errors import IEMBatchError
from iem_batch.exec.isolate import do_alone
from iem_batch.exec.journal import Journal
from iem_batch.exec.settings import ShardSettings
from iem_batch.exec.step import Progress, ShardStep, do_shard, raise_failures, stopping_after


def run_in_process(
    step: ShardStep[Any],
    shards: Iterable[int],
    progress: Progress,
    settings: ShardSettings | None = None,
    begun: str = "",
    failed: Callable[[int], None] = lambda shard: None,
) -> None:
    """Do the shards one after another in this process.

    A shard that fails does not stop the others, unless several in a row fail. A shard that was in
    the works when a process died is done in a child process.

    Args:
        step: the step.
        shards: those to do, in order.
        progress: called with the commit mark of each shard as it is done.
        settings: attempts and time limits; None takes the defaults.
        begun: as for `iem_batch.exec.step.commit`.
        failed: called with each shard that is not tried again.

    Raises:
        ShardsFailedError: shards failed; everything else is committed.
    """
    settings = settings or ShardSettings()
    with Journal(step.run, step.name, in_process=True) as journal:
        attempts = journal.open_attempts(list(shards), settings.max_attempts)
        engine = step.open_engine(os.cpu_count() or 1)
        while attempt := attempts.start():
            shard = attempt.shard
            journal.started()
            try:
                if attempt.alone:
                    mark = do_alone(step, shard, attempt.number, begun, settings)
                else:
                    with stopping_after(settings.timeout_s):
                        mark = do_shard(step, engine, shard, attempt.number, begun)
            except (IEMBatchError, OSError, pa.ArrowException) as error:
                cause = f"{type(error).__name__}: {error}"
                if attempts.failed(shard, cause):
                    journal.failed(attempt, cause)
                    failed(shard)
            else:
                attempts.done(shard)
                journal.done(shard)
                progress(mark)
    raise_failures(step.name, attempts.failures)
