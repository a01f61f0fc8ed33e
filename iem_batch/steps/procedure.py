"""How the masks of a run came about, in words, for the cards of data sets and networks."""

from iem_batch.job import Job

INSTEAD = "instead of IEM"
"""What a procedure says of masks that are not IEM's."""


def procedure(job: Job) -> dict[str, str]:
    """Say how the pairs of a round are made: step, or `photos`, in order -> what it does and how.

    Args:
        job: in its round.
    """
    settings = job.settings
    decode, iem, topk = settings.decode, settings.iem, settings.topk
    sides = ", ".join(f"{100 * share:g} %" for share in settings.segment.init_shares)
    masks = (
        "Inpainting Error Maximization (arXiv 2012.07287) on each photo alone, on "
        f"{iem.colors} colours, from centred squares of {sides} of the side"
    )
    if not settings.segment.by_iem:
        masks = f"{settings.segment.method} on each photo, {INSTEAD}"
    method = settings.fuse.method_for(first_masks=settings.segment.by_iem)
    amount = f"the {topk.k:,} images" if topk.fraction is None else f"{topk.fraction:.0%} of images"
    labels = "fuse" if job.round == 1 else f"{topk.masks} of round {job.round - 1}"
    return {
        "photos": f"brought to {decode.size_px} x {decode.size_px} pixels by {decode.fit}, "
        f"{decode.resize}",
        "segment": masks,
        "fuse": f"the masks of a photo made one, by {method}",
        "topk": f"{amount} of highest score, {topk.by}, with the masks of {labels}",
        "export": f"foreground {settings.export.foreground}",
    }
