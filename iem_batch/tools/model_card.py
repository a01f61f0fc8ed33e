"""The README.md of a trained network that leaves its run."""

from collections.abc import Iterator

import yaml

from iem_batch.metrics import METRICS
from iem_batch.segnet.weights import ModelRecord
from iem_batch.steps.evaluate.evaluation import Evaluation, MethodScores
from iem_batch.steps.evaluate.table import METRIC_LABELS, label
from iem_batch.steps.procedure import INSTEAD
from iem_batch.words import count

_HEAD = {
    "library_name": "iem_batch",
    "pipeline_tag": "image-segmentation",
    "license": "other",
}
"""What the hub reads of a card."""

_MEANING = {
    True: "- What foreground is was never said by anybody: it is what cannot be predicted from\n"
    "  its surroundings.",
    False: "- What foreground is was said by the masks that it was given, with their errors.",
}
"""Whether the labels were made without labels -> what foreground is."""

_USE = {
    "safetensors": """\
    from iem_batch import load
    result = load("THIS_FOLDER").predict(["cat.jpg"])  # result.masks, result.probabilities
    result.plot()""",
    "torch_export": """\
    import torch
    network = torch.export.load("THIS_FOLDER/model.pt2").module()
    probability = network(photos)  # torch.uint8 (B, S, S, 3) RGB -> float32 (B, S, S)""",
    "onnx": """\
    import onnxruntime
    network = onnxruntime.InferenceSession("THIS_FOLDER/model.onnx")
    probability = network.run(None, {"image": photos})[0]  # uint8 (B, S, S, 3) -> float32""",
}
"""Format -> the lines that use it."""

_LIMITS = """\
- It tells foreground from background and knows no classes and no instances.
{meaning} On photos of another kind than those it was trained on, or where several things or
  none stand out, a mask may be of the wrong thing or of the wrong side.
- It sees a photo at {size} x {size} pixels; thinner things are lost, and outlines at the size of a
  photo are no finer than that.
- A probability says how far labels that have errors would agree, not how likely it is right."""


def model_card(record: ModelRecord, to: str, evaluation: Evaluation | None) -> bytes:
    """Write the card.

    Args:
        record: of the network.
        to: the format that is shipped, as `ShipSettings.to`.
        evaluation: of the run it was trained in, if there was truth.
    """
    decode, training = record.decode, record.training
    is_alone = not any(INSTEAD in step for step in record.procedure)
    made = "labels that were made without labels" if is_alone else "labels made of given masks"
    network = record.segnet.backbone or f"SegNet of width {record.segnet.width}"
    counts = ["The file does not say."]
    if training is not None:
        counts = [
            f"{count(training.pairs, 'photo')} with {made}, "
            f"{training.epochs} epochs, round {training.round} of selection and training.",
            f"In the last epoch the loss was {training.loss:.4f} and the IoU with these labels "
            f"{100 * training.iou:.1f} %, which is no measure of truth.",
        ]
        if training.held_back_iou is not None:
            held_back = 100 * training.held_back_iou
            counts.append(f"With labels that it did not learn the IoU was {held_back:.1f} %.")
    parts = [
        "# Foreground masks of photos" + ", learned without labels" * is_alone,
        f"{network}, by iem_batch {record.version}.",
        "## Use",
        _USE[to],
        f"A photo becomes the {decode.size_px} x {decode.size_px} pixels (S) the network takes by "
        f"fit `{decode.fit}` and resize `{decode.resize}`; a pixel is foreground where the "
        f"probability is above {record.threshold}.",
        "## Trained on",
        " ".join(counts),
        *_labels(record),
        "## Figures",
        *_figures(evaluation),
        "## Limits",
        _LIMITS.format(size=decode.size_px, meaning=_MEANING[is_alone]),
        "## Licence",
        record.licence,
    ]
    tags = [*["unsupervised"] * is_alone, "foreground-segmentation"]
    head = yaml.safe_dump(_HEAD | {"tags": tags}, sort_keys=False)
    body = "\n\n".join(parts)
    return f"---\n{head}---\n\n{body}\n".encode()


def _labels(record: ModelRecord) -> Iterator[str]:
    if record.procedure:
        yield "The labels:"
        yield "\n".join(f"- {step}" for step in record.procedure)


def _figures(evaluation: Evaluation | None) -> Iterator[str]:
    if evaluation is None:
        yield "None: there was no ground truth, so nobody knows how good its masks are."
        return
    settings = evaluation.settings
    samples = f"{settings.resamples:,} bootstrap samples over images, seed {settings.seed}"
    intervals = f"; in brackets 95 % intervals of {samples}" if settings.resamples else ""
    yield (
        f"{count(evaluation.num_images, 'image')} with truth at {evaluation.size}, means over "
        f"images in percent, as labelled{intervals}. These images were among the unlabelled "
        "ones of the run; truth took no part in training."
    )
    heads = ["method", "images", *(METRIC_LABELS[name] for name in METRICS)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for scores in evaluation.methods:
        cells = [label(scores.method, evaluation.num_rounds), f"{scores.num_images:,}"]
        cells += [_cell(scores, name) for name in METRICS]
        lines.append(f"| {' | '.join(cells)} |")
    yield "\n".join(lines)


def _cell(scores: MethodScores, metric: str) -> str:
    mean = f"{100 * scores.as_labelled[metric]:.1f}"
    ends = scores.as_labelled_interval.get(metric)
    return mean if ends is None else f"{mean} ({100 * ends[0]:.1f}-{100 * ends[1]:.1f})"
