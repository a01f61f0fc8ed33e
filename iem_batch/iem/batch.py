"""Items of IEM that iterate in step, for the `torch` backend.

An item is one first mask of one image. A batch has a fixed number of slots, and a slot whose item
is done takes the next one. So an operation in float32 always has the same shape, and what an item
gives does not depend on the others.

K = slots, H, W = pixels of an axis, P = H W, 2 = area and key, 3 = colours, 4 = colours and ones.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial

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

    captured: bool
    """Whether the float32 part of an iteration is one CUDA graph instead of some 60 launches."""


def make_engine(
    height: int,
    width: int,
    settings: IEMSettings,
    device: torch.device,
    *,
    captured: bool | None = None,
) -> Engine:
    """Prepare for images of one size; on a CUDA device, unless told not to, for a graph."""
    return Engine(
        captured=device.type == "cuda" if captured is None else captured,
        settings=settings,
        device=device,
        blur=make_blur(height, width, settings, torch.float32, device),
        exact_blur=make_blur(height, width, settings, torch.float64, device),
        weights_P2=key_weights(height * width).to(device),
    )


Gradient = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
"""What float32 says of mask_KHW: gradient_KHW, movable_KHW, and doubt_K, the items in doubt."""


def gradient_in_float32(
    image_KH4W: Tensor, mask_KHW: Tensor, engine: Engine
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute a `Gradient`; every operation has a fixed shape and none waits for the device."""
    movable_KHW = movable_pixels(mask_KHW, engine.settings)
    gradient_KHW = objective_gradient(
        image_KH4W, mask_KHW[:, :, None].float(), engine.blur, engine.settings.diversity_weight
    )
    size_KHW = gradient_KHW.abs()
    doubt_KHW = size_KHW < DOUBT * size_KHW.mean(dim=(1, 2), keepdim=True)
    return gradient_KHW, movable_KHW, (doubt_KHW & movable_KHW).flatten(1).any(dim=1)


def capture(image_KH4W: Tensor, mask_KHW: Tensor, engine: Engine) -> Gradient:
    """Record `gradient_in_float32` as a CUDA graph that reads `image_KH4W` where it lies.

    Args:
        image_KH4W: its values may change between calls, its place may not.
        mask_KHW: of the shape and device of those to come.
        engine: what the batches share.
    """
    static_KHW = mask_KHW.clone()
    warm_up = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    warm_up.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm_up):  # the libraries set themselves up outside the recording
        for _ in range(3):
            gradient_in_float32(image_KH4W, static_KHW, engine)
    torch.cuda.current_stream().wait_stream(warm_up)
    graph = torch.cuda.CUDAGraph()
    # What other threads of this process do on the device meanwhile is no part of it.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        gradient_KHW, movable_KHW, doubt_K = gradient_in_float32(image_KH4W, static_KHW, engine)

    def replay(mask_KHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        static_KHW.copy_(mask_KHW)
        graph.replay()
        return gradient_KHW, movable_KHW, doubt_K

    return replay


def settle_doubt(
    gradient_KHW: Tensor, doubt_K: Tensor, image_KH4W: Tensor, mask_KHW: Tensor, engine: Engine
) -> None:
    """Put float64's gradient in the place of float32's where an item has a movable pixel in doubt.

    Then each movable pixel has the sign it has in float64. One iteration in ten takes this.
    """
    if doubt_K.any():
        gradient_KHW[doubt_K] = objective_gradient(
            image_KH4W[doubt_K].double(),
            mask_KHW[doubt_K][:, :, None].double(),
            engine.exact_blur,
            engine.settings.diversity_weight,
        ).float()


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
        self.gradient: Gradient = (
            capture(self.image_KH4W, mask_KHW, engine)
            if engine.captured
            else partial(gradient_in_float32, self.image_KH4W, engine=engine)
        )

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
        gradient_KHW, movable_KHW, doubt_K = self.gradient(mask_KHW)
        settle_doubt(gradient_KHW, doubt_K, self.image_KH4W, mask_KHW, self.engine)
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
