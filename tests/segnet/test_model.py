import pytest
import torch
from torch import Tensor, nn

from iem_batch.errors import SettingsError
from iem_batch.segnet.model import SegNet, _Pyramid
from iem_batch.segnet.settings import SegNetSettings

SMALL = SegNetSettings(width=8, num_blocks=1)


def shapes_of_layers(model: SegNet, image_B3HW: Tensor) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}

    def remember(name: str) -> None:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            shapes[name] = tuple(output.shape[1:])

        model.get_submodule(name).register_forward_hook(hook)

    for name, _ in model.named_modules():
        remember(name)
    model(image_B3HW)
    return shapes


def test_layers_have_the_shapes_of_the_paper() -> None:
    """Catches a stride, a width or a number of blocks other than Section 4.2's."""
    shapes = shapes_of_layers(SegNet(SegNetSettings(width=128)), torch.zeros(1, 3, 128, 128))
    assert shapes["reduce.0"] == (32, 128, 128)
    assert shapes["reduce.1"] == (64, 64, 64)
    assert shapes["reduce.2"] == (128, 32, 32)
    assert [shapes[f"blocks.{index}"] for index in range(3)] == 3 * [(128, 32, 32)]
    assert [shapes[f"pyramid.convs.{index}"] for index in range(4)] == [
        (1, bins, bins) for bins in (1, 2, 3, 6)
    ]
    assert shapes["pyramid"] == (132, 32, 32)
    assert shapes["enlarge.1"] == (64, 64, 64)
    assert shapes["enlarge.3"] == (32, 128, 128)
    assert shapes["head"] == (1, 128, 128)


def test_weights_are_those_of_the_listed_convolutions() -> None:
    convolutions = [
        *(3 * 32 * 49, 32 * 64 * 9, 64 * 128 * 9),
        *(6 * 128 * 128 * 9, 4 * (128 + 1)),
        *(132 * 64 * 9, 64 * 32 * 9, 32 * 49 + 1),
    ]
    norms = 2 * (32 + 64 + 128 + 6 * 128 + 64 + 32)
    model = SegNet(SegNetSettings(width=128))
    assert sum(weight.numel() for weight in model.parameters()) == sum(convolutions) + norms


@pytest.mark.parametrize(("height", "width"), [(8, 8), (37, 50), (64, 33), (66, 9)])
def test_logits_have_the_size_of_the_image(height: int, width: int) -> None:
    """Catches sizes that are no multiple of 4 coming back rounded."""
    assert SegNet(SMALL)(torch.zeros(2, 3, height, width)).shape == (2, 1, height, width)


def test_too_small_an_image_is_refused() -> None:
    with pytest.raises(
        SettingsError, match="images of 7 x 40 pixels; each side must be at least 8"
    ):
        SegNet(SMALL)(torch.zeros(1, 3, 7, 40))


def test_images_of_a_batch_do_not_influence_each_other() -> None:
    """Catches batch statistics, which would make predictions depend on the sharding."""
    torch.manual_seed(0)
    model, image_B3HW = SegNet(SMALL), torch.randn(3, 3, 24, 24)
    one_by_one = torch.cat([model(image_B3HW[index : index + 1]) for index in range(3)])
    torch.testing.assert_close(model(image_B3HW), one_by_one)


def test_border_is_reflected() -> None:
    """Catches zero padding: a column ramp, reflected, has the inner columns beyond its border."""
    model = SegNet(SMALL)
    seen: list[Tensor] = []
    model.reduce[0].register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    ramp = torch.arange(10.0).expand(1, 3, 10, 10)
    model(ramp)
    expected = torch.tensor([3.0, 2, 1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6])
    torch.testing.assert_close(seen[0][0, 0, 5], expected)


def test_pyramid_appends_means_of_fields() -> None:
    """Catches a level of another bin count: a map of four quadrants 0, 1, 2, 3 by hand."""
    pyramid = _Pyramid(1)
    for conv in pyramid.convs:
        nn.init.ones_(conv.weight)
        nn.init.zeros_(conv.bias)
    rows, columns = torch.meshgrid(torch.arange(6) // 3, torch.arange(6) // 3, indexing="ij")
    quadrants = (2 * rows + columns).float()[None, None]
    appended = pyramid(quadrants)[0].detach()
    torch.testing.assert_close(appended[0], quadrants[0, 0])
    torch.testing.assert_close(appended[1], torch.full((6, 6), 1.5))
    corners = appended[2][[0, 0, 5, 5], [0, 5, 0, 5]]
    torch.testing.assert_close(corners, torch.tensor([0.0, 1, 2, 3]))
    assert appended[3][2:4, 2:4].mean() == pytest.approx(1.5)
    torch.testing.assert_close(appended[4], quadrants[0, 0])
