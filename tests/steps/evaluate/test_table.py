import io

import pytest
from rich.console import Console

from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.folder import MaskFolder
from iem_batch.run.folder import RunFolder
from iem_batch.steps.evaluate.table import label, rich_tables, verdict
from tests.steps.evaluate.evaluations import evaluate, plan_noise
from tests.steps.hand_made import SIZE, row, square, write_png, write_shard

DECODE = DecodeSettings(size_px=SIZE)
TRUTH = square(0, 0, 4)
HALF = square(0, 2, 4)  # IoU 8 / 24


@pytest.fixture
def evaluated(tmp_path):
    """Evaluates a run of one photo, of which IEM has one mask and fuse another."""

    def make(one, fused, **settings):
        write_png(tmp_path / "truth" / "a.png", TRUTH)
        run = RunFolder(str(tmp_path / "run"))
        plan_noise(run, tmp_path / "photos", ["a.jpg"])
        write_shard(run, "segment", 0, [row("a.jpg", one)])
        write_shard(run, "fuse", 0, [row("a.jpg", fused)])
        truth = MaskFolder(str(tmp_path / "truth"), DECODE)
        return evaluate(run, truth, None, DECODE, "cut", **{"baselines": True, **settings})

    return make


def printed(evaluation):
    out = io.StringIO()
    for table in rich_tables(evaluation):
        Console(file=out, width=120).print(table)
    return out.getvalue()


def test_printed_tables(evaluated):
    shown = printed(evaluated(HALF, TRUTH))
    cells = {line[:22].strip(): line[22:].split() for line in shown.splitlines()}
    assert cells["IEM"] == ["1", *["100.0"] * 5]
    # HALF as labelled: 48 / 64, 8 / 24, (8 / 24 + 40 / 56) / 2, 16 / 32; its complement has 8 / 56.
    assert cells["IEM, one first mask"] == ["1", "75.0", "33.3", "52.4", "50.0", "33.3"]
    assert "33.3-33.3" in shown  # of one image nothing more is known
    assert "centre square" in cells


def test_methods_of_equal_scores_have_one_row(evaluated):
    """Catches a table of which half the rows repeat others."""
    shown = printed(evaluated(HALF, HALF, baselines=False, resamples=0)).splitlines()
    both = shown.index(next(line for line in shown if line.startswith("IEM, one first mask")))
    assert shown[both + 1].split() == ["=", "IEM"]
    assert len([line for line in shown if "33.3" in line]) == 1


def test_quoted_rows_are_marked(evaluated):
    """A published figure of another data set must not pass for one measured here."""
    shown = printed(evaluated(HALF, HALF, quote=("flowers102",), baselines=False))
    lines = [line for line in shown.splitlines() if "Flowers-102" in line]
    assert all("quoted, another set" in line for line in lines)
    assert any(line.split()[-4:] == ["88.3", "76.8", "79.0", "84.6"] for line in lines)
    assert any(line.split()[-4:] == ["-", "76.4", "-", "-"] for line in lines)


@pytest.mark.parametrize(
    ("fused", "settings", "said"),
    [
        (TRUTH, {}, "IEM 100.0 (100.0 to 100.0); above the best baseline, "),
        (TRUTH, {"baselines": False}, "IEM 100.0 (100.0 to 100.0)"),
        # IoU 1 / 19: the centre square alone has 9 / 32.
        (square(3, 3, 2), {"resamples": 0}, "IEM 5.3; BELOW the best baseline, "),
    ],
)
def test_verdict(evaluated, fused, settings, said):
    line = verdict(evaluated(~TRUTH, fused, **settings))
    assert line.startswith(f"IoU of 1 image: {said}")
    assert line.endswith(said) == ("baseline" not in said)


@pytest.mark.parametrize(
    ("method", "num_rounds", "shown"),
    [
        ("segment", 1, "IEM, one first mask"),
        ("fuse", 1, "IEM"),
        ("predict", 1, "SegNet"),
        ("predict", 3, "SegNet, round 3"),
        ("predict_round_2", 3, "SegNet, round 2"),
        ("grabcut_112", 1, "GrabCut, rectangle 112"),
        ("all_foreground", 1, "all foreground"),
        ("otsu", 1, "Otsu"),
    ],
)
def test_label(method, num_rounds, shown):
    assert label(method, num_rounds) == shown
