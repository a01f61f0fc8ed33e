"""The step `apply`: the masks of any photos by a network that is trained.

OUT/
  part-00000.parquet            the masks of a shard, or the names of their files
  masks/  probabilities/        the files, with apply.format=png
  _run/                         the network, the plan, commit marks and quarantine, as in a run

The network is copied into `_run/`, so that going on takes nothing but OUT and the photos.
"""

from collections.abc import Callable, Container
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, ClassVar

import cv2
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from torch import nn

from iem_batch.config import settings_from_yaml
from iem_batch.errors import IntegrityError, SettingsError, StorageError
from iem_batch.exec.step import Content, ShardOutput
from iem_batch.images.settings import DecodeSettings
from iem_batch.job import Job
from iem_batch.model_file import ModelFile, read_model_file
from iem_batch.run import layout, marks, schema
from iem_batch.run.deletion import delete_own
from iem_batch.run.load import LoadedShard
from iem_batch.run.marks import Summary
from iem_batch.segnet.prediction import open_network, predict_probability
from iem_batch.segnet.settings import SegNetSettings
from iem_batch.segnet.weights import ModelRecord, load_weights, read_record, settings_of
from iem_batch.steps.apply.outputs import (
    MASKS,
    PROBABILITIES,
    MaskMaker,
    file_names,
    file_table,
    grey_png,
    mask_table,
    usual_extension,
)
from iem_batch.steps.apply.settings import ApplySettings
from iem_batch.steps.image_step import ImageStep
from iem_batch.words import count

MODEL_FOLDER = "_run/model"
QUARANTINE = "_run/quarantine"


def build(job: Job) -> "ApplyStep":
    """Make the step of a job at OUT, which is planned; puts the network there.

    Raises:
        StorageError: there is no network, or its file cannot be used.
        SettingsError: it is another one than the settings say, or photos are to be decoded
            otherwise than it takes them.
    """
    file = _read_model(job)
    record = read_record(file.data, file.url)
    named = job.settings.segnet
    segnet = settings_of(record, file.url, named.backbone, named.backbone_args)
    load_weights(file.data, segnet, file.url)  # fails before anything is dropped or claimed
    weights = schema.checksum(file.data)
    _keep(job, file, weights)
    decode = _decode_settings(job.settings.decode, record)
    settings = job.settings.apply
    step = ApplyStep.of(
        replace(job, settings=replace(job.settings, decode=decode)),
        job.run,
        segnet=segnet,
        weights=weights,
        threshold=record.threshold if settings.threshold is None else settings.threshold,
        apply=settings,
    )
    if settings.format == "parquet":
        return step
    return replace(step, extension=usual_extension(step.image_ids(0)))


def finish(job: Job, built: "ApplyStep", summary: Summary) -> None:
    """Say what came out; networks of before are needed no more."""
    others = set(job.run.names(MODEL_FOLDER)) - {built.model_name.rpartition("/")[2]}
    delete_own(job.run, *(f"{MODEL_FOLDER}/{name}" for name in sorted(others)))
    is_png = built.apply.format == "png"
    first = MASKS if is_png else f"{_part(0)} ..."
    print(f"apply: masks of {count(summary.ok, 'image')} -> {job.run.url_of(first)}")
    if summary.quarantined:
        print(f"apply: {summary.quarantined:,} not usable -> {job.run.url_of(QUARANTINE)}")


@dataclass(frozen=True, kw_only=True)
class ApplyStep(ImageStep):
    """A trained network over a shard; see `iem_batch.exec.step.ShardStep`."""

    segnet: SegNetSettings
    weights: str
    """SHA-256 of the network's file."""
    threshold: float
    apply: ApplySettings
    extension: str = ""
    """That most photos have, of which the names of files are made, where there are any."""
    name: str = "apply"
    carries_kept: ClassVar[bool] = True

    @property
    def model_name(self) -> str:
        """Name of the network's file in OUT."""
        return _model_name(self.weights)

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on; where the network was read from is nothing to them."""
        settings = asdict(self.apply)
        del settings["model"]
        return {
            "plan": self.plan.digest,
            "decode": asdict(self.decode),
            "weights": self.weights,
            "apply": settings | {"threshold": self.threshold},
            "opencv": cv2.__version__ if self.apply.refine else None,
        }

    def load(
        self, shard: int, wanted: Container[str] | None = None, num_threads: int = 1
    ) -> LoadedShard:
        """Decode the images of a shard."""
        return self.load_images(shard, wanted)

    def open_engine(self, num_threads: int) -> Callable[[LoadedShard], ShardOutput]:
        """Load the network."""
        data = self.place.read_bytes(self.model_name)
        model = open_network(data, self.segnet, self.place.url_of(self.model_name))
        return partial(self._compute, model, num_threads)

    def _compute(self, model: nn.Module, num_threads: int, images: LoadedShard) -> ShardOutput:
        probability_BSS = predict_probability(model, images.image_BHW3, num_threads=num_threads)
        maker = MaskMaker(threshold=self.threshold, refine=self.apply.refine, fit=self.decode.fit)
        keeps = self.apply.probability
        if self.apply.format == "png":
            names = file_names(images.image_id, self.extension)
            tables = _files(maker, images, names, probability_BSS, keeps)
            table = partial(file_table, images.without_pixels(), names, keeps, self.kept)
        else:
            tables = {}
            table = partial(
                mask_table, maker, images, probability_BSS, keeps, self.kept, num_threads
            )
        tables[_part(images.shard)] = table
        rejected = pa.Table.from_pylist(images.rejected, schema=schema.QUARANTINE)
        tables[layout.part(QUARANTINE, images.shard)] = rejected if images.rejected else None
        return self.output(images, tables)

    def complete(self, summary: Summary) -> dict[str, str]:
        """Nothing stands for the whole output; but no file may be the mask of two photos.

        Raises:
            IntegrityError: one is.
        """
        names: set[str] = set()
        for shard in range(self.num_shards if self.apply.format == "png" else 0):
            for name in self.place.read_table(_part(shard), ["mask_file"])["mask_file"].to_pylist():
                if name in names:
                    raise IntegrityError(
                        f"{self.place.url_of(name)} would be the mask of two photos of one name; "
                        "use --apply.format=parquet in a new folder"
                    )
                names.add(name)
        return {}


def _files(
    maker: MaskMaker,
    images: LoadedShard,
    names: list[str],
    probability_BSS: NDArray[np.float32],
    keeps: bool,
) -> dict[str, Content]:
    """Give the files of a shard; each is made where it is written."""
    contents: dict[str, Content] = {}
    rows = zip(names, images.image_BHW3, probability_BSS, images.width, images.height, strict=True)
    for name, image_SS3, probability_SS, width, height in rows:
        made = partial(maker.file, image_SS3, probability_SS, width, height)
        contents[f"{MASKS}/{name}"] = made
        if keeps:
            contents[f"{PROBABILITIES}/{name}"] = partial(grey_png, probability_SS)
    return contents


def _part(shard: int) -> str:
    return f"part-{shard:05d}.parquet"


def _model_name(weights: str) -> str:
    return f"{MODEL_FOLDER}/{weights[:16]}.safetensors"


def _read_model(job: Job) -> ModelFile:
    """Read the network, or its copy in OUT where it was begun with this and it is gone."""
    where = job.settings.apply.model
    if where is None:
        raise SettingsError("apply.model is null; name a run, its train/, or a weights file")
    try:
        return read_model_file(where)
    except StorageError:
        before = marks.read_record(job.run, "apply")
        if before is None or _model_before(job) != where:
            raise
        name = _model_name(before.settings["weights"])
        print(f"apply: {where} cannot be read; going on with {job.run.url_of(name)}")
        return ModelFile(url=job.run.url_of(name), data=job.run.read_bytes(name))


def _model_before(job: Job) -> Any:
    """Give the model that the last command on OUT was given."""
    stored, _ = settings_from_yaml(job.run.read_bytes(layout.CONFIG), job.run.url_of(layout.CONFIG))
    return stored.get("apply", {}).get("model")


def _keep(job: Job, file: ModelFile, weights: str) -> None:
    """Put the network into OUT, unless this command will be refused there."""
    before = marks.read_record(job.run, "apply")
    is_refused = before is not None and before.settings.get("weights") != weights
    if is_refused and not job.overwrite:
        return
    if not job.run.exists(_model_name(weights)):
        job.run.write_bytes(_model_name(weights), file.data)


def _decode_settings(given: DecodeSettings, record: ModelRecord) -> DecodeSettings:
    """Take the model's way to decode, and the user's limit of pixels.

    Raises:
        SettingsError: the user gives another way.
    """
    own = replace(record.decode, max_pixels=given.max_pixels)
    if given not in (own, DecodeSettings(max_pixels=given.max_pixels)):
        raise SettingsError(
            f"decode is given as {asdict(given)}, and the model takes photos as {asdict(own)}; "
            "leave it out"
        )
    return own
