"""What a new user does wrong, and the line that each of it ends in."""

import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

from iem_batch.cli import main
from tests.calling import Call
from tests.pictures import textured_disc, write_folder, write_masks

QUICK = [
    "--plan.shard_size=2",
    "--decode.size_px=16",
    "--iem.sigma_px=1",
    "--iem.kernel_px=3",
    "--iem.iterations=1",
    "--segment.backend=torch",
    "--segment.init_shares=[0.5]",
]

YAML = {
    "key.yaml": "plan: {limit: 3}\niem:\n  sigma_px: 2\n  iteration: 9\n",
    "section.yaml": "iem:\n  iterations: 9\ntopkk:\n  k: 3\n",
    "value.yaml": "iem:\n  iterations: many\n",
    "rule.yaml": "# a small k\ntopk:\n  k: -3\n",
    "broken.yaml": "iem: {iterations: 3\n",
    "list.yaml": "- iem\n- topk\n",
    "plain.yaml": "iem: 3\n",
}


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who begins.

    photos, truth for them, a run with masks, one that is only planned, and what is no run.
    """
    root = tmp_path_factory.mktemp("work")
    pictures = [textured_disc(seed, 24, 24) for seed in range(4)]
    write_folder(root / "photos", pictures)
    write_masks(root / "truth", pictures)
    write_masks(root / "others", [textured_disc(99, 24, 24)._replace(name="zebra")])
    (root / "empty").mkdir()
    (root / "note.txt").write_text("remember the milk\n")
    Image.fromarray(pictures[0].image).save(root / "one.png")
    for name, text in YAML.items():
        (root / name).write_text(text)
    main(["plan", str(root / "photos"), str(root / "planned"), *QUICK])
    main(["segment", str(root / "photos"), str(root / "run"), "--local", *QUICK])
    main(["fuse", str(root / "run"), "--local"])
    main(["convert", str(root / "photos"), str(root / "shards"), "--local"])
    shutil.copytree(root / "planned", root / "newer")
    with (root / "newer/_run/config.yaml").open("a") as config:
        config.write("clairvoyance:\n  years: 2\n")
    return root


FLAGS = [
    ("", 2, "give a command, as in `iem-batch run photos run`"),
    ("sgement photos new", 2, "there is no command sgement; did you mean segment?"),
    ("segmentation photos new", 2, "did you mean segment?"),
    ("segment", 2, "segment needs SOURCE and RUN, as in `iem-batch segment photos run`"),
    ("run photos", 2, "run needs RUN, as in `iem-batch run photos run`"),
    ("status run run", 2, "run is one argument too many; it is `iem-batch status RUN`"),
    ("segment photos new --iem.iteration 3", 2, "did you mean --iem.iterations?"),
    ("segment photos new --iterations 3", 2, "did you mean --iem.iterations?"),
    ("segment photos new -limit 3", 2, "did you mean --limit?"),
    ("train run --rounds 2", 2, "did you mean --topk.rounds?"),
    ("train run --lr 0.1", 2, "train has no flag --lr; `iem-batch train --help` lists all"),
    ("doctor --adress auto", 2, "did you mean --address?"),
    ("status run --josn", 2, "did you mean --json?"),
    ("segment photos new --iem.iterations", 2, "needs a value; it must be a whole number"),
    ("segment photos new --local=yes", 2, "--local takes no value, and was given yes"),
]

VALUES = [
    ("topk run -k abc", 2, "-k is 'abc'; it must be a whole number, at least 1"),
    ("topk run -k 0", 2, "topk.k is 0; it must be at least 1"),
    ("topk run --fraction 2", 2, "topk.fraction is 2.0; it must be in 0..1"),
    ("topk run -k 2 --fraction 0.5", 2, "-k and --fraction say the same; give one of them"),
    ("topk run --rounds 0", 2, "topk.rounds is 0; it must be at least 1"),
    (
        "segment photos new --iem.iterations 1.5",
        2,
        "is '1.5'; it must be a whole number, 0 or above",
    ),
    ("segment photos new --iem.sigma_px=-1", 2, "iem.sigma_px is -1.0; it must be above 0"),
    ("segment photos new --iem.smoothing maybe", 2, "it must be true or false"),
    ("segment photos new --decode.fit stretch", 2, "must be one of squash, crop, letterbox"),
    ("segment photos new --segment.backend gpu", 2, "there is no backend 'gpu'; use auto, "),
    ("segment photos new --segment.init_shares half", 2, "above 0 and below 1"),
    ("segment photos new --segment.init_shares 0.5 1.5", 2, "is [0.5, 1.5]; it must be"),
    ("segment photos new --decode.size_px=1", 2, "a first mask of side"),
    ("segment photos new --shards 5:2", 2, "it must be A:B with A below B, as in 0:100"),
    ("segment photos run --shards 7:9", 2, "segment has the shards 0:2"),
    (
        "segment photos new --cluster.address auto",
        2,
        "which --local does without; drop one of them",
    ),
    ("convert photos new --to lmdb", 2, "--to is 'lmdb'; it must be one of parquet, tar"),
    ("export run --format voc", 2, "must be one of parquet, webdataset, coco, "),
]

FILES = [
    ("segment photos new --config key.yaml", 2, "key.yaml, line 4: iem has no setting iteration"),
    ("segment photos new --config section.yaml", 2, "section.yaml, line 3: there is no section"),
    ("segment photos new --config value.yaml", 2, "value.yaml, line 2: iem.iterations is 'many'"),
    ("topk run --config rule.yaml", 2, "rule.yaml, line 3: topk.k is -3"),
    ("segment photos new --config broken.yaml", 2, "broken.yaml, line 2: this is not YAML"),
    ("segment photos new --config list.yaml", 2, "list.yaml, line 1: there must be sections"),
    ("segment photos new --config plain.yaml", 2, "line 1: there must be settings of iem"),
    ("segment photos new --config none.yaml", 2, "none.yaml; there is no such file"),
    ("fuse newer", 2, "no section clairvoyance; has another version made the run?"),
]

PLACES = [
    ("segment nowhere new", 1, "nowhere does not exist"),
    ("segment one.png new", 1, "one.png is one file; give the folder that holds the images"),
    ("segment note.txt new", 1, "is neither tar, zip, Parquet, LMDB nor a list of URLs or paths"),
    ("segment empty new", 1, "empty is empty"),
    ("segment photos photos", 1, "lie inside one another"),
    ("segment photos truth", 1, "is not empty and was not made by iem-batch: it holds disc_000"),
    ("segment photos note.txt", 1, "note.txt is a file; give a new or empty folder"),
    ("segment truth run", 1, "was planned"),
    ("status nowhere", 1, "nowhere is no run: there is nothing"),
    ("topk photos", 1, "photos is no run: it holds disc_000.png, disc_001.jpg"),
    ("verify note.txt", 1, "note.txt is no run: it is a file"),
    ("fuse shards", 1, "shards holds images, and no run"),
    ("show zebra run", 2, "has no image of this name; one of its images is disc_000.png"),
    ("show disc_001 run", 2, "did you mean disc_001.jpg?"),
    ("show zebra nowhere", 2, "nowhere is no run"),
    ("evaluate run", 2, "evaluate needs --truth, a folder of masks named like the images"),
    ("evaluate run --truth nowhere", 1, "there is no"),
    ("evaluate run --truth others", 1, "masks are named like their images"),
    ("evaluate run --truth note.txt", 1, "is neither a folder of masks nor"),
    ("apply note.txt photos new", 1, "is truncated, damaged or not in the safetensors format"),
    ("apply run photos new", 1, "run holds no trained network"),
    ("ship run new", 1, "run holds no trained network"),
]

ORDER = [
    ("fuse planned", 1, "fuse needs segment first"),
    ("export planned", 1, "export needs segment, fuse and topk first"),
    ("export planned", 1, "or `iem-batch segment {work}/photos {work}/planned`"),
    ("train run", 1, "train needs topk and export first"),
    ("refine run", 1, "iem-batch run {work}/photos {work}/run`, which does them all"),
    ("upscale planned", 1, "upscale needs segment and fuse first"),
    ("topk run --rounds 3", 1, "--rounds 3`, which does them all"),
    ("segment photos run --iem.iterations 7", 1, "iem.iterations: 1 before, 7 now"),
]


@pytest.mark.parametrize(
    ("typed", "status", "message"),
    [
        pytest.param(*mistake, id=mistake[0] or "nothing")
        for mistake in [*FLAGS, *VALUES, *FILES, *PLACES, *ORDER]
    ],
)
def test_a_mistake_ends_in_a_line_that_helps(
    work: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    typed: str,
    status: int,
    message: str,
) -> None:
    monkeypatch.chdir(work)
    arguments = typed.split()
    local = ["--local"] if arguments and arguments[0] != "doctor" else []
    shutil.rmtree(work / "new", ignore_errors=True)
    got, output, error = call(*arguments, *local)
    assert message.replace("{work}", str(work)) in error
    assert got == status
    assert len(error.splitlines()) <= 3
    assert output.partition(":")[0] in ("", "plan")


@pytest.mark.parametrize("shares", [["0.34", "0.47"], ["0.34,0.47"], ["[0.34, 0.47]"]])
@pytest.mark.parametrize("behind", [True, False])
def test_a_list_is_written_in_any_way(
    work: Path, call: Call, tmp_path: Path, shares: list[str], behind: bool
) -> None:
    flag, places = ["--segment.init_shares", *shares], [work / "photos", tmp_path / "run"]
    status, _, error = call("plan", *([*places, *flag] if behind else [*flag, *places]))
    assert (status, error) == (0, "")
    config = (tmp_path / "run/_run/config.yaml").read_text()
    assert "init_shares:\n  - 0.34\n  - 0.47\n" in config


def test_what_is_well_says_so(work: Path, call: Call) -> None:
    """Nobody should have to know that no news is good news."""
    assert "all is well" in call("verify", work / "run")[1]
    assert "nothing has failed" in call("retry", work / "run")[1]
    assert json.loads(call("status", work / "run", "--json")[1])[0]["state"] == "done"
