"""The step `report`: one self-contained HTML page about a run."""

import base64
import hashlib
import importlib.resources
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import jinja2
from markupsafe import Markup
from PIL import Image

import iem_batch
from iem_batch.errors import IEMBatchError, SourceError
from iem_batch.exec.step import ShardOutput, WholeStep
from iem_batch.job import Job
from iem_batch.mask_files.open import open_masks
from iem_batch.mask_files.protocol import MaskFiles
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary, read_marks
from iem_batch.run.plan import Plan, read_plan
from iem_batch.sources import Source, open_source
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.evaluation import Evaluation, read_evaluation
from iem_batch.steps.evaluate.table import METRIC_LABELS, label
from iem_batch.steps.lines import engine_notes
from iem_batch.steps.places import done_shards, started_steps
from iem_batch.steps.registry import STEPS
from iem_batch.steps.report.accounts import rejections, step_times
from iem_batch.steps.report.charts import charts
from iem_batch.steps.report.conclusion import conclusion, next_steps
from iem_batch.steps.report.gallery import Card, Sources, draw_cards
from iem_batch.steps.report.other_run import OtherRun, open_other_run
from iem_batch.steps.report.panels import Panel
from iem_batch.steps.report.photos import Listed, data_uri, list_photos
from iem_batch.steps.report.survey import Survey, survey
from iem_batch.steps.topk.labels import Labels, selected_labels
from iem_batch.steps.topk.scores import SCORES
from iem_batch.steps.topk.selection import Selection, read_selection
from iem_batch.words import count

PAGE = "report/index.html"
SCRIPTS = ("report.js", "pictures.js", "cut.js", "marks.js", "viewer.js")
"""What the page's one script is made of, in order."""

PANEL_PX = 160
"""Larger pictures are made smaller, so that the page stays light at any size of the engine."""


def build(job: Job) -> WholeStep:
    """Make the step of a job.

    Raises:
        StepMissingError: the run has not been planned.
    """
    plan = read_plan(job.run)

    def compute() -> ShardOutput:
        drawn = draw(job, plan)
        html = render(job, plan, drawn)
        return ShardOutput(
            shard=0,
            tables=drawn.listed.files | {PAGE: html.encode()},
            planned=drawn.num_images,
            ok=drawn.num_images,
            quarantined=0,
        )

    return WholeStep(
        name="report",
        run=job.run,
        place=job.run,
        depends_on={"report": asdict(job.settings.report)},
        compute=compute,
    )


def finish(job: Job, built: WholeStep, summary: Summary) -> None:
    """Say where the page is."""
    print(f"report: -> {job.run.url_of(PAGE)}")


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What there is to see of a run."""

    found: Survey | None = None
    """None where there are no masks yet."""
    other: OtherRun | None = None
    """The run that is shown beside it."""
    label: str = ""
    """What the masks are called that images are selected by; beside another run, that both have."""
    by: str = ""
    """The score, for people."""
    sample: list[Card] = field(default_factory=list)
    listed: Listed = field(default_factory=Listed)
    notes: list[str] = field(default_factory=list)
    """What cannot be shown, and why."""

    @property
    def num_images(self) -> int:
        """Those with pictures of their own."""
        return 0 if self.found is None else len(self.found.listed)


def draw(job: Job, plan: Plan) -> Drawn:
    """Choose the images to show, and draw them.

    Rows are read shard by shard; images are read again only where they are shown.

    Args:
        job: at a planned run; every other step may be missing.
        plan: its plan.

    Raises:
        IEMBatchError: the run to show beside it cannot be compared with it.
    """
    selection, other = read_selection(job.place), open_other_run(job)
    labels = Labels(place=job.run, step="fuse") if selection is None else selected_labels(job)
    shards = done_shards(labels.place, labels.step)
    marks = list(read_marks(labels.place, labels.step, shards))
    if not any(mark.ok for mark in marks):
        return Drawn()
    by = SCORES[job.settings.topk.by if selection is None else selection.by]
    if by.compares_first_masks and marks[0].facts.get("first_masks", 1) == 1:
        by = SCORES["error"]
    found = survey(labels, shards, by, job.settings.report, other)
    sources, notes = open_sources(job, plan, read_evaluation(job.run))
    sources = replace(sources, other=other)
    listed = list_photos(sources, found.listed)
    if listed.num_without_photo:
        missing = f"{count(listed.num_without_photo, 'photo')} cannot be shown"
        notes.append(f"{missing}: {plan.source_url} does not have them now.")
    return Drawn(
        found=found,
        other=other,
        label=STEPS[labels.step if other is None else other.step].masks,
        by=by.label,
        sample=draw_cards(sources, found.sample),
        listed=listed,
        notes=notes,
    )


def render(job: Job, plan: Plan, drawn: Drawn) -> str:
    """Make the page.

    Args:
        job: at a planned run; every other step may be missing.
        plan: its plan.
        drawn: its images.
    """
    run, script = job.run, "".join(map(_resource, SCRIPTS))
    marks = list(read_marks(run, "fuse", done_shards(run, "fuse")))
    names = ("planned", "ok", "quarantined")
    evaluation, selection = read_evaluation(run), read_selection(job.place)
    rejected = rejections(run)
    return _template().render(
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup(_resource("report.css")),
        version=iem_batch.__version__,
        run_url=run.url,
        plan=plan,
        total={name: sum(getattr(mark, name) for mark in marks) for name in names},
        num_shards_done=len(marks),
        conclusion=list(conclusion(job, rejected)),
        of_other=_of_other(drawn),
        next_steps=list(next_steps(job, rejected)) if drawn.found else [],
        drawn=drawn,
        facts=_facts(job, drawn, selection),
        selection=selection,
        steps=list(step_times(job)),
        rejections=rejected,
        charts=charts(run, job.place),
        evaluation=evaluation,
        baselines=list(BASELINES),
        metric_labels=METRIC_LABELS,
        notes=[*engine_notes(job), *drawn.notes],
        settings=_settings(run),
        links=_links(job),
    )


def _of_other(drawn: Drawn) -> list[str]:
    """Say what the other run came to, and how far the masks of both agree; nothing without one."""
    if drawn.found is None or drawn.other is None:
        return []
    iou, job = drawn.found.iou, drawn.other.job
    return [
        f"both runs have {drawn.label} masks of {count(len(iou), 'image')}, which agree by "
        f"{100 * iou.mean():.1f} % (IoU), {count(int((iou < 0.5).sum()), 'image')} of them by less "
        "than 50 %",
        *(f"other run, {line}" for line in conclusion(job, rejections(job.run))),
    ]


def _facts(job: Job, drawn: Drawn, selection: Selection | None) -> dict[str, Any]:
    """Say what the page's script needs to know; JSON types."""
    found = drawn.found
    return {
        "run": job.run.url,
        "rowFiles": drawn.listed.num_row_files,
        "label": drawn.label,
        "other": None if drawn.other is None else drawn.other.label,
        "fit": job.settings.decode.fit,
        "k": job.settings.topk.k if selection is None else selection.num_selected,
        "histogram": [] if found is None or drawn.other else found.histogram.tolist(),
    }


def _template() -> jinja2.Template:
    # File names and decoder messages are whatever the collection holds: everything is escaped.
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["method"] = label
    environment.filters["duration"] = _duration
    environment.filters["data_uri"] = _panel_uri
    return environment.from_string(_resource("report.html.jinja"))


def _resource(name: str) -> str:
    return (
        importlib.resources.files("iem_batch.steps.report")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )


def _panel_uri(panel: Panel) -> str:
    image = Image.fromarray(panel.picture_HW3)
    image.thumbnail((PANEL_PX, PANEL_PX))
    return data_uri(image, "jpeg", quality=85)


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def open_sources(job: Job, plan: Plan, evaluation: Evaluation | None) -> tuple[Sources, list[str]]:
    """Open what pictures are drawn from.

    Returns:
        The sources, without those that are gone, and a sentence about each of these.
    """
    decode = job.settings.decode
    source: Source | None = None
    truth: MaskFiles | None = None
    notes = []
    with suppress(SourceError):  # the page shows masks without photos then, and says so
        source = open_source(plan.source_url, job.settings.web)
    if evaluation is not None:
        try:
            truth = open_masks(evaluation.truth_url, evaluation.settings, decode)
        except IEMBatchError as error:
            notes.append(f"The ground truth is not shown: {error}.")
    sources = Sources(
        run=job.run,
        place=job.place,
        source=source,
        decode=decode,
        iem=job.settings.iem,
        truth=truth,
    )
    return sources, notes


def _settings(run: RunFolder) -> str:
    if not run.exists(layout.CONFIG):
        return ""
    return run.read_bytes(layout.CONFIG).decode(errors="replace")


def _links(job: Job) -> dict[str, str]:
    """List the folders of the run, each with what is in it."""
    started = [each for each in started_steps(job) if each.place in (job.run, each.job.place)]
    links = {each.title: each.step.holds for each in started}
    links["report"] = STEPS["report"].holds  # there when it is read, if not yet when it is written
    further = {
        layout.QUARANTINE: "images that could not be used",
        "_run": "plan, settings and commit marks",
    }
    return links | {name: text for name, text in further.items() if job.run.exists(name)}
