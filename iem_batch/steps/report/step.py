"""The step `report`: one self-contained HTML page about a run."""

import base64
import hashlib
import importlib.resources
import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass

import jinja2
from markupsafe import Markup
from PIL import Image

import iem_batch
from iem_batch.errors import IEMBatchError, SourceError, StepMissingError
from iem_batch.exec.step import ShardOutput, WholeStep
from iem_batch.job import Job
from iem_batch.run import layout
from iem_batch.run.folder import RunFolder
from iem_batch.run.marks import Summary, read_marks
from iem_batch.run.plan import Plan, read_plan
from iem_batch.sources import Source, open_source
from iem_batch.steps.evaluate.baselines import BASELINES
from iem_batch.steps.evaluate.evaluation import Evaluation, read_evaluation
from iem_batch.steps.evaluate.table import METRIC_LABELS, label, verdict
from iem_batch.steps.evaluate.truth import Truth, open_truth
from iem_batch.steps.fuse.step import fused_so_far
from iem_batch.steps.lines import engine_notes
from iem_batch.steps.places import started_steps
from iem_batch.steps.registry import STEPS
from iem_batch.steps.report.accounts import rejections, step_times
from iem_batch.steps.report.charts import charts
from iem_batch.steps.report.gallery import Card, Sources, draw_cards
from iem_batch.steps.report.panels import LABELS, PHOTO, Panel
from iem_batch.steps.report.survey import Survey, survey
from iem_batch.steps.topk.selection import read_selection
from iem_batch.words import count

GALLERIES = {
    "best": ("Highest error", "What IEM is surest of."),
    "worst": ("Lowest error", "What IEM is least sure of."),
    "inside": ("Just selected", "The last images that became labels for SegNet."),
    "outside": ("Just not selected", "The first images that did not."),
    "median": ("Median error", "As many masks have a higher error as a lower one."),
    "random": ("At random", "What a usual mask looks like."),
    "undefined": ("Empty and full masks", "Their error is undefined; they are never selected."),
}

PAGE = "report/index.html"

PANEL_PX = 160
"""Larger pictures are made smaller, so that the page stays light at any size of the engine."""


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Some images of a run."""

    name: str
    title: str
    text: str
    cards: list[Card]


def build(job: Job) -> WholeStep:
    """Make the step of a job.

    Raises:
        StepMissingError: the run has not been planned.
    """
    plan = read_plan(job.run)

    def compute() -> ShardOutput:
        num_shown = job.settings.report.num_samples
        html = render_report(job, plan)
        return ShardOutput(
            shard=0, tables={PAGE: html.encode()}, planned=num_shown, ok=num_shown, quarantined=0
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


def render_report(job: Job, plan: Plan) -> str:
    """Make the page about everything that a run has so far.

    Rows are read shard by shard; images are read again only where they are shown.

    Args:
        job: at a planned run; every other step may be missing.
        plan: its plan.
    """
    run, settings = job.run, job.settings
    cut, num_selected = _selection(job)
    evaluation = read_evaluation(run)
    found: Survey | None = None
    galleries: list[Gallery] = []
    notes: list[str] = []
    total = {"planned": 0, "ok": 0, "quarantined": 0}
    shards: list[int] = []
    with suppress(StepMissingError):
        shards = fused_so_far(run)
    for mark in read_marks(run, "fuse", shards):
        total = {name: count + getattr(mark, name) for name, count in total.items()}
    if total["ok"]:
        found = survey(run, shards, cut, settings.report)
        sources, notes = open_sources(job, plan, evaluation)
        galleries = _galleries(sources, found)
        notes += _without_photo(plan, galleries)
    script = _resource("report.js")
    return _template().render(
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=iem_batch.__version__,
        run_url=run.url,
        plan=plan,
        total=total,
        num_shards_done=len(shards),
        found=found,
        num_selected=num_selected,
        cut=cut,
        steps=list(step_times(job)),
        rejections=rejections(run),
        charts=charts(run, job.place, found, cut),
        evaluation=evaluation,
        verdict=None if evaluation is None else verdict(evaluation),
        baselines=list(BASELINES),
        metric_labels=METRIC_LABELS,
        galleries=galleries,
        labels=_panel_labels(galleries),
        notes=[*engine_notes(job), *notes],
        settings=_settings(run),
        links=_links(job),
    )


def _template() -> jinja2.Template:
    # File names and decoder messages are whatever the collection holds: everything is escaped.
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["count"] = "{:,}".format
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}"
    environment.filters["method"] = label
    environment.filters["duration"] = _duration
    environment.filters["data_uri"] = _data_uri
    return environment.from_string(_resource("report.html.jinja"))


def _resource(name: str) -> str:
    return (
        importlib.resources.files("iem_batch.steps.report")
        .joinpath(name)
        .read_text(encoding="utf-8")
    )


def _data_uri(panel: Panel) -> str:
    image = Image.fromarray(panel.picture_HW3)
    image.thumbnail((PANEL_PX, PANEL_PX))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:,} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def _selection(job: Job) -> tuple[float | None, int]:
    """Read the lowest error of IEM's masks that was selected, and how many images were.

    A later round selects by the errors of other masks, `error_agreement` not by errors alone.
    """
    selection = read_selection(job.place)
    if selection is None:
        return None, 0
    is_by_error = selection.by == "error" and job.round == 1
    return selection.cut if is_by_error else None, selection.num_selected


def open_sources(job: Job, plan: Plan, evaluation: Evaluation | None) -> tuple[Sources, list[str]]:
    """Open what pictures are drawn from.

    Returns:
        The sources, without those that are gone, and a sentence about each of these.
    """
    decode = job.settings.decode
    source: Source | None = None
    truth: Truth | None = None
    notes = []
    with suppress(SourceError):  # the page shows masks without photos then, and says so
        source = open_source(plan.source_url, job.settings.web)
    if evaluation is not None:
        try:
            truth = open_truth(evaluation.truth_url, evaluation.settings, decode)
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


def _galleries(sources: Sources, found: Survey) -> list[Gallery]:
    samples = dict(found.samples)
    if "outside" in samples and not len(samples["outside"]):
        samples["inside"] = samples["inside"].slice(0, 0)  # everything was selected: no cut
    samples = {name: samples[name] for name in GALLERIES if name in samples and len(samples[name])}
    cards = draw_cards(sources, samples)
    return [
        Gallery(name=name, title=GALLERIES[name][0], text=GALLERIES[name][1], cards=cards[name])
        for name in samples
    ]


def _without_photo(plan: Plan, galleries: Iterable[Gallery]) -> Iterator[str]:
    cards = [card for gallery in galleries for card in gallery.cards]
    missing = {
        card.image_id for card in cards if PHOTO not in {panel.label for panel in card.panels}
    }
    if missing:
        shown = f"{count(len(missing), 'photo')} cannot be shown"
        yield f"{shown}: {plan.source_url} does not have them now."


def _panel_labels(galleries: Iterable[Gallery]) -> list[str]:
    """List the kinds of pictures there are, in the order of the cards."""
    cards = [card for gallery in galleries for card in gallery.cards]
    drawn = {panel.label for card in cards for panel in card.panels}
    return [label for label in LABELS if label in drawn]


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
