from pathlib import Path

from iem_batch.data.plan import read_plan
from iem_batch.data.run_folder import RunFolder
from iem_batch.data.settings import PlanSettings
from iem_batch.data.sources import open_source
from iem_batch.stages.plan import PlanSummary, plan


def test_summary(tmp_path: Path, picture_folder: Path):
    (picture_folder / "notes.txt").write_bytes(b"1")
    source, run = open_source(str(picture_folder)), RunFolder(str(tmp_path / "run"))
    summary = plan(source, run, PlanSettings(shard_size=5))
    assert summary == PlanSummary(
        num_images=12,
        num_shards=3,
        num_bytes=sum(path.stat().st_size for path in picture_folder.glob("disc_*")),
        num_ignored=1,
        ignored_examples=[f"{picture_folder}/notes.txt"],
        already_planned=False,
    )
    assert read_plan(run).num_images == 12


def test_planning_again_says_so(tmp_path: Path, picture_folder: Path):
    source, run = open_source(str(picture_folder)), RunFolder(str(tmp_path / "run"))
    first = plan(source, run, PlanSettings())
    again = plan(source, run, PlanSettings())
    assert (first.already_planned, again.already_planned) == (False, True)
    assert again.num_images == first.num_images
