"""Where the cut falls among the scores, for a terminal."""

from dataclasses import dataclass

import numpy as np
from rich.bar import Bar
from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table

from iem_batch.steps.topk.candidates import ERROR_BINS
from iem_batch.steps.topk.scores import SCORES
from iem_batch.steps.topk.selection import Selection

MAX_ROWS = 20
BAR_WIDTH = 32


@dataclass(frozen=True)
class _Bar:
    count: int
    most: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw in blocks, where the encoding of the terminal has them."""
        if options.ascii_only:
            yield "#" * (BAR_WIDTH * self.count // self.most)
        else:
            yield Bar(self.most, 0, self.count, width=BAR_WIDTH)


def histogram_table(selection: Selection) -> Table:
    """Lay out how many images have which score, and how many of them are selected.

    Args:
        selection: what `topk` found.
    """
    images, selected = np.array(selection.histogram), np.array(selection.histogram_selected)
    filled = np.flatnonzero(images)
    first, last = (filled[0], filled[-1]) if len(filled) else (0, 0)
    step = -(-(last - first + 1) // MAX_ROWS)
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column(SCORES[selection.by].label, no_wrap=True)
    table.add_column("", width=BAR_WIDTH)
    for heading in ("images", "selected"):
        table.add_column(heading, justify="right", no_wrap=True)
    rows = [slice(start, start + step) for start in range(first, last + 1, step)]
    most = max(int(images[row].sum()) for row in rows)
    for row in reversed(rows):
        low, high = ERROR_BINS[row.start], ERROR_BINS[min(row.stop, len(images))]
        count = int(images[row].sum())
        holds_cut = selection.cut is not None and low <= selection.cut < high
        table.add_row(
            f"{low:.2f} to {high:.2f}",
            _Bar(count, max(most, 1)),
            f"{count:,}",
            f"{int(selected[row].sum()):,}" + (" cut" if holds_cut else "    "),
        )
    return table
