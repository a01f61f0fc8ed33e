"""Items of IEM that iterate in step, for the `torch` backend.

An item is one first mask of one image. A batch has a fixed number of slots, and a slot whose item
is done takes the next one. So an operation in float32 always has the same shape, and what an item
gives does not depend on the others.

K = slots, H, W = pixels of an axis, P = H W, 2 = area and key, 3 = colours, 4 = colours and ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from iem_batch.iem.blur import Blur, make_blur
from iem_batch.iem.dynamics import advance, movable_pixels
from iem_batch.iem.gradient import objective_gradient
from iem_batch.iem.objective import centred
from iem_batch.iem.settings import IEMSettings

DOUBT = 1e-6
"""Gradients below this share of the mask's mean are decided in float64: 3 times the largest
rounding error of float32 among 213,000 such boundary pixels of photographs."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One first mask, with both sides, of one image."""

    position: tuple[int, int]
    """Its place in the call."""

    image_HW3: NDArray[np.uint8]
    first_mask_HW: NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How an item ended; see `iem_batch.iem.reference` for what is final."""

    position: tuple[int, int]
    mask_HW: NDArray[np.bool_]
    iterations: int


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What a slot works on."""

    position: tuple[int, int]

    started: int
    """Step of the batch that the item's first mask belongs to."""

    seen: dict[float, list[int]] = field(default_factory=dict)
    """The item's iterations so far, by the key of their masks."""


def image_planes(image_HW3: NDArray[np.uint8]) -> Tensor:
    """Return image_H4W, float32: the centred colours, then ones."""
    colour_H3W = torch.from_numpy(centred(image_HW3)).movedim(2, 1).to(torch.float32)
    return torch.cat([colour_H3W, torch.ones_like(colour_H3W[:, :1])], dim=1)


def key_weights(num_pixels: int) -> Tensor:
    """Draw weights whose sums over a mask are its area and a key to find equal masks by.

    Returns:
        weights_P2: float64, whole numbers so small that every sum of them is exact.
    """
    generator = torch.Generator().manual_seed(0)
    key_P = torch.randint(2**53 // num_pixels, (num_pixels,), generator=generator)
    return torch.stack([torch.ones_like(key_P), key_P], dim=1).double()


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What the batches of one image size share."""

    settings: IEMSettings
    device: torch.device

    blur: Blur
    """Of float32."""

    exact_blur: Blur
    """Of float64."""

    weights_P2: Tensor
    """See `key_weights`."""


def make_engine(height: int, width: int, settings: IEMSettings, device: torch.device) -> Engine:
    """Prepare for images of one size."""
    return Engine(
        settings=settings,
        device=device,
        blur=make_blur(height, width, settings, torch.float32, device),
        exact_blur=make_blur(height, width, settings, torch.float64, device),
        weights_P2=key_weights(height * width).to(device),
    )


def decisive_gradient(
    image_KH4W: Tensor, mask_KHW: Tensor, movable_KHW: Tensor, engine: Engine
) -> Tensor:
    """Differentiate the objective so that each movable pixel has the sign it has in float64.

    An item with a movable pixel in doubt is done again in float64: one iteration in ten is.

    Returns:
        gradient_KHW: float32.
    """
    weight = engine.settings.diversity_weight
    mask_KH1W = mask_KHW[:, :, None]
    gradient_KHW = objective_gradient(image_KH4W, mask_KH1W.float(), engine.blur, weight)
    size_KHW = gradient_KHW.abs()
    doubt_KHW = size_KHW < DOUBT * size_KHW.mean(dim=(1, 2), keepdim=True)
    doubt_K = (doubt_KHW & movable_KHW).flatten(1).any(dim=1)
    if doubt_K.any():
        gradient_KHW[doubt_K] = objective_gradient(
            image_KH4W[doubt_K].double(), mask_KH1W[doubt_K].double(), engine.exact_blur, weight
        ).float()
    return gradient_KHW


class Batch:
    """The slots, and the masks of every step that an item may still go back to."""

    def __init__(self, num_slots: int, height: int, width: int, engine: Engine) -> None:
        """Start with free slots."""
        self.engine = engine
        self.slots: list[Slot | None] = [None] * num_slots
        self.image_KH4W = torch.ones(num_slots, height, 4, width, device=engine.device)
        mask_KHW = torch.zeros(num_slots, height, width, dtype=torch.bool, device=engine.device)
        self.mask_KHW_by_step = {0: mask_KHW}
        self.step = 0

    def load(self, k: int, item: Item) -> None:
        """Give slot k an item."""
        mask_HW = self.mask_KHW_by_step[self.step][k]
        mask_HW.copy_(torch.from_numpy(item.first_mask_HW.copy()))
        self.image_KH4W[k] = image_planes(item.image_HW3)
        _, key = (mask_HW.flatten().double() @ self.engine.weights_P2).tolist()
        self.slots[k] = Slot(position=item.position, started=self.step, seen={key: [0]})

    def advance(self) -> list[Outcome]:
        """Run one iteration of every slot, and free those whose item is done."""
        mask_KHW = self.mask_KHW_by_step[self.step]
        movable_KHW = movable_pixels(mask_KHW, self.engine.settings)
        gradient_KHW = decisive_gradient(self.image_KH4W, mask_KHW, movable_KHW, self.engine)
        mask_KHW = advance(mask_KHW, gradient_KHW, movable_KHW, self.engine.settings)
        self.step += 1
        self.mask_KHW_by_step[self.step] = mask_KHW
        sums_K2 = (mask_KHW.flatten(1).double() @ self.engine.weights_P2).tolist()
        outcomes = []
        for k, (slot, (area, key)) in enumerate(zip(self.slots, sums_K2, strict=True)):
            if slot is None or (final := self._final_iteration(k, slot, area, key)) is None:
                continue
            mask_HW = self._mask(k, slot, final).cpu().numpy().copy()
            iterations = self.step - slot.started
            outcomes.append(Outcome(position=slot.position, mask_HW=mask_HW, iterations=iterations))
            self.slots[k] = None
        return outcomes

    def forget(self) -> None:
        """Drop the masks of steps before the first of any item."""
        first = min((slot.started for slot in self.slots if slot is not None), default=self.step)
        for step in range(min(self.mask_KHW_by_step), first):
            del self.mask_KHW_by_step[step]

    def _mask(self, k: int, slot: Slot, t: int) -> Tensor:
        return self.mask_KHW_by_step[slot.started + t][k]

    def _final_iteration(self, k: int, slot: Slot, area: float, key: float) -> int | None:
        """Return the iteration whose mask is the item's final one, None if it goes on."""
        t = self.step - slot.started
        mask_HW = self._mask(k, slot, t)
        if area in (0, mask_HW.numel()):
            return t
        earlier = slot.seen.setdefault(key, [])
        for s in earlier:
            if torch.equal(self._mask(k, slot, s), mask_HW):
                return s + (self.engine.settings.iterations - s) % (t - s)
        earlier.append(t)
        return t if t == self.engine.settings.iterations else None


def run_batch(items: Iterable[Item], batch: Batch) -> Iterator[Outcome]:
    """Run all items through a batch, and yield each as it ends."""
    waiting = iter(items)
    while True:
        for k, slot in enumerate(batch.slots):
            if slot is None and (item := next(waiting, None)) is not None:
                batch.load(k, item)
        batch.forget()
        if not any(batch.slots):
            return
        yield from batch.advance()
