"""The colours that the engine sees: those of the photo, or whitened ones.

Whitening subtracts an image's mean colour and multiplies by (C + noise^2)^(-1/2), C the covariance
of its colours: brightness then is one of three equal axes, and the light and dark side of one body
are no longer two colours to the diversity term. This form has no sign, order or ties of axes to
choose. The sums are exact, the matrix is computed by the basic operations of IEEE arithmetic in a
fixed order and rounded once, and pixels are transformed in integers: the same bits everywhere.
"""

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from iem_batch.iem.settings import IEMSettings

NOISE = 5.0
"""Standard deviation of the noise, in grey levels: what an axis without colour is divided by."""

SCALE = 40.0
"""Grey levels that a standard deviation becomes, on an axis with much colour."""

_SWEEPS = 12
"""Of Jacobi's method; a 3x3 matrix takes six or fewer."""

_BITS = 16
"""Binary digits of the transform behind the point: 255 * 3 * SCALE / NOISE fits 31 bits."""


def engine_colors(image_BHW3: NDArray[np.uint8], settings: IEMSettings) -> NDArray[np.uint8]:
    """Give images the colours that the engine is to see.

    Args:
        image_BHW3: uint8 RGB.
        settings: which colours.

    Returns:
        uint8 of the same shape. An image of one colour becomes 128 everywhere.
    """
    if settings.colors == "rgb":
        return image_BHW3
    whitened = np.empty_like(image_BHW3)
    for image_HW3, whitened_HW3 in zip(image_BHW3, whitened, strict=True):
        whitened_HW3[:] = whiten(image_HW3)
    return whitened


def whiten(image_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Whiten the colours of one image around 128; see this file's docstring."""
    pixel_N3 = image_HW3.reshape(-1, 3).astype(np.int32)
    count = len(pixel_N3)
    if not count:
        return image_HW3
    channel_3N = np.ascontiguousarray(pixel_N3.T)
    total = [int(channel_N.sum(dtype=np.int64)) for channel_N in channel_3N]
    covariance = [
        [
            (count * int(np.vdot(one_N.astype(np.int64), other_N)) - total[i] * total[j]) / count**2
            for j, other_N in enumerate(channel_3N)
        ]
        for i, one_N in enumerate(channel_3N)
    ]
    matrix = [
        [round(SCALE * value * (1 << _BITS)) for value in row] for row in _inverse_root(covariance)
    ]
    out_3N = np.empty_like(channel_3N)
    for c, column in enumerate(matrix):
        # Of the mean only the product is rounded, to 2^-16 of a grey level.
        offset = (128 << _BITS) + (1 << (_BITS - 1))
        offset -= round(sum(a * s for a, s in zip(column, total, strict=True)) / count)
        value_N = sum(a * channel_N for a, channel_N in zip(column, channel_3N, strict=True))
        out_3N[c] = np.clip((value_N + offset) >> _BITS, 0, 255)
    return out_3N.T.reshape(image_HW3.shape).astype(np.uint8)


def _inverse_root(covariance: list[list[float]]) -> list[list[float]]:
    """Compute (C + noise^2)^(-1/2) of a symmetric matrix, by Jacobi's method in a fixed order."""
    a = [row[:] for row in covariance]
    u = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    for _ in range(_SWEEPS):
        for p, q in ((0, 1), (0, 2), (1, 2)):
            if a[p][q] == 0.0:
                continue
            theta = (a[q][q] - a[p][p]) / (2.0 * a[p][q])
            t = (1.0 if theta >= 0.0 else -1.0) / (abs(theta) + sqrt(theta * theta + 1.0))
            c = 1.0 / sqrt(t * t + 1.0)
            s = t * c
            for k in range(3):
                a[k][p], a[k][q] = c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]
            for k in range(3):
                a[p][k], a[q][k] = c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]
            for k in range(3):
                u[k][p], u[k][q] = c * u[k][p] - s * u[k][q], s * u[k][p] + c * u[k][q]
    weight = [1.0 / sqrt(max(a[k][k], 0.0) + NOISE * NOISE) for k in range(3)]
    return [
        [sum(u[i][k] * weight[k] * u[j][k] for k in range(3)) for j in range(3)] for i in range(3)
    ]
