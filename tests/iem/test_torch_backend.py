import dataclasses
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iem_batch.errors import BackendUnavailableError, DeviceLostError
from iem_batch.iem import batch, reference, torch_backend
from iem_batch.iem.batch import Batch, Engine, Item, Outcome, image_planes, make_engine, run_batch
from iem_batch.iem.gradient import objective_gradient
from iem_batch.iem.masks import centred_squares
from iem_batch.iem.result import IEMResult, Status
from iem_batch.iem.settings import IEMSettings
from iem_batch.iem.torch_backend import halve_while_out_of_memory, segment, segment_on
from iem_batch.iem.torch_state import exact_torch
from tests.iem.noise import noise, random_masks
from tests.iem.trajectory import is_decided
from tests.pictures import Picture

CPU = torch.device("cpu")


def assert_same(result: IEMResult, expected: IEMResult, tolerance: float = 0) -> None:
    assert np.array_equal(result.mask_BSHW, expected.mask_BSHW)
    assert np.array_equal(result.iterations_BS, expected.iterations_BS)
    assert np.array_equal(result.status_BS, expected.status_BS)
    for name in ("error_foreground_BS", "error_background_BS"):
        np.testing.assert_allclose(
            getattr(result, name), getattr(expected, name), rtol=0, atol=tolerance
        )


@st.composite
def all_settings(draw: st.DrawFn) -> IEMSettings:
    return IEMSettings(
        sigma_px=draw(st.sampled_from([0.5, 2.0, 5.0])),
        kernel_px=draw(st.sampled_from([1, 3, 11, 21])),
        diversity_weight=draw(st.sampled_from([0.0, 0.001, 0.1])),
        iterations=draw(st.integers(0, 12)),
        smoothing=draw(st.booleans()),
        boundary_only=draw(st.booleans()),
    )


@hypothesis_settings(max_examples=60, deadline=None, derandomize=True)
@given(
    settings=all_settings(),
    height=st.integers(1, 18),
    width=st.integers(1, 40),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.1, 0.5, 0.9]),
)
def test_equals_the_reference(
    settings: IEMSettings, height: int, width: int, seed: int, share: float
) -> None:
    """Over sizes from one pixel up, narrower and wider than a block, and every switch."""
    image = noise(seed, 2, height, width)
    first_mask = random_masks(seed, 2, 2, height, width, share=share)
    assume(all(is_decided(image[b], first_mask[b, s], settings) for b, s in np.ndindex(2, 2)))
    assert_same(
        segment_on(CPU, image, first_mask, settings),
        reference.segment(image, first_mask, settings),
        tolerance=1e-12,
    )


def test_stopping_at_a_recurrence_is_running_all_iterations() -> None:
    """On noise that ends in fixed points, cycles of 2 and 3, an empty mask and a full one."""
    seeds = (0, 1, 3, 14, 38)
    image = np.stack([noise(seed, 10, 12) for seed in seeds])
    first_mask = np.broadcast_to(centred_squares(10, 12, [5]), (len(seeds), 1, 10, 12))
    for iterations in (28, 29, 30):
        settings = IEMSettings(iterations=iterations, diversity_weight=0.001)
        result = segment_on(CPU, image, first_mask, settings)
        assert_same(result, reference.segment(image, first_mask, settings), tolerance=1e-12)
    assert set(Status) == {Status(status) for status in result.status_BS.ravel()}
    assert (result.iterations_BS < 28).all()


def outcomes_of(image_BHW3: NDArray[np.uint8], num_slots: int, engine: Engine) -> list[Outcome]:
    height, width = image_BHW3.shape[1:3]
    square = centred_squares(height, width, [height // 2])[0]
    items = (
        Item(position=(b, 0), image_HW3=image, first_mask_HW=square)
        for b, image in enumerate(image_BHW3)
    )
    outcomes = list(run_batch(items, Batch(num_slots, height, width, engine)))
    return sorted(outcomes, key=lambda outcome: outcome.position)


@pytest.mark.parametrize("num_slots", [3, 16])
def test_slots_work_on_many_items_at_once(num_slots: int) -> None:
    """As on a CUDA device: more items than slots, and slots left over at the end."""
    image = noise(1, 12, 14, 20)
    engine = make_engine(14, 20, IEMSettings(iterations=25), CPU)
    for one, many in zip(
        outcomes_of(image, 1, engine), outcomes_of(image, num_slots, engine), strict=True
    ):
        assert one.position == many.position
        assert one.iterations == many.iterations
        assert np.array_equal(one.mask_HW, many.mask_HW)


def test_the_whole_mask_decides_a_recurrence() -> None:
    """With weights of 0 all masks have the same key, and must still be told apart."""
    image = noise(2, 6, 14, 20)
    engine = make_engine(14, 20, IEMSettings(iterations=25), CPU)
    weights_P2 = engine.weights_P2 * torch.tensor([1.0, 0.0])
    colliding = dataclasses.replace(engine, weights_P2=weights_P2)
    for plain, collided in zip(
        outcomes_of(image, 1, engine), outcomes_of(image, 1, colliding), strict=True
    ):
        assert plain.iterations == collided.iterations
        assert np.array_equal(plain.mask_HW, collided.mask_HW)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_equals_the_reference_on_a_cuda_device() -> None:
    """More items than slots, so that slots are used again."""
    image, first_mask = noise(8, 150, 14, 20), random_masks(8, 150, 2, 14, 20)
    settings = IEMSettings(iterations=10)
    result = segment_on(torch.device("cuda"), image, first_mask, settings)
    assert_same(result, reference.segment(image, first_mask, settings), tolerance=1e-12)


def test_a_sign_in_doubt_is_decided_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    """One photo in a thousand has a boundary pixel whose gradient is 0 but for float32 rounding.

    With doubt about everything, an item with a movable pixel has its gradient from float64; with
    none about anything, or with nothing to move, from float32.
    """
    engine = make_engine(14, 20, IEMSettings(diversity_weight=0.001), CPU)
    image_KH4W = torch.stack([image_planes(noise(seed, 14, 20)) for seed in range(2)])
    mask_KHW = torch.from_numpy(random_masks(3, 2, 14, 20))
    movable_KHW = torch.tensor([False, True])[:, None, None].expand(2, 14, 20)
    monkeypatch.setattr(batch, "movable_pixels", lambda *_: movable_KHW)
    mask_KH1W = mask_KHW[:, :, None]
    single = objective_gradient(image_KH4W, mask_KH1W.float(), engine.blur, 0.001)
    double = objective_gradient(
        image_KH4W.double(), mask_KH1W.double(), engine.exact_blur, 0.001
    ).float()
    assert not torch.equal(single[1], double[1])
    for doubt, second in ((0.0, single[1]), (1e9, double[1])):
        monkeypatch.setattr(batch, "DOUBT", doubt)
        gradient, _, doubt_K = batch.gradient_in_float32(image_KH4W, mask_KHW, engine)
        batch.settle_doubt(gradient, doubt_K, image_KH4W, mask_KHW, engine)
        assert torch.equal(gradient[0], single[0])
        assert torch.equal(gradient[1], second)


def test_out_of_memory_halves_the_slots_and_goes_on() -> None:
    """What was done before stays done; an item that ended is not pending any more."""
    left = [(b, 0) for b in range(6)]
    tried: list[tuple[int, int]] = []

    def iterate(positions: list[tuple[int, int]], num_slots: int) -> None:
        tried.append((len(positions), num_slots))
        if num_slots > 2:
            del left[:2]
            raise torch.OutOfMemoryError("CUDA out of memory")
        left.clear()

    halve_while_out_of_memory(iterate, lambda: list(left), 8)
    assert tried == [(6, 8), (4, 4), (2, 2)]


def test_one_slot_too_much_is_said() -> None:
    def iterate(positions: list[tuple[int, int]], num_slots: int) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(BackendUnavailableError, match="out of memory with one image at a time"):
        halve_while_out_of_memory(iterate, lambda: [(0, 0)], 4)


def test_a_lost_device_has_its_own_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A retry on another worker heals it; any other RuntimeError stays what it is."""
    for message, error in (
        ("CUDA error: unspecified launch failure\nmore", DeviceLostError),
        ("shapes do not match", RuntimeError),
    ):
        monkeypatch.setattr(torch_backend, "run_batch", Mock(side_effect=RuntimeError(message)))
        with pytest.raises(error, match=message.split("\n")[0]) as raised:
            segment_on(CPU, noise(0, 1, 6, 6), random_masks(0, 1, 1, 6, 6), IEMSettings())
        assert type(raised.value) is error


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_captured_graph_gives_what_eager_operations_give() -> None:
    device = torch.device("cuda")
    image, first = noise(8, 40, 64, 64), centred_squares(64, 64, [30])[0]
    outcomes = []
    for captured in (False, True):
        engine = make_engine(64, 64, IEMSettings(iterations=30), device, captured=captured)
        items = (Item(position=(b, 0), image_HW3=image[b], first_mask_HW=first) for b in range(40))
        done = run_batch(items, Batch(16, 64, 64, engine))
        outcomes.append(sorted(done, key=lambda outcome: outcome.position))
    for eager, replayed in zip(*outcomes, strict=True):
        assert np.array_equal(eager.mask_HW, replayed.mask_HW)
        assert eager.iterations == replayed.iterations


def test_memory_does_not_grow_with_items() -> None:
    """A batch keeps no mask of a step before its oldest item."""
    two_slots = Batch(2, 10, 12, make_engine(10, 12, IEMSettings(iterations=9), CPU))
    square = centred_squares(10, 12, [5])[0]
    items = (
        Item(position=(b, 0), image_HW3=noise(b, 10, 12), first_mask_HW=square) for b in range(20)
    )
    for _ in run_batch(items, two_slots):
        assert len(two_slots.mask_KHW_by_step) <= 10
    assert two_slots.step > 30


def test_a_result_does_not_depend_on_the_rest_of_the_call() -> None:
    """Bit for bit over batches, threads and orders, so that a resumed run writes the same bytes."""
    image, first_mask = noise(3, 6, 20, 33), random_masks(3, 6, 2, 20, 33)
    settings = IEMSettings(iterations=15)
    together = segment_on(CPU, image, first_mask, settings, num_threads=3)
    backwards = segment_on(CPU, image[::-1], first_mask[::-1, ::-1], settings)
    for b in range(6):
        alone = segment_on(CPU, image[b : b + 1], first_mask[b : b + 1], settings)
        for name in IEMResult.__dataclass_fields__:
            expected = getattr(alone, name)[0]
            assert np.array_equal(getattr(together, name)[b], expected)
            assert np.array_equal(getattr(backwards, name)[5 - b, ::-1], expected)


def test_finds_a_textured_disc(pictures: list[Picture]) -> None:
    images = np.stack([picture.image for picture in pictures])
    truth = np.stack([picture.mask for picture in pictures])
    first_mask = np.broadcast_to(centred_squares(*truth.shape[1:], [40]), (12, 1, *truth.shape[1:]))
    mask = segment(images, first_mask, IEMSettings(), num_threads=2).mask_BSHW[:, 0]
    iou = (mask & truth).sum(axis=(1, 2)) / (mask | truth).sum(axis=(1, 2))
    assert iou.min() > 0.9


def test_flat_pictures_keep_their_first_mask() -> None:
    image = np.repeat(np.array([0, 77, 255], dtype=np.uint8), 9 * 9 * 3).reshape(3, 9, 9, 3)
    first_mask = np.broadcast_to(centred_squares(9, 9, [5]), (3, 1, 9, 9))
    result = segment_on(CPU, image, first_mask, IEMSettings())
    assert np.array_equal(result.mask_BSHW, first_mask)
    assert result.error_BS.tolist() == [[0]] * 3


def test_empty_and_full_first_masks_stay() -> None:
    mask = np.zeros((1, 2, 6, 6), dtype=bool)
    mask[:, 1] = True
    result = segment_on(CPU, noise(0, 1, 6, 6), mask, IEMSettings())
    assert np.array_equal(result.mask_BSHW, mask)
    assert result.status_BS.tolist() == [[Status.EMPTY, Status.FULL]]
    assert result.iterations_BS.tolist() == [[0, 0]]
    assert result.error_BS.tolist() == [[0, 0]]


@pytest.mark.parametrize(("num_images", "num_masks"), [(0, 2), (2, 0)])
def test_nothing_to_do_gives_an_empty_result(num_images: int, num_masks: int) -> None:
    first_mask = np.zeros((num_images, num_masks, 5, 6), dtype=bool)
    result = segment_on(CPU, noise(0, num_images, 5, 6), first_mask, IEMSettings())
    assert result.mask_BSHW.shape == first_mask.shape
    assert result.error_BS.shape == (num_images, num_masks)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (7, 1), (5, 30)])
def test_every_number_is_finite(size: tuple[int, int]) -> None:
    """On noise, two-valued and flat pictures, from masks of one pixel of either side."""
    image = noise(7, 3, *size)
    image[1] = np.where(image[1, ..., :1] > 127, 255, 0)
    image[2] = 9
    first_mask = np.zeros((3, 2, *size), dtype=bool)
    first_mask[:, 0, 0, 0] = True
    first_mask[:, 1] = ~first_mask[:, 0]
    result = segment_on(CPU, image, first_mask, IEMSettings(iterations=20))
    assert np.isfinite(result.error_BS).all()
    assert (result.error_BS >= 0).all()


def test_arguments_are_only_read() -> None:
    """Arrow buffers are read-only, and first masks a broadcast view; torch warns about both."""
    image = noise(4, 2, 10, 12)
    first_mask = np.broadcast_to(centred_squares(10, 12, [4, 6]), (2, 2, 10, 12))
    image.flags.writeable = False
    before = first_mask.copy()
    for run in (segment, reference.segment):
        run(image, first_mask, IEMSettings(iterations=3))
        assert np.array_equal(first_mask, before)


def test_torch_is_left_as_it_was() -> None:
    """A training step in the same process keeps its threads and its TF32."""
    torch.set_float32_matmul_precision("high")
    threads = torch.get_num_threads()
    try:
        with exact_torch(threads + 1):
            assert torch.get_num_threads() == threads + 1
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_num_threads() == threads
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
