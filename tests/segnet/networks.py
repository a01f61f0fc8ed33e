"""Networks for `segnet.backbone`: some keep the contract, some break it."""

import torch
from torch import Tensor, nn


class Normed(nn.Module):
    """Keeps the contract, with what SegNet has not: batch statistics and dropout."""

    def __init__(self, width: int = 4, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.head(self.dropout(self.norm(self.first(image_B3HW)).relu()))


class Frozen(nn.Module):
    """Has a part that does not learn."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 2, 1).requires_grad_(False)
        self.head = nn.Conv2d(2, 1, 1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.head(self.body(image_B3HW))


class Tied(nn.Module):
    """Has one weight under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.second.weight = self.first.weight
        self.head = nn.Conv2d(3, 1, 1)

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return self.head(self.second(self.first(image_B3HW).relu()))


class Halved(Normed):
    """Gives a quarter of the pixels."""

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return super().forward(image_B3HW)[:, :, ::2, ::2]


class Square(Normed):
    """Gives square outputs whatever the image."""

    def forward(self, image_B3HW: Tensor) -> Tensor:
        side = image_B3HW.shape[2]
        return super().forward(image_B3HW)[:, :, :, :side]


class Double(Normed):
    """Gives float64."""

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return super().forward(image_B3HW).double()


class Named(Normed):
    """Gives a mapping, as torchvision's networks do."""

    def forward(self, image_B3HW: Tensor) -> dict[str, Tensor]:
        return {"out": super().forward(image_B3HW)}


class Narrow(Normed):
    """Takes one channel."""

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return super().forward(image_B3HW[:, :1])


class Constant(nn.Module):
    """Has nothing to learn."""

    def forward(self, image_B3HW: Tensor) -> Tensor:
        return torch.zeros_like(image_B3HW[:, :1])


def make() -> nn.Module:
    return Normed()
