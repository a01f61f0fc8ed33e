"""A picture of panels in rows, one row for an image, for a file, a notebook or a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from iem_batch.steps.report.panels import Panel

PANEL_PX = 192
"""Longer side of a panel; smaller pictures are enlarged without smoothing, so pixels show."""

_GAP_PX = 8
_LINE_PX = 20
_GROUND, _INK, _SOFT = (251, 250, 248), (29, 28, 26), (95, 91, 85)


@dataclass(frozen=True, kw_only=True)
class Row:
    """An image: its panels from left to right, and a line below them."""

    caption: str
    panels: Sequence[Panel]


def draw_sheet(rows: Sequence[Row]) -> Image.Image:
    """Draw the panels of some images with their names.

    Args:
        rows: at least one, each with at least one panel.
    """
    pictures = [[_fitted(panel) for panel in row.panels] for row in rows]
    num_columns = max(len(row) for row in pictures)
    width = num_columns * (PANEL_PX + _GAP_PX) + _GAP_PX
    heights = [max(picture.height for picture in row) + 2 * _LINE_PX + _GAP_PX for row in pictures]
    sheet = Image.new("RGB", (width, sum(heights) + _GAP_PX), _GROUND)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(13)
    top = _GAP_PX
    for row, row_pictures, height in zip(rows, pictures, heights, strict=True):
        bottom = top + height - 2 * _LINE_PX - _GAP_PX
        for column, (panel, picture) in enumerate(zip(row.panels, row_pictures, strict=True)):
            left = _GAP_PX + column * (PANEL_PX + _GAP_PX)
            sheet.paste(picture, (left, top))
            pen.text((left, bottom + 2), panel.label, _SOFT, font)
        caption = _fitting(_printable(row.caption), width - 2 * _GAP_PX, font)
        pen.text((_GAP_PX, bottom + _LINE_PX), caption, _INK, font)
        top += height
    return sheet


def _fitted(panel: Panel) -> Image.Image:
    picture = Image.fromarray(panel.picture_HW3)
    factor = PANEL_PX / max(picture.size)
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    is_larger = factor < 1
    resampling = Image.Resampling.BILINEAR if is_larger else Image.Resampling.NEAREST
    return picture.resize(size, resampling)


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Cut a line off at its start, where long paths differ least."""
    shown = text
    while font.getlength(shown) > width:
        shown = "…" + shown[2 if shown.startswith("…") else 1 :]
    return shown


def _printable(text: str) -> str:
    """Replace what Pillow cannot draw: lone surrogates of file names that are not UTF-8."""
    return text.encode(errors="replace").decode()
