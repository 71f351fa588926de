"""Mean and standard deviation of each channel over the images of a data set."""

import math

import torch
from torch import Tensor

from dilution.data import Arrays

_VALUES = 1 << 22  # values held as float64 at once


def channel_moments(data: Arrays, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel over some images of a data set.

    Both are float64, shape (channels,). Moments of uint8 images are in units where pixels lie in
    [0, 1], and are computed in integers; those of float32 images are in the units of the values. A
    channel of one value has a deviation of exactly 0.

    Parameters
    ----------
    data
        Images.
    rows
        Rows of the images to count, int64, shape (n,).
    """
    if data.dtype.is_floating_point:
        return _float_moments(data, rows)
    totals, squares = data.pixel_sums[:, rows].sum(dim=1).tolist()
    pixels = len(rows) * data.shape[1] * data.shape[2]
    # Python's integers: the squared total of many images is too large for int64, and in floats the difference
    # would give a channel of one value a deviation.
    pairs = list(zip(totals, squares, strict=True))
    mean = [total / (255 * pixels) for total in totals]
    deviation = [math.sqrt(pixels * square - total**2) / (255 * pixels) for total, square in pairs]
    return torch.tensor(mean, dtype=torch.float64), torch.tensor(deviation, dtype=torch.float64)


def _float_moments(data: Arrays, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the moments of float32 images in two passes, the mean first.

    In one pass, by sums of squares, a column such as 10⁶ ± 1 would lose the digits of its
    deviation.
    """
    parts = rows.split(max(1, _VALUES // math.prod(data.shape)))
    values = len(rows) * data.shape[1] * data.shape[2]
    total = torch.zeros(data.shape[0], dtype=torch.float64, device=data.device)
    squares = torch.zeros_like(total)
    low, high = total.float() + math.inf, total.float() - math.inf
    for part in parts:
        images = data.take(part)
        low, high = low.minimum(images.amin(dim=(0, 2, 3))), high.maximum(images.amax(dim=(0, 2, 3)))
        total += images.double().sum(dim=(0, 2, 3))
    mean = torch.where(low == high, low.double(), total / values)
    for part in parts:
        squares += (data.take(part).double() - mean[:, None, None]).square_().sum(dim=(0, 2, 3))
    return mean.cpu(), (squares / values).sqrt().cpu()
