"""CONTRIBUTING.md is followed on toys, in a copy of the package: its lists are short and whole."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from iem_batch.cli import main
from iem_batch.run.folder import RunFolder
from tests.copies import ROOT, Copy, listed
from tests.pictures import Picture, write_folder, write_masks

LIMITS = {
    "step over shards": 4,
    "export format": 3,
    "baseline": 3,
    "selection score": 3,
    "source": 4,
    "engine": 3,
}
"""What is added -> the most files that it may take, its test among them."""

SETTINGS = [
    "--local",
    "--decode.size_px=32",
    "--iem.iterations=3",
    "--segment.init_shares=[0.4,0.6]",
]


@pytest.fixture(scope="module")
def run(pictures: list[Picture], tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of six pictures in two shards up to the selection of four."""
    folder = tmp_path_factory.mktemp("toy")
    write_folder(folder / "photos", pictures[:6])
    write_masks(folder / "truth", pictures[:6])
    run = RunFolder(str(folder / "run"))
    main(["segment", str(folder / "photos"), run.url, "--shard-size=3", *SETTINGS])
    main(["fuse", run.url, "--local"])
    main(["topk", run.url, "-k", "4", "--local"])
    return run


@pytest.mark.parametrize("thing", LIMITS)
def test_lists_are_short_and_name_what_there_is(thing: str) -> None:
    files = listed(thing)
    assert 0 < len(files) <= LIMITS[thing]
    assert files[-1].startswith("tests/")
    for file in files:
        path = ROOT / file
        assert path.exists() or ("NAME" in file and _parent(path).is_dir())


def _parent(path: Path) -> Path:
    parts: Sequence[Path] = [path, *path.parents]
    return next(part.parent for part in reversed(parts) if "NAME" in part.name)


def test_a_step_over_shards(run: RunFolder, tmp_path: Path) -> None:
    copy = Copy(tmp_path, "step over shards", "sharpen")
    copy.write("iem_batch/steps/NAME/__init__.py", '"""The step `sharpen`: nothing yet."""\n')
    copy.write("iem_batch/steps/NAME/step.py", SHARPEN)
    copy.insert(
        "iem_batch/steps/registry.py",
        '        Step(\n            name="evaluate"',
        """        Step(
            name="sharpen",
            summary="Sharpen masks.",
            arguments=("run", "--shards"),
            holds="sharp masks",
            rows="an image, as sharp as before",
            is_optional=True,
        ),
""",
    )
    copy.test(
        "tests/steps/test_NAME.py",
        "from iem_batch.steps.registry import STEPS\n\n"
        "def test_order():\n    assert list(STEPS)[8] == 'sharpen'\n",
    )
    assert "sharpen: 1 of 2 shards are left" in copy.iem_batch(
        "sharpen", run.url, "--local", "--shards", "1:2"
    )
    assert "sharpen: 6 rows" in copy.iem_batch("sharpen", run.url, "--local")
    assert run.read_table("sharpen/part-00001.parquet")["image_id"].to_pylist() == [
        "disc_003.jpg",
        "disc_004.png",
        "disc_005.jpg",
    ]
    assert "sharpen" in copy.iem_batch("status", run.url)
    assert "all is well" in copy.iem_batch("verify", run.url)
    assert "| sharpen/ | an image, as sharp as before |" in run.read_bytes("README.md").decode()


def test_an_export_format(run: RunFolder, tmp_path: Path) -> None:
    copy = Copy(tmp_path, "export format", "ids")
    copy.write("iem_batch/steps/export/formats/NAME.py", IDS)
    copy.insert(
        "iem_batch/steps/export/formats/__init__.py",
        '        Format(\n            name="coco"',
        """        Format(
            name="ids",
            encodings=frozenset({"PNG"}),
            layout="A text file of ids.",
        ),
""",
    )
    copy.test(
        "tests/steps/export/test_NAME.py",
        "from iem_batch.steps.export.formats.ids import lay_out\n\n"
        "def test_nothing():\n    assert lay_out([], type('Place', (), {'stem': 'a'})) == "
        "{'a.txt': b''}\n",
    )
    printed = copy.iem_batch("export", run.url, "--local", "--export.format=ids")
    assert "4 pairs as ids" in printed
    corpus = run.below("exports/ids-engine-fuse")
    assert len(corpus.read_bytes("train-00000.txt").decode().split()) == 4
    assert corpus.read_bytes("splits.txt") == b"train"
    assert "A text file of ids." in corpus.read_bytes("README.md").decode()
    assert "all is well" in copy.iem_batch("verify", run.url)


def test_a_baseline(run: RunFolder, tmp_path: Path) -> None:
    copy = Copy(tmp_path, "baseline", "bright")
    copy.insert(
        "iem_batch/steps/evaluate/baselines.py",
        "BASELINES: Mapping",
        '''def bright(image_HW3: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Take what is brighter than the middle of the scale."""
    return image_HW3.mean(axis=2) > 127.5


''',
        '        "otsu": Baseline(',
        '        "bright": Baseline(label="bright pixels", draw=bright),\n',
    )
    copy.test(
        "tests/steps/evaluate/test_NAME.py",
        "import numpy as np\n\nfrom iem_batch.steps.evaluate.baselines import bright\n\n"
        "def test_bright():\n"
        "    image = np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8)\n"
        "    assert bright(image).tolist() == [[False, True]]\n",
    )
    truth = run.url.removesuffix("run") + "truth"
    printed = copy.iem_batch("evaluate", run.url, "--local", "--truth", truth)
    assert re.search(r"bright pixels +6 ", printed)


SHARPEN = '''"""The step `sharpen`: it leaves every image as it is."""

from collections.abc import Callable, Container
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from iem_batch.exec.step import ShardOutput
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary, require_summary
from iem_batch.steps.image_step import ImageStep
from iem_batch.steps.lines import say_rows


def build(job: Job) -> "SharpenStep":
    """Make the step of a job."""
    masks = require_summary(job.run, "segment").outputs_digest
    return SharpenStep.of(job, job.place, masks=masks)


def finish(job: Job, built: "SharpenStep", summary: Summary) -> None:
    """Say what came out."""
    say_rows(job, built, summary)


@dataclass(frozen=True, kw_only=True)
class SharpenStep(ImageStep):
    """Nothing, over a shard."""

    masks: str
    name: str = "sharpen"

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        return {"masks": self.masks}

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> LoadedShard:
        """Decode the images of a shard."""
        return self.load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Nothing to set up."""
        return self._compute

    def _compute(self, images: LoadedShard) -> ShardOutput:
        table = pa.table({"image_id": images.image_id, "uri": images.uri})
        return ShardOutput(
            shard=images.shard,
            tables={layout.part(self.name, images.shard): table},
            planned=images.planned,
            ok=len(images.image_id),
            quarantined=len(images.rejected),
        )
'''

IDS = '''"""Pairs as their ids alone."""


def lay_out(pairs, place):
    """Lay out pairs as a text."""
    return {f"{place.stem}.txt": "\\n".join(pair.image_id for pair in pairs).encode()}


def complete(target, splits):
    """List the splits."""
    return {"splits.txt": target.write_bytes("splits.txt", " ".join(splits).encode())}
'''
