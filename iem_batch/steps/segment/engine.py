"""Masks by an engine of the user's, in IEM's place: what it must be, and how it is called.

`segment.engine` names a class that every worker can import. It need not know of this package:

    class AboveMean:
        deterministic = True

        def __call__(self, image_BSS3):
            grey_BSS = image_BSS3.mean(axis=3)
            return grey_BSS > grey_BSS.mean(axis=(1, 2), keepdims=True)

It is made once in each worker, `Class(**segment.engine_args)`, and called with 1 to `batch_size`
images, uint8 RGB (B, S, S, 3), which it may change. It gives masks as numpy's bool (B, S, S), True
is foreground, or soft ones as float32 in [0, 1]; an empty one where it finds nothing. Images do not
influence each other. The class says, or its instance:

    deterministic  whether an image gets the same mask each time; the class must say this
    size_px        S; that of the run (`decode.size_px`) where nothing is said
    batch_size     most images in a call; 16 where nothing is said
    version        text; a run that was begun with another is not resumed

Where a call raises, runs out of memory or gives something else, its images are tried in halves, and
at last alone; those that still fail are rows of the quarantine, and have no label. B = images,
S = pixels of a side of the engine's square, H, W = of the run's, K = images that have a mask.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from iem_batch.checks import call_named, first_line, import_named
from iem_batch.errors import DeviceLostError, SettingsError
from iem_batch.iem.backends import load_backend
from iem_batch.iem.settings import IEMSettings
from iem_batch.run.load import LoadedShard
from iem_batch.steps.quarantine import ENGINE_FAILED
from iem_batch.steps.segment.methods import Find, Found, score_soft
from iem_batch.steps.segment.settings import SegmentSettings

BATCH_SIZE = 16


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What an engine says of itself."""

    size_px: int
    deterministic: bool
    version: str | None


@dataclass(frozen=True, kw_only=True)
class ByEngine:
    """An engine of the user's; see `iem_batch.steps.segment.methods.Method`."""

    run_size_px: int
    """Side of the square of the run, in pixels, at which masks are kept and scored."""
    iem: IEMSettings
    segment: SegmentSettings
    engine: EngineFacts
    failure: str = ENGINE_FAILED
    sides_px: tuple[int, ...] = ()

    @property
    def size_px(self) -> int:
        """Side of the engine's own square, in pixels."""
        return self.engine.size_px

    @property
    def facts(self) -> dict[str, Any]:
        """What the engine says of itself."""
        return asdict(self.engine)

    def open(self, num_threads: int) -> Find:
        """Make the engine, and load the backend that scores its masks."""
        backend, engine = load_backend(self.segment.backend), make_engine(self.segment)

        def find(loaded: LoadedShard) -> Found:
            image_BSS3, size_px = loaded.image_BHW3, self.run_size_px
            soft_BHW, failed = soft_masks(engine, image_BSS3, size_px)
            kept = [b for b in range(len(image_BSS3)) if b not in failed]
            image_KHW3 = np.empty((len(kept), size_px, size_px, 3), np.uint8)
            for row, b in enumerate(kept):
                image_KHW3[row] = at_size(image_BSS3[b], size_px)
            return score_soft(backend, image_KHW3, soft_BHW[kept], failed, self.iem, num_threads)

        return find


def examine(settings: SegmentSettings, size_px: int) -> EngineFacts:
    """Make the engine, ask what it says of itself, and try it on two images of noise.

    Args:
        settings: which engine.
        size_px: the square of the run.

    Raises:
        SettingsError: it cannot be imported or made here, or breaks the contract.
    """
    engine = make_engine(settings)
    facts = EngineFacts(
        size_px=getattr(engine, "size_px", size_px),
        deterministic=engine.deterministic,
        version=getattr(engine, "version", None),
    )
    name = f"segment.engine {settings.engine}"
    for what, value in (("size_px", facts.size_px), ("batch_size", batch_size_of(engine))):
        if type(value) is not int or value < 1:
            raise SettingsError(f"{name} has {what} {value!r}; it must be a whole number above 0")
    if not isinstance(facts.version, str | None):
        raise SettingsError(f"{name} has version {facts.version!r}; it must be text")
    num_images = min(2, batch_size_of(engine))
    shape = (num_images, facts.size_px, facts.size_px, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    try:
        first, again = (call_engine(engine, noise) for _ in range(2))
    except Exception as error:
        raise SettingsError(f"{name} fails on uint8 noise {shape}: {first_line(error)}") from error
    if facts.deterministic and (first != again).any():
        raise SettingsError(
            f"{name} says that it is deterministic, and gives two masks for one image; mend it, or "
            "let it say deterministic = False"
        )
    return facts


def make_engine(settings: SegmentSettings) -> Any:
    """Make the engine that the settings name.

    Raises:
        SettingsError: it cannot be imported or made here, or is not meant for this.
    """
    assert settings.engine is not None
    kind = import_named("segment.engine", settings.engine, "segments")
    # Only what is meant for this is called: settings may come from somebody else's run folder.
    if not (isinstance(kind, type) and isinstance(getattr(kind, "deterministic", None), bool)):
        raise SettingsError(
            f"segment.engine is {settings.engine!r}; it must name a class that says whether it is "
            "deterministic: `deterministic = True`, or False"
        )
    return call_named("segment.engine", settings.engine, kind, settings.engine_args)


def batch_size_of(engine: Any) -> Any:
    """Give the most images for one call, as the engine says."""
    return getattr(engine, "batch_size", BATCH_SIZE)


def call_engine(engine: Any, image_BSS3: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Call an engine and check what it gives.

    Args:
        engine: as `make_engine` gives it.
        image_BSS3: uint8 RGB; the engine gets a copy.

    Returns:
        soft_BSS: in [0, 1]; of masks 0 and 1.

    Raises:
        TypeError, ValueError: it gave no masks; whatever else it raises comes through.
    """
    given = np.asarray(engine(image_BSS3.copy()))
    if given.shape != image_BSS3.shape[:3]:
        wanted = image_BSS3.shape[:3]
        raise ValueError(f"it gave masks of shape {given.shape}; they must have {wanted}")
    if given.dtype not in (np.bool_, np.float32):
        raise TypeError(f"it gave masks of {given.dtype}; they must be of bool or float32")
    soft_BSS = given.astype(np.float32)
    if not ((soft_BSS >= 0) & (soft_BSS <= 1)).all():  # nor NaN
        raise ValueError("it gave soft masks with NaN, or not in [0, 1]")
    return soft_BSS


def soft_masks(
    engine: Any, image_BSS3: NDArray[np.uint8], size_px: int
) -> tuple[NDArray[np.float32], dict[int, str]]:
    """Find the masks of images.

    Args:
        engine: as `make_engine` gives it.
        image_BSS3: uint8 RGB; the engine's square.
        size_px: the square of the run.

    Returns:
        soft_BHW, in [0, 1], and of the images that have none their place in B and what happened.

    Raises:
        DeviceLostError: one image failed, and none can be done any more: it is not known which one
            is to blame, and another process may do the others.
    """
    soft_BHW = np.zeros((len(image_BSS3), size_px, size_px), np.float32)
    failed: dict[int, str] = {}

    def find(start: int, stop: int) -> None:
        try:
            soft = call_engine(engine, image_BSS3[start:stop])
        except Exception as error:  # noqa: BLE001 - whatever an engine raises is its images'
            if stop - start == 1:
                failed[start] = first_line(error)
                return
            middle = (start + stop) // 2
            find(start, middle)
            find(middle, stop)
        else:
            soft_BHW[start:stop] = [at_size(each, size_px) for each in soft]

    batch_size = batch_size_of(engine)
    for start in range(0, len(image_BSS3), batch_size):
        find(start, min(start + batch_size, len(image_BSS3)))
    if failed:
        _require_alive(engine, image_BSS3, failed)
    return soft_BHW, failed


def _require_alive(engine: Any, image_BSS3: NDArray[np.uint8], failed: Mapping[int, str]) -> None:
    """Check that an engine which failed on images still does one that it has done before.

    After some errors of a GPU all calls of a process fail, and good images would be blamed.
    """
    good = next((b for b in range(len(image_BSS3)) if b not in failed), None)
    try:
        if good is not None:
            call_engine(engine, image_BSS3[good : good + 1])
            return
    except Exception as error:
        raise DeviceLostError(f"broke the engine: {first_line(error)}") from error
    raise DeviceLostError(f"failed in the engine: {next(iter(failed.values()))}")


def at_size(pixels: NDArray[Any], size_px: int) -> NDArray[Any]:
    """Bring an image or a soft mask from the engine's square to the run's, by means of areas."""
    if len(pixels) == size_px:
        return pixels
    return np.asarray(cv2.resize(pixels, (size_px, size_px), interpolation=cv2.INTER_AREA))
