"""What each command of `iem-batch` does: one step, and a line that says what came out where."""

from iem_batch.commands.check import retry, verify
from iem_batch.commands.convert import convert
from iem_batch.commands.corpus import export, topk
from iem_batch.commands.full_size import upscale
from iem_batch.commands.images import plan, segment
from iem_batch.commands.look import doctor, evaluate, report, show, status
from iem_batch.commands.network import predict, refine, train
from iem_batch.commands.whole import demo, run

__all__ = [
    "convert",
    "demo",
    "doctor",
    "evaluate",
    "export",
    "plan",
    "predict",
    "refine",
    "report",
    "retry",
    "run",
    "segment",
    "show",
    "status",
    "topk",
    "train",
    "upscale",
    "verify",
]
