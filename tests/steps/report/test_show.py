import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from iem_batch.cli import main
from iem_batch.iem.settings import IEMSettings
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.run.layout import CONFIG
from iem_batch.sources import open_source
from iem_batch.steps.report.gallery import Sources
from iem_batch.steps.report.panels import LABELS, Panel
from iem_batch.steps.report.sheet import PANEL_PX, Row, draw_sheet
from iem_batch.steps.report.show import draw_image
from tests.pictures import textured_disc
from tests.steps.report.test_page import DECODE, HOSTILE, do_everything, planned

__all__ = ["planned"]

FLAGS = ("--decode.size_px", "32", "--segment.init_shares", "[0.6]", "--segment.backend", "torch")
CONFIG_8PX = b"decode: {size_px: 8}\nsegment: {init_shares: [0.5], backend: torch}\n"


def draw(run, tmp_path, image_id):
    sources = Sources(
        run=run,
        place=run,
        source=open_source(str(tmp_path / "photos")),
        decode=DECODE,
        iem=IEMSettings(),
        truth=MaskFolder(str(tmp_path / "truth"), DECODE),
    )
    return draw_image(sources, image_id)


def columns(picture):
    return picture.width // PANEL_PX


def columns_of_file(name):
    with Image.open(name) as picture:
        return columns(picture)


def test_image_with_everything_has_all_panels(planned, tmp_path):
    do_everything(planned, tmp_path)
    assert columns(draw(planned, tmp_path, "a.png")) == len(LABELS)
    assert columns(draw(planned, tmp_path, "b.png")) == 4  # photo, vote, IEM, inpainted
    assert columns(draw(planned, tmp_path, "c.png")) == 3  # an empty mask inpaints nothing
    assert draw(planned, tmp_path, "broken.png") is None


def test_command_on_a_run_and_on_a_file(planned, tmp_path, monkeypatch, capsys):
    do_everything(planned, tmp_path)
    planned.write_bytes(CONFIG, CONFIG_8PX)
    monkeypatch.chdir(tmp_path)
    main(["show", "a.png", "run"])
    assert columns_of_file("a.iem.png") == len(LABELS)
    main(["show", HOSTILE, "run", "--png", "hostile.png"])
    assert columns_of_file("hostile.png") == len(LABELS)
    assert "show: -> hostile.png" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["show", "nothing.png", "run"])
    assert "there is no file nothing.png, and" in capsys.readouterr().err


def test_photo_without_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(textured_disc(0, 40, 60).image).save("cat.jpg")
    main(["show", "cat.jpg", *FLAGS])
    assert columns_of_file("cat.iem.png") == 3


@pytest.mark.parametrize(("rows", "columns"), [(30, 0), (0, 0), (0, 100), (30, 100)])
def test_picture_on_a_terminal(tmp_path, rows, columns):
    """A terminal that does not say how large it is gets the file's name alone."""
    pytest.importorskip("textual_image", reason="textual-image is not installed")
    Image.fromarray(textured_disc(0, 40, 60).image).save(tmp_path / "cat.jpg")
    code = f"from iem_batch.cli import main; main({['show', 'cat.jpg', *FLAGS]})"
    here, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", rows, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3]), "COLORTERM": "truecolor"},
        **dict.fromkeys(("stdin", "stdout", "stderr"), terminal),
    )
    os.close(terminal)
    said = b""
    with suppress(OSError):  # how Linux says that nobody writes any more
        while said_now := os.read(here, 1 << 16):
            said += said_now
    os.close(here)
    assert process.wait() == 0, said.decode()
    assert "show: -> cat.iem.png" in said.decode()
    assert ("▀" in said.decode()) == bool(rows and columns)


def test_long_captions_are_cut_at_their_start():
    panel = Panel(label="photo", alt="", picture_HW3=np.zeros((4, 4, 3), np.uint8))
    short, long = (
        draw_sheet([Row(caption=caption, panels=[panel])]) for caption in ("a", "folder/" * 99)
    )
    assert short.size == long.size
    # A caption that ran over the edge would touch the last column.
    edge = np.asarray(long)[:, -3:]
    assert (edge == edge[0, 0]).all()


def test_name_that_is_not_unicode_can_be_drawn():
    """A file name of bytes that are not UTF-8 has lone surrogates, which Pillow cannot draw."""
    panel = Panel(label="photo", alt="", picture_HW3=np.zeros((4, 4, 3), np.uint8))
    assert draw_sheet([Row(caption="\udcff.jpg", panels=[panel])]).height > 0
