"""IEM on some images in memory or on disk, for a notebook: no run folder, no Ray, no pyarrow.

B = images, S = pixels of a side of the engine's square, H, W = pixels of an original.
"""

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from iem_batch.given import decode_given
from iem_batch.iem.backends import load_backend, score_masks
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.settings import DecodeSettings
from iem_batch.processes import num_cpus
from iem_batch.results import Results, at_photo_size
from iem_batch.steps.fuse.fusion import fuse_one
from iem_batch.steps.fuse.settings import FuseSettings
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.storage.read_ahead import map_ahead

if TYPE_CHECKING:
    from iem_batch.steps.report.sheet import Row


@dataclass(frozen=True, kw_only=True, repr=False)
class Segmentation(Results):
    """What `segment` found; see `iem_batch.results.Results` for what it can do."""

    squares: NDArray[np.bool_]
    """(B, S, S), the masks of what it saw. An image can end with an empty or a full one."""

    errors: NDArray[np.float64]
    """(B,) inpainting errors E (Eq. 8) in [0, 4]: the higher, the surer; 0 where a mask is empty
    or full."""

    iem: IEMSettings
    """The settings the masks were made with."""

    def _row(self, b: int) -> "Row":
        """Draw photo, mask, and what each side of it predicts of the other."""
        from iem_batch.steps.report.panels import draw_panels
        from iem_batch.steps.report.sheet import Row

        name, mask_SS = self.names[b], self.squares[b]
        return Row(
            caption=f"{name}: error {self.errors[b]:.3f}, area {100 * mask_SS.mean():.0f} %",
            panels=list(draw_panels(name, self.images[b], {"IEM": mask_SS}, self.iem)),
        )


def segment(
    images: Any,
    *,
    iem: IEMSettings | None = None,
    decode: DecodeSettings | None = None,
    first_masks: SegmentSettings | None = None,
    fuse: FuseSettings | None = None,
    num_threads: int | None = None,
) -> Segmentation:
    """Find the foreground of every image, without labels: what the command `run` gives as well.

    IEM is run from several first masks, and what they led to is fused into one mask.

    Args:
        images: one image or any number of them; see `iem_batch.given.decode_given`.
        iem: how IEM runs; None takes the defaults, as for all settings.
        decode: how images become the engine's square.
        first_masks: what IEM starts from, and which engine runs it.
        fuse: how masks are fused. `dataset` means the images given here.
        num_threads: images worked on at once; None takes one for each processor.

    Returns:
        The masks at the size of the photos, with their inpainting errors; what could not be used
        is in `rejected`. A notebook shows it as pictures.

    Raises:
        ImageRejectedError: no image can be used; the message names the first.
        SettingsError: something is not an image, or a setting cannot be used.
        BackendUnavailableError: the backend cannot run here.

    Example:
        >>> found = segment("photos")
        >>> found["photos/cat.jpg"].masks[0]  # bool (H, W)
        >>> found.save("masks")
    """
    iem, decode = iem or IEMSettings(), decode or DecodeSettings()
    first_masks, fuse = first_masks or SegmentSettings(), fuse or FuseSettings()
    threads = num_threads or num_cpus()
    size, given = decode.size_px, decode_given(images, decode)
    image_BSS3 = given.pixels(size)
    sides = first_masks.sides_px(size)
    first_SHW = centred_squares(size, size, sides)
    engine = load_backend(first_masks.backend)
    result = engine(
        image_BSS3,
        np.broadcast_to(first_SHW, (len(given.names), *first_SHW.shape)),
        iem,
        num_threads=threads,
    )
    best = int(result.error_BS.mean(axis=0).argmax()) if given.names else 0
    fused = map_ahead(
        partial(fuse_one, fuse.method_for(first_masks=True), best),
        image_BSS3,
        result.mask_BSHW,
        result.error_BS,
        num_threads=threads,
    )
    mask_BSS = np.array(list(fused), np.bool_).reshape(-1, size, size)
    scores = score_masks(engine, image_BSS3, mask_BSS, iem, threads)
    return Segmentation(
        names=given.names,
        masks=at_photo_size(mask_BSS, given.images, decode.fit),
        rejected=given.rejected,
        images=image_BSS3,
        squares=mask_BSS,
        errors=scores.error_BS[:, 0],
        iem=iem,
    )
