"""Boundary, vote and update on pictures drawn in the test: # is True."""

import numpy as np
import pytest
import torch
from torch import Tensor

from iem_batch.iem.dynamics import advance, boundary, movable_pixels, smooth
from iem_batch.iem.settings import IEMSettings

PLAIN = IEMSettings(smoothing=False)


def draw(*rows: str) -> Tensor:
    return torch.tensor([[pixel == "#" for pixel in row] for row in rows])


def moved(mask: Tensor, gradient: Tensor, settings: IEMSettings) -> Tensor:
    return advance(mask, gradient, movable_pixels(mask, settings), settings)


def test_boundary_is_the_4_neighbourhood_and_the_picture_border() -> None:
    """One foreground pixel: itself and its four neighbours, not the diagonal ones; and the frame,
    because outside the picture is the opposite of both sides."""
    mask = torch.zeros(7, 7, dtype=torch.bool)
    mask[3, 3] = True
    expected = draw(
        "#######",
        "#.....#",
        "#..#..#",
        "#.###.#",
        "#..#..#",
        "#.....#",
        "#######",
    )
    assert torch.equal(boundary(mask), expected)
    assert torch.equal(boundary(~mask), expected), "the same for both sides"


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2), (2, 7)])
def test_every_pixel_of_a_thin_picture_is_boundary(shape: tuple[int, int]) -> None:
    assert boundary(torch.ones(shape, dtype=torch.bool)).all()
    assert boundary(torch.zeros(shape, dtype=torch.bool)).all()


def test_boundary_and_vote_equal_the_zero_padded_convolutions() -> None:
    """The authors' form: a Laplacian of m and of 1 - m, and a 3x3 sum of at least 4."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(20, 1, 9, 12, generator=generator) > 0.6
    laplacian = torch.tensor([[[[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]]])
    edges = torch.zeros_like(mask)
    for side in (mask, ~mask):
        edges |= torch.nn.functional.conv2d(side.float(), laplacian, padding=1) < 0
    assert torch.equal(boundary(mask), edges)
    count = torch.nn.functional.conv2d(mask.float(), torch.ones(1, 1, 3, 3), padding=1)
    assert torch.equal(smooth(mask), count >= 4)


def test_four_of_nine_win_the_vote() -> None:
    """Every pixel of a 2x2 block sees 4 of 9, also in the corner of the picture, and the block
    stays; of 3 pixels in an L, only the missing fourth's window and theirs see 3: all vanish."""
    block, bent = draw("##..", "##..", "...."), draw("##..", "#...", "....")
    assert torch.equal(smooth(block), block)
    assert not smooth(bent).any()


def test_the_vote_counts_the_pixel_itself_and_fills_holes() -> None:
    """A plus sign has 5 pixels: its middle sees 5, its arms 4, its diagonal neighbours 3."""
    plus = draw(".....", "..#..", ".###.", "..#..", ".....")
    assert torch.equal(smooth(plus), plus)
    ring = draw(".....", ".###.", ".#.#.", ".###.", ".....")
    assert torch.equal(smooth(ring), plus), "its hole sees 8, its corners 3"


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 1)])
def test_outside_the_picture_votes_background(shape: tuple[int, int]) -> None:
    """A full picture of fewer than four pixels votes itself empty."""
    assert not smooth(torch.ones(shape, dtype=torch.bool)).any()


def test_ascent_on_the_boundary_only() -> None:
    """Foreground where the gradient is positive, background where negative, as before where 0.

    In the middle row the pixels 0 and 6 are the frame, 1 to 3 touch or are the foreground pixel 2,
    and 4 and 5 are not boundary.
    """
    mask = torch.zeros(5, 7, dtype=torch.bool)
    mask[2, 2] = True
    for gradient, foreground in (
        ([-1.0, 1, -1, 1, 1, 1, 0], [1, 3]),
        ([0.0, 0, 0, 0, 9, 0, 1], [2, 6]),
    ):
        field = torch.zeros(5, 7)
        field[2] = torch.tensor(gradient)
        after = moved(mask, field, PLAIN)
        assert after[2].nonzero()[:, 0].tolist() == foreground
        assert not after[[0, 1, 3, 4]].any()


def test_ascent_everywhere() -> None:
    """Without the restriction every pixel with a gradient follows it."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(8, 9, generator=generator) > 0.5
    gradient = torch.randn(8, 9, generator=generator)
    gradient[3:5] = 0
    after = moved(mask, gradient, IEMSettings(smoothing=False, boundary_only=False))
    expected = np.where(gradient == 0, mask, gradient > 0)
    assert np.array_equal(after, expected)


def test_smoothing_comes_last() -> None:
    """A pixel switched on by the gradient alone in the dark is voted away in the same iteration."""
    mask = torch.zeros(5, 5, dtype=torch.bool)
    gradient = torch.zeros(5, 5)
    gradient[0, 0] = 1
    assert moved(mask, gradient, PLAIN)[0, 0]
    assert not moved(mask, gradient, IEMSettings()).any()
