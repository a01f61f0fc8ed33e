"""Masks in IEM's place that lie in files: `segment.masks` names them.

B = images of a shard, K = those that have a mask, H, W = pixels of the square of the run.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from iem_batch.errors import MaskError
from iem_batch.iem.backends import load_backend
from iem_batch.iem.settings import IEMSettings
from iem_batch.images.geometry import FOREGROUND, VOID, to_square
from iem_batch.images.settings import DecodeSettings
from iem_batch.mask_files.open import open_masks
from iem_batch.mask_files.protocol import MaskFiles
from iem_batch.mask_files.settings import MaskFileSettings
from iem_batch.run.load import LoadedShard
from iem_batch.steps.quarantine import NO_MASK
from iem_batch.steps.segment.methods import Find, Found, score_soft
from iem_batch.steps.segment.settings import SegmentSettings
from iem_batch.storage.read_ahead import map_ahead

GREYS = np.zeros(256, np.uint8)
"""Label of a pixel -> its vote; what is neither is undecided, and background."""
GREYS[FOREGROUND], GREYS[VOID] = 255, 127


@dataclass(frozen=True, kw_only=True)
class ByFiles:
    """Masks that are there already; see `iem_batch.steps.segment.methods.Method`."""

    decode: DecodeSettings
    iem: IEMSettings
    segment: SegmentSettings
    mask_files: MaskFileSettings
    failure: str = NO_MASK
    sides_px: tuple[int, ...] = ()

    @property
    def size_px(self) -> int:
        """Side of the square of the run, in pixels."""
        return self.decode.size_px

    @property
    def facts(self) -> dict[str, Any]:
        """How the files are read."""
        return {"mask_files": asdict(self.mask_files)}

    def open_masks(self) -> MaskFiles:
        """Open the files.

        Raises:
            MaskError: they are not there or cannot be read.
        """
        assert self.segment.masks is not None
        return open_masks(self.segment.masks, self.mask_files, self.decode)

    def open(self, num_threads: int) -> Find:
        """Open the files, and load the backend that scores the masks."""
        backend, masks = load_backend(self.segment.backend), self.open_masks()

        def find(loaded: LoadedShard) -> Found:
            def look(image_id: str, width: int, height: int) -> NDArray[np.uint8] | str:
                try:
                    return self._vote(masks, image_id, width, height)
                except MaskError as error:
                    return str(error)

            votes = list(map_ahead(look, loaded.image_id, loaded.width, loaded.height))
            failed = {b: vote for b, vote in enumerate(votes) if isinstance(vote, str)}
            kept = [b for b in range(len(votes)) if b not in failed]
            vote_KHW = np.array([votes[b] for b in kept], np.float32)
            soft_KHW = vote_KHW.reshape(-1, self.size_px, self.size_px) / np.float32(255)
            image_KHW3 = loaded.image_BHW3[kept]
            return score_soft(backend, image_KHW3, soft_KHW, failed, self.iem, num_threads)

        return find

    def _vote(self, masks: MaskFiles, image_id: str, width: int, height: int) -> NDArray[np.uint8]:
        """Read the mask of an image and bring it to the square as the image was; vote_HW.

        Raises:
            MaskError: there is none, or it cannot be used.
        """
        if not masks.has(image_id):
            raise MaskError(f"{masks.url} has no mask of it; it has {masks.example()}")
        grey = Image.fromarray(GREYS[masks.read(image_id, width, height)])
        return np.asarray(to_square(grey, self.decode))
