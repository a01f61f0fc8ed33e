"""The step `export`: the selected (image, mask) pairs as a corpus that other tools open."""

from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from iem_batch.exec.step import ShardOutput
from iem_batch.images.geometry import FOREGROUND
from iem_batch.images.png import encode_pixels
from iem_batch.images.settings import DecodeSettings
from iem_batch.job import Job
from iem_batch.run.exports import Export, note_export
from iem_batch.run.folder import RunFolder, title
from iem_batch.run.killers import add_killers, guard, largest_images
from iem_batch.run.load import load_shard
from iem_batch.run.marker import adopt
from iem_batch.run.marks import Summary, read_record, require_summary, settings_of
from iem_batch.run.originals import Original, load_originals
from iem_batch.run.plan import Plan, read_plan
from iem_batch.run.schema import kept_of
from iem_batch.sources import WebSettings, open_source
from iem_batch.sources.protocol import without_format
from iem_batch.steps.card import procedure_lines
from iem_batch.steps.export.card import Origin
from iem_batch.steps.export.files import CorpusFile, Selected, corpus_files, pairs_per_file
from iem_batch.steps.export.formats import FORMATS
from iem_batch.steps.export.formats.pair import Place
from iem_batch.steps.export.pairs import LoadedPairs, make_pairs
from iem_batch.steps.export.rows import kept_rows, masks_of
from iem_batch.steps.export.settings import ExportSettings
from iem_batch.steps.export.target import complete_corpus, corpus_place
from iem_batch.steps.registry import up_to
from iem_batch.steps.topk.labels import Labels, selected_labels
from iem_batch.steps.topk.selection import Selection
from iem_batch.words import count


def build(job: Job) -> "ExportStep":
    """Make the step of a job.

    Raises:
        StepMissingError: nothing has been selected, or there are no masks of the kind asked for.
        ShardsFailedError: there are only some.
        RunMismatchError: the folder that is to be written to holds something else.
    """
    settings, plan = job.settings.export, read_plan(job.run)
    selection = require_summary(job.place, "topk")
    labels = selected_labels(job)
    if settings.masks != "fuse":
        labels = Labels(place=job.place, step=settings.masks)
    place = corpus_place(job)
    step = ExportStep(
        run=job.run,
        place=place,
        plan=plan,
        selected=Selected(
            place=job.place,
            digest=selection.outputs_digest,
            pairs_per_file=pairs_per_file(plan, settings, job.settings.decode.size_px),
            val_share=settings.val_share_of(selection.ok),
        ),
        labels=labels,
        masks_digest=settings_of(labels.place, labels.step),
        decode=job.settings.decode,
        export=settings,
        memory_bytes=job.settings.limits.memory_bytes,
        origin=Origin(
            segment=job.settings.segment,
            procedure=procedure_lines(job),
            num_images=Selection(**selection.facts).num_images,
        ),
        web=job.settings.web.within(job.settings.limits.timeout_s),
    )
    if step.is_elsewhere:
        adopt(place, "corpus")
        note_export(job.run, Export(url=place.url, round=job.round, settings=asdict(settings)))
    return step


def finish(job: Job, built: "ExportStep", summary: Summary) -> None:
    """Say what came out, and what is missing."""
    folder = built.place.url
    if built.is_elsewhere:
        print(f"export: {count(summary.ok, 'pair')} as {built.export.format} -> {folder}")
        if read_record(job.place, "export") is None:
            print(
                f"export: SegNet is trained on {job.place.url_of('export')}, which is not there "
                "yet; `iem-batch export` writes it if no export.* setting is given"
            )
    else:
        folder = built.place.url_of(built.name)
        print(f"{title(job.run, built.place, 'export')}: {count(summary.ok, 'row')} -> {folder}")
    if turned := summary.facts["turned"]:
        print(
            f"export: {turned:,} of {summary.ok:,} masks turned: what lies at their frame was "
            "called foreground"
        )
    if (lost := summary.facts["lost"]) is not None:
        print(
            f"export: {summary.quarantined:,} selected images are not in {folder}; the first is "
            f"{lost['image_id']}: {lost['error_class']}, {lost['message']}"
        )


@dataclass(frozen=True, kw_only=True)
class ExportStep:
    """One file of the corpus, or some of its images; see `iem_batch.exec.step.ShardStep`.

    A "shard" of this step is a file of the corpus, not a shard of the plan.
    """

    run: RunFolder
    place: RunFolder
    """Where the corpus goes: a round, or a folder of its own."""
    plan: Plan
    selected: Selected
    labels: Labels
    """The masks that the corpus takes."""
    masks_digest: str
    """Of what they were made with."""
    decode: DecodeSettings
    export: ExportSettings
    memory_bytes: int | None
    """Memory that decoding one image may take; None is no limit."""
    origin: Origin
    """For the card."""
    web: WebSettings
    """How the images of a list of URLs are asked for."""
    name: str = "export"

    @property
    def num_shards(self) -> int:
        """Count the files of the corpus."""
        return len(corpus_files(self.selected))

    @property
    def is_elsewhere(self) -> bool:
        """Whether the corpus is in a folder of its own."""
        return self.place != self.selected.place

    @property
    def depends_on(self) -> dict[str, Any]:
        """All that its files depend on."""
        # In the run a licence stands in the card alone, which every step writes.
        elsewhere = ("to",) if self.is_elsewhere else ("to", "license")
        settings = {k: v for k, v in asdict(self.export).items() if k not in elsewhere}
        depends: dict[str, Any] = {
            "decode": asdict(self.decode),
            "export": settings,
            "selection": self.selected.digest,
            "masks": self.masks_digest,
        }
        return depends | ({"run": self.run.url} if self.is_elsewhere else {})

    def load(
        self, shard: int, chosen: Container[str] | None = None, num_threads: int = 1
    ) -> LoadedPairs:
        """Read the images of one corpus file again from the source, and their masks."""
        file = corpus_files(self.selected)[shard]
        opened = open_source(self.plan.source_url, self.web)
        images: dict[str, Original] = {}
        masks: dict[str, dict[str, Any]] = {}
        rejected: dict[str, dict[str, str]] = {}
        kept: list[pa.Table] = []
        for source_shard in pc.unique(file.rows["shard"]).to_pylist():
            selected = file.rows.filter(pc.equal(file.rows["shard"], source_shard))
            masks |= masks_of(self.labels, source_shard, selected)
            kept.append(kept_rows(self.run, self.plan, source_shard, selected))
            wanted = selected["image_id"].to_pylist()
            if chosen is not None:
                wanted = [image_id for image_id in wanted if image_id in chosen]
            steps = up_to(self.name)
            source = guard(self.run, steps, source_shard, opened, self.decode, self.memory_bytes)
            found, lost = self._images(source_shard, source, frozenset(wanted))
            images |= {image.image_id: image for image in found}
            rejected |= {row["image_id"]: row for row in lost}
        return LoadedPairs(
            index=shard,
            file=file,
            source=without_format(self.plan.source_url),
            images=images,
            masks=masks,
            rejected=rejected,
            kept=pa.concat_tables(kept),
        )

    def image_ids(self, shard: int) -> list[str]:
        """List the images of a corpus file, in order."""
        ids: list[str] = corpus_files(self.selected)[shard].rows["image_id"].to_pylist()
        return ids

    def largest_images(self, shard: int) -> str:
        """Name the largest images of the shards a corpus file comes from, with their sizes."""
        source = open_source(self.plan.source_url, self.web)
        shards = pc.unique(corpus_files(self.selected)[shard].rows["shard"]).to_pylist()
        return "; ".join(largest_images(self.run, number, source) for number in shards)

    def keep_back(self, shard: int, killers: Mapping[str, str]) -> None:
        """Write down images of a corpus file that kill, image_id -> how."""
        for image_id, source_shard in _tuples(
            corpus_files(self.selected)[shard].rows, "image_id", "shard"
        ):
            if image_id in killers:
                killer = {image_id: killers[image_id]}
                add_killers(self.run, self.name, source_shard, killer)

    def open_engine(self, num_threads: int) -> Callable[[LoadedPairs], ShardOutput]:
        """Nothing to set up: pairs are only laid out."""
        return self._compute

    def _images(
        self, source_shard: int, source: Any, wanted: Container[str]
    ) -> tuple[list[Original], list[dict[str, str]]]:
        if self.export.size == "original":
            passed_on = FORMATS[self.export.format].encodings
            return load_originals(self.run, source_shard, source, self.decode, wanted, passed_on)
        loaded = load_shard(self.run, source_shard, source, self.decode, wanted)
        images = [
            Original(
                image_id=image_id,
                uri=uri,
                data=encode_pixels(image_HW3),
                extension="png",
                width=width,
                height=height,
            )
            for image_id, uri, image_HW3, width, height in zip(
                loaded.image_id,
                loaded.uri,
                loaded.image_BHW3,
                loaded.width,
                loaded.height,
                strict=True,
            )
        ]
        return images, loaded.rejected

    def _compute(self, loaded: LoadedPairs) -> ShardOutput:
        pairs, rejected, num_turned = make_pairs(loaded, self.export, self.decode)
        place = self._place(loaded.file, kept_of(loaded.kept.schema, self.plan.kept_columns))
        files = FORMATS[self.export.format].lay_out()(pairs, place)
        folder = "" if self.is_elsewhere else f"{self.name}/"
        return ShardOutput(
            shard=loaded.index,
            tables={f"{folder}{name}": content for name, content in files.items()},
            planned=len(loaded.file.rows),
            ok=len(pairs),
            quarantined=len(rejected),
            facts={
                "split": loaded.file.split,
                "stem": place.stem,
                "pairs": len(pairs),
                "turned": num_turned,
                "foreground": sum(float((pair.label_HW == FOREGROUND).mean()) for pair in pairs),
                "rejected": rejected,
            },
        )

    def summarize(self, facts: list[dict[str, Any]]) -> dict[str, Any]:
        """Say how many pairs each file has, how many masks were turned, and one that is missing."""
        return {
            "splits": list(dict.fromkeys(each["split"] for each in facts)),
            "files": {each["stem"]: each["pairs"] for each in facts},
            "turned": sum(each["turned"] for each in facts),
            "foreground": sum(each["foreground"] for each in facts),
            "lost": next((row for each in facts for row in each["rejected"]), None),
        }

    def complete(self, summary: Summary) -> dict[str, str]:
        """Write the files about a whole corpus elsewhere: annotations, and a card."""
        if not self.is_elsewhere:
            return {}
        return complete_corpus(self.place, self.export, self.origin, summary)

    def _place(self, file: CorpusFile, kept: pa.Schema) -> Place:
        # The files that SegNet reads are named like those of the other steps.
        split = "part" if file.split == "train" and not self.is_elsewhere else file.split
        return Place(
            split=file.split,
            stem=f"{split}-{file.number:05d}",
            has_margins=self.export.size == "original",
            kept=kept,
        )


def _tuples(table: pa.Table, *columns: str) -> Iterator[tuple[Any, ...]]:
    return zip(*(table[column].to_pylist() for column in columns), strict=True)
