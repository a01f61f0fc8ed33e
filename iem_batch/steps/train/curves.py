"""The curves of a training as a file that TensorBoard reads.

The file holds all epochs each time it is written, so a training that was interrupted leaves no gap
and no epoch twice. It lies beside the weights: what deletes or keeps those does so with it.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from iem_batch.segnet.training import EpochRecord

TAGS = ("loss", "iou", "foreground", "seconds", "val_loss", "val_iou")
"""The curves, named like the fields of an `EpochRecord`; there is none of what is None."""


def event_file(history: Sequence[EpochRecord]) -> bytes:
    """Encode a history as TensorFlow records of TensorBoard's events; a step is an epoch.

    The times in it count from the start of 1970, so that the same history gives the same bytes.
    """
    # Imported here: protobuf takes a while, and most commands need none. Ray Train brings it along.
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter

    events = [Event(file_version="brain.Event:2")]
    seconds = 0.0
    for record in history:
        seconds += record.seconds
        found = {tag: getattr(record, tag) for tag in TAGS}
        values = [
            Summary.Value(tag=tag, simple_value=value)
            for tag, value in found.items()
            if value is not None
        ]
        summary = Summary(value=values)
        events.append(Event(wall_time=seconds, step=record.epoch, summary=summary))
    with TemporaryDirectory() as folder:
        file = Path(folder, "events")
        writer = RecordWriter(str(file))
        for event in events:
            writer.write(event.SerializeToString(deterministic=True))
        writer.close()
        return file.read_bytes()
