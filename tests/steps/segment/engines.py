"""Engines for `segment.engine`: some keep the contract, some break it, some fail on some images."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""Images of a call, uint8 (B, S, S, 3)."""


class AboveMean:
    """Foreground is what is brighter than the mean of the image."""

    deterministic = True

    def __call__(self, image: Image) -> NDArray[Any]:
        grey = image.mean(axis=3)
        return np.asarray(grey > grey.mean(axis=(1, 2), keepdims=True))


class Soft(AboveMean):
    """Its brightness is the mask; it spoils the images it is given."""

    def __init__(self, size_px: int, version: str = "1") -> None:
        self.size_px, self.version, self.batch_size = size_px, version, 3

    def __call__(self, image: Image) -> NDArray[Any]:
        assert image.shape[1:] == (self.size_px, self.size_px, 3)
        assert 1 <= len(image) <= self.batch_size
        soft = image[..., 0].astype(np.float32) / 255
        image[:] = 0
        return soft


class Troubled(AboveMean):
    """Does something else with images that begin with a certain shade of red.

    Of 250 it raises, 251 gives NaN, 252 one mask too many, 253 whole numbers, and 254 kills the
    process, if `kills` says so. In a batch of more than `most` images the memory ends.
    """

    def __init__(self, most: int = 16, kills: bool = False) -> None:
        self.most, self.kills = most, kills

    def __call__(self, image: Image) -> NDArray[Any]:
        mask, shade = super().__call__(image), image[:, 0, 0, 0]
        if len(image) > self.most:
            raise MemoryError
        if (shade == 250).any():
            raise LookupError("no object")
        if (shade == 251).any():
            soft = mask.astype(np.float32)
            soft[shade == 251, 0, 0] = np.nan
            return soft
        if (shade == 252).any():
            return np.concatenate([mask, mask[:1]])
        if (shade == 253).any():
            return mask.astype(np.int64)
        if self.kills and (shade == 254).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        return mask


class Unruly(Troubled):
    """Of 255 it never returns, of 254 it dies, and it loses a megabyte with every image."""

    lost: list[bytearray] = []

    def __call__(self, image: Image) -> NDArray[Any]:
        self.lost.extend(bytearray(1 << 20) for _ in image)
        if (image[:, 0, 0, 0] == 255).any():
            time.sleep(3600)
        return super().__call__(image)


class Breaking(AboveMean):
    """After an image that begins with 250 it fails on all images, as a GPU after an error does."""

    broken = False

    def __call__(self, image: Image) -> NDArray[Any]:
        self.broken = self.broken or bool((image[:, 0, 0, 0] == 250).any())
        if self.broken:
            raise RuntimeError("illegal memory access")
        return super().__call__(image)


class KilledOnce(Troubled):
    """Kills its process at the fourth call, until there is a file that says that it did."""

    def __init__(self, marker: str) -> None:
        super().__init__()
        self.marker, self.calls, self.batch_size = Path(marker), 0, 1

    def __call__(self, image: Image) -> NDArray[Any]:
        self.calls += 1
        if self.calls == 4 and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(image)


class WrongShape(AboveMean):
    def __call__(self, image: Image) -> NDArray[Any]:
        return super().__call__(image)[:, ::2]


class WrongType(AboveMean):
    def __call__(self, image: Image) -> NDArray[Any]:
        return super().__call__(image).astype(np.uint8)


class OutOfRange(AboveMean):
    def __call__(self, image: Image) -> NDArray[Any]:
        return 2 * super().__call__(image).astype(np.float32)


class Random(AboveMean):
    """Says that it is deterministic, and is not."""

    def __call__(self, image: Image) -> NDArray[Any]:
        return np.random.default_rng().random(image.shape[:3]) > 0.5


class NoSize(AboveMean):
    size_px = 0


class Silent:
    """Does not say whether it is deterministic."""

    def __call__(self, image: Image) -> NDArray[Any]:
        raise AssertionError("it was called")


class Undetermined(AboveMean):
    deterministic = False
