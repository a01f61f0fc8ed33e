"""Plots for the report: SVG to put inside a page, in colours that follow the page's.

A drawing is made in stand-in colours, which then become the page's CSS variables, so that one
drawing serves light and dark.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_INK, _RULE, _ACCENT, _SECOND = "#010101", "#020202", "#030303", "#040404"
_CSS = {
    _INK: "currentColor",
    _RULE: "var(--rule)",
    _ACCENT: "var(--accent)",
    _SECOND: "var(--second)",
}

_STYLE: dict[Any, Any] = {
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "svg.fonttype": "none",  # text stays text: searchable, and in the page's own font
    "svg.hashsalt": "iem_batch",  # the same numbers give the same bytes
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


def curves(name: str, epochs: Sequence[int], loss: Sequence[float], iou: Sequence[float]) -> Markup:
    """Draw the loss and the IoU of a training over its epochs."""
    from matplotlib.ticker import MaxNLocator

    def draw(axes: "Axes") -> None:
        axes.plot(epochs, loss, color=_ACCENT, marker=".")
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss in nats per pixel (solid)")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        right = axes.twinx()
        right.plot(epochs, iou, color=_SECOND, linestyle="--", marker=".")
        right.set_ylabel("IoU with its labels (dashed)")
        right.set_ylim(0, 1)

    return _svg(name, draw)


def density(
    name: str,
    x_edges: NDArray[np.float64],
    y_edges: NDArray[np.float64],
    counts: NDArray[np.int64],
    labels: tuple[str, str],
) -> Markup:
    """Draw how many images fall into each cell of two scales: the larger a dot the more.

    Args:
        name: unique in the page.
        x_edges: n + 1 edges.
        y_edges: m + 1 edges.
        counts: (n, m).
        labels: of the two axes.
    """
    x, y = np.nonzero(counts)

    def draw(axes: "Axes") -> None:
        x_middle, y_middle = (x_edges[:-1] + x_edges[1:]) / 2, (y_edges[:-1] + y_edges[1:]) / 2
        area = 60 * counts[x, y] / counts.max()
        axes.scatter(x_middle[x], y_middle[y], area, color=_ACCENT, linewidth=0)
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    return _svg(name, draw)


def _svg(name: str, draw: Callable[["Axes"], None]) -> Markup:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.2, 3.0), layout="constrained")
        draw(figure.add_subplot())
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    # Several drawings share a page, so their ids must differ.
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r' width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
    for stand_in, css in _CSS.items():
        svg = svg.replace(stand_in, css)
    # The figure around it carries the text alternative.
    return Markup(svg.replace("<svg ", '<svg aria-hidden="true" ', 1))
