"""All settings of a run in one record: the sections of a YAML file and of the flags."""

from collections.abc import Container
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import yaml

from iem_batch.checks import Section, did_you_mean
from iem_batch.errors import SettingsError
from iem_batch.exec.settings import ClusterSettings, HookSettings, LimitSettings
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.settings import MaskFileSettings
from iem_batch.run.settings import PlanSettings
from iem_batch.segnet.settings import SegNetSettings, TrainSettings
from iem_batch.steps.apply.settings import ApplySettings
from iem_batch.steps.convert.settings import ConvertSettings
from iem_batch.steps.evaluate.settings import EvaluateSettings
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.fuse.settings import FuseSettings
from iem_batch.steps.predict.settings import PredictSettings
from iem_batch.steps.refine.settings import RefineSettings
from iem_batch.steps.report.settings import ReportSettings
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.steps.topk.settings import TopkSettings
from iem_batch.steps.upscale.settings import UpscaleSettings
from iem_batch.storage.settings import WebSettings
from iem_batch.tools.settings import DemoSettings, ShipSettings


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting of a run; the name of a field is its section in the YAML file."""

    plan: PlanSettings = field(default_factory=PlanSettings)
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    iem: IEMSettings = field(default_factory=IEMSettings)
    segment: SegmentSettings = field(default_factory=SegmentSettings)
    mask_files: MaskFileSettings = field(default_factory=MaskFileSettings)
    fuse: FuseSettings = field(default_factory=FuseSettings)
    topk: TopkSettings = field(default_factory=TopkSettings)
    export: ExportSettings = field(default_factory=ExportSettings)
    segnet: SegNetSettings = field(default_factory=SegNetSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    refine: RefineSettings = field(default_factory=RefineSettings)
    upscale: UpscaleSettings = field(default_factory=UpscaleSettings)
    evaluate: EvaluateSettings = field(default_factory=EvaluateSettings)
    report: ReportSettings = field(default_factory=ReportSettings)
    convert: ConvertSettings = field(default_factory=ConvertSettings)
    apply: ApplySettings = field(default_factory=ApplySettings)
    demo: DemoSettings = field(default_factory=DemoSettings)
    ship: ShipSettings = field(default_factory=ShipSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    web: WebSettings = field(default_factory=WebSettings)
    cluster: ClusterSettings = field(default_factory=ClusterSettings)
    hooks: HookSettings = field(default_factory=HookSettings)


SECTIONS: dict[str, type[Section]] = {
    section.name: section.default_factory  # type: ignore[misc]
    for section in fields(Settings)
}
"""Section -> the class that describes its settings."""


PAPER: dict[str, Any] = {
    "decode.size_px": 128,
    "decode.fit": "crop",
    "decode.resize": "nearest",
    "decode.scaled": False,
    "decode.range": "full",
    "decode.exif_orientation": False,
    "iem.colors": "rgb",
    "iem.sigma_px": 5.0,
    "iem.kernel_px": 11,
    "iem.diversity_weight": 0.001,
    "iem.iterations": 150,
    "iem.smoothing": True,
    "iem.boundary_only": True,
    "segment.init_shares": (44 / 128, 78 / 128, 92 / 128),
    "segment.engine": None,
    "segment.engine_args": {},
    "segment.masks": None,
    "fuse.method": "dataset",
    "topk.k": 8000,
    "topk.by": "error",
    "topk.rounds": 1,
    "topk.fraction": None,
    "topk.min_area": 0.0,
    "topk.max_area": 1.0,
    "topk.max_frame": 1.0,
    "topk.per_group": None,
    "topk.groups": None,
    "topk.diversity_bits": None,
    "export.foreground": "as_found",
    "export.val_share": 0.0,
    "segnet.width": 128,
    "segnet.num_blocks": 3,
    "segnet.backbone": None,
    "segnet.backbone_args": {},
    "train.epochs": 50,
    "train.batch_size": 128,
    "train.learning_rate": 1e-3,
    "train.horizontal_flips": False,
    "train.random_crops": 0.0,
    "train.color_jitter": 0.0,
    "train.average_decay": 0.0,
    "train.patience": None,
    "predict.threshold": 0.5,
    "refine.method": "iem",
}
"""The recipe of the paper (arXiv 2012.07287, Section 4), whatever the defaults are. It holds every
setting that decides the result; what decides time, memory, chance or rounding is not in it."""


def paper_settings(sections: Container[str]) -> dict[str, Any]:
    """Give the settings of `PAPER` that are in some sections."""
    return {name: value for name, value in PAPER.items() if name.partition(".")[0] in sections}


def settings_from_yaml(text: bytes, origin: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Read sections of settings; their values are checked by the parser of the flags.

    Args:
        text: a YAML file.
        origin: its name, for the error message.

    Returns:
        section -> setting -> value, and "section.setting" -> the file and the line where it is.

    Raises:
        SettingsError: it is not a YAML mapping of sections, or has a name that is none.
    """
    try:
        root, sections = yaml.compose(text, yaml.SafeLoader), yaml.safe_load(text) or {}
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise SettingsError(f"{origin}, line {line}: this is not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{origin} is not YAML: it is no text") from error
    places: dict[str, str] = {}
    for section, values in _pairs(
        root, f"{origin}, line 1", "sections, as in `iem: {iterations: 9}`"
    ):
        place = f"{origin}, line {section.start_mark.line + 1}"
        if section.value not in SECTIONS:
            guess = did_you_mean(section.value, SECTIONS)
            raise SettingsError(f"{place}: there is no section {section.value}{guess}")
        names = list(SECTIONS[section.value].kinds)
        shape = f"settings of {section.value}, such as {names[0]}"
        for key, _ in _pairs(values, place, shape):
            place = f"{origin}, line {key.start_mark.line + 1}"
            if key.value not in names:
                guess = did_you_mean(key.value, names)
                raise SettingsError(f"{place}: {section.value} has no setting {key.value}{guess}")
            places[f"{section.value}.{key.value}"] = place
    return {name: values for name, values in sections.items() if values}, places


def _pairs(node: yaml.Node | None, place: str, shape: str) -> list[tuple[Any, Any]]:
    """List the names of a mapping of a YAML file with what stands behind them."""
    if node is None or node.tag.endswith(":null"):
        return []
    if not isinstance(node, yaml.MappingNode):
        raise SettingsError(f"{place}: there must be {shape}")
    return list(node.value)


def settings_to_yaml(settings: Settings) -> bytes:
    """Write settings as a YAML file that --config takes."""
    plain = {section: _plain(values) for section, values in asdict(settings).items()}
    return yaml.safe_dump(plain, sort_keys=False).encode()


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value for name, value in values.items()
    }
