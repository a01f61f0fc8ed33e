import pytest
import torch
from torch import Tensor

from iem_batch.segnet.augment import augment, crop, jitter_colors
from iem_batch.segnet.settings import TrainSettings
from tests.segnet.recipe import paper_train

ROWS = torch.arange(64)


def pairs(height: int = 8, width: int = 8) -> tuple[Tensor, Tensor]:
    """Images whose left three columns are 1 and the others -1, and the mask of those columns."""
    image_K3HW = torch.full((64, 3, height, width), -1.0)
    image_K3HW[..., :3] = 1
    return image_K3HW, (image_K3HW[:, :1] > 0).float()


def test_the_recipe_of_the_paper_changes_nothing() -> None:
    image_K3HW, target_K1HW = pairs()
    after = augment(image_K3HW, target_K1HW, ROWS, paper_train(), epoch=3)
    assert torch.equal(after[0], image_K3HW)
    assert torch.equal(after[1], target_K1HW)


@pytest.mark.parametrize(
    "settings",
    [
        paper_train(horizontal_flips=True),
        paper_train(random_crops=0.5),
        paper_train(horizontal_flips=True, random_crops=0.5),
    ],
)
def test_the_mask_moves_with_the_image(settings: TrainSettings) -> None:
    """The image is 2 mask - 1 and stays so: catches a mask left behind, and one drawn for anew."""
    image_K3HW, target_K1HW = augment(*pairs(), ROWS, settings, epoch=0)
    torch.testing.assert_close(image_K3HW, (2 * target_K1HW - 1).expand(-1, 3, -1, -1))


def test_about_half_of_the_images_are_mirrored() -> None:
    image_K3HW, _ = augment(*pairs(), ROWS, paper_train(horizontal_flips=True), epoch=0)
    is_left_K = image_K3HW[:, 0, 0, 0] > 0
    assert 20 <= is_left_K.sum() <= 44
    mirrored = pairs()[0].flip(-1)
    assert torch.equal(image_K3HW[~is_left_K], mirrored[~is_left_K])


def test_chance_depends_on_seed_epoch_and_row_alone() -> None:
    """Catches chance that depends on the images of the pass, or on a generator's state."""
    settings = paper_train(horizontal_flips=True, random_crops=0.4, seed=2)
    image_K3HW, target_K1HW = pairs()
    together = augment(image_K3HW, target_K1HW, ROWS, settings, epoch=1)
    for part in (slice(0, 1), slice(5, 40)):
        alone = augment(image_K3HW[part], target_K1HW[part], ROWS[part], settings, epoch=1)
        assert torch.equal(alone[0], together[0][part])
        assert torch.equal(alone[1], together[1][part])
    for other in (
        augment(image_K3HW, target_K1HW, ROWS, settings, epoch=2),
        augment(image_K3HW, target_K1HW, ROWS + 64, settings, epoch=1),
        augment(image_K3HW, target_K1HW, ROWS, paper_train(random_crops=0.4), epoch=1),
    ):
        assert not torch.equal(other[1], together[1])


def test_mirroring_is_the_same_with_and_without_crops() -> None:
    """Catches draws that move on when an option is added, so that options cannot be compared."""
    flips = augment(*pairs(), ROWS, paper_train(horizontal_flips=True), epoch=0)[0]
    both = paper_train(horizontal_flips=True, random_crops=1e-6)
    torch.testing.assert_close(augment(*pairs(), ROWS, both, epoch=0)[0], flips, rtol=0, atol=1e-4)


def test_crop_by_hand() -> None:
    """The lower left quarter of 4 x 4 pixels, 12 13 / 16 17 as column + 4 row + 4, twice as large:
    samples lie at columns -0.25, 0.25, 0.75, 1.25 of the part, and at rows likewise; those beyond
    the picture's border take its value."""
    picture = torch.arange(16.0).reshape(1, 1, 4, 4)
    part = crop(picture, torch.tensor([0.5]), torch.tensor([[0.0, 0.5]]))
    column = torch.tensor([0.0, 0.25, 0.75, 1.25])
    row = torch.tensor([1.75, 2.25, 2.75, 3.0])
    torch.testing.assert_close(part[0, 0], 4 * row[:, None] + column)


def test_crops_are_within_the_picture_and_of_all_sizes() -> None:
    """A ramp from left to right in [0, 1] tells the side and the place of each crop."""
    ramp = ((torch.arange(100) + 0.5) / 100).expand(64, 1, 100, 100)
    settings = paper_train(random_crops=0.4)
    image_K3HW, _ = augment(ramp.expand(-1, 3, -1, -1), ramp, ROWS, settings, epoch=0)
    left_K, right_K = image_K3HW[:, 0, 50, 0], image_K3HW[:, 0, 50, -1]
    side_K = (right_K - left_K) * 100 / 99
    assert 0.58 < side_K.min() < 0.64
    assert 0.96 < side_K.max() < 1.01
    assert (left_K < 0.02).sum() < 20
    assert left_K.max() > 0.25
    assert 0.75 < side_K.mean() < 0.85


def test_colours_by_hand() -> None:
    """Catches gains and offsets of another channel, or of another image."""
    image_K3HW = torch.full((2, 3, 1, 2), 0.5)
    image_K3HW[..., 1] = -1
    change = [[[0.2, 0.0, -0.2], [0.0, 0.1, 0.3]], [[0.0, 0.0, 0.0], [0.0, 0.0, -0.5]]]
    expected = [
        [[[0.6, -1.2]], [[0.6, -0.9]], [[0.7, -0.5]]],
        [[[0.5, -1.0]], [[0.5, -1.0]], [[0.0, -1.5]]],
    ]
    changed = jitter_colors(image_K3HW, torch.tensor(change))
    torch.testing.assert_close(changed, torch.tensor(expected))


def test_colours_change_within_bounds_and_labels_never() -> None:
    """At 1 and -1 the gain g and the offset o give o + g and o - g, so both can be read off."""
    settings = paper_train(color_jitter=0.2)
    image_K3HW, target_K1HW = augment(*pairs(), ROWS, settings, epoch=0)
    assert torch.equal(target_K1HW, pairs()[1])
    left_K3, right_K3 = image_K3HW[:, :, 0, 0], image_K3HW[:, :, 0, -1]
    for drawn_K3, centre in (((left_K3 - right_K3) / 2, 1), ((left_K3 + right_K3) / 2, 0)):
        assert 0.19 < (drawn_K3 - centre).abs().max() < 0.201
        assert (drawn_K3 - centre).mean().abs() < 0.04
        assert len(drawn_K3.unique()) > 150  # each image and channel has its own
