"""Published figures, for rows that are marked as quoted. Percent, best polarity.

From the tables of Savarese et al. (CVPR 2021, arXiv 2012.07287), which quote ReDO (Chen et al.
2019) and PerturbGAN (Bielski and Favaro 2019). None of them was measured by this program.
"""

from dataclasses import dataclass

from iem_batch.steps.evaluate.settings import PublishedSet

SET_LABELS: dict[PublishedSet, str] = {
    "flowers102": "Flowers-102",
    "cub200": "CUB-200-2011",
    "lsun_car": "LSUN Car",
}


@dataclass(frozen=True, kw_only=True)
class Published:
    """One row of a published table."""

    method: str
    data_set: PublishedSet
    metrics: dict[str, float]
    """By the names of `METRICS`; a figure that was not published is absent."""


def _iem(
    method: str, data_set: PublishedSet, accuracy: float, iou: float, miou: float, dice: float
) -> Published:
    metrics = {"accuracy": accuracy, "iou": iou, "miou": miou, "dice": dice}
    return Published(method=method, data_set=data_set, metrics=metrics)


PUBLISHED = (
    Published(method="GrabCut", data_set="flowers102", metrics={"iou": 69.2}),
    Published(method="ReDO", data_set="flowers102", metrics={"iou": 76.4}),
    _iem("IEM", "flowers102", 88.3, 76.8, 79.0, 84.6),
    _iem("IEM + SegNet", "flowers102", 89.6, 78.9, 80.8, 86.0),
    Published(method="GrabCut", data_set="cub200", metrics={"iou": 36.0}),
    Published(method="PerturbGAN", data_set="cub200", metrics={"miou": 38.0}),
    Published(method="ReDO", data_set="cub200", metrics={"iou": 42.6}),
    _iem("IEM", "cub200", 88.6, 52.2, 69.6, 66.0),
    _iem("IEM + SegNet", "cub200", 89.3, 55.1, 71.4, 68.7),
    Published(method="GrabCut", data_set="lsun_car", metrics={"iou": 57.6}),
    Published(method="PerturbGAN", data_set="lsun_car", metrics={"miou": 54.0}),
    _iem("IEM", "lsun_car", 76.2, 65.1, 61.5, 78.1),
    _iem("IEM + SegNet", "lsun_car", 77.8, 68.5, 63.2, 80.5),
)


def quoted_rows(
    data_sets: tuple[PublishedSet, ...], measured: str
) -> list[tuple[str, dict[str, float]]]:
    """Give the published rows of some data sets, each marked as what it is.

    Args:
        data_sets: whose figures.
        measured: the data set one's own figures are of, as `evaluate.format` names it.

    Returns:
        Label and metrics in percent of each row.
    """
    rows = []
    for row in PUBLISHED:
        if row.data_set in data_sets:
            other = "" if row.data_set == measured else ", another set"
            label = f"{row.method} (quoted{other}: {SET_LABELS[row.data_set]})"
            rows.append((label, row.metrics))
    return rows
