"""R ConvNets that train together on a GPU: the kernels of a step, in order, over memory that stays."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import triton
from torch import Tensor, nn

from dilution.training.kernels import convolution, dense
from dilution.training.kernels.layers import GATHER_DEPTH, Convolution
from dilution.training.kernels.optimizer import LAUNCH
from dilution.training.losses import LossWithGradient

# Tiles that were the fastest, or nearly so, on an H200 in bfloat16 (docs/log.md).
_PIXELS = 128  # pixels of a tile
_NARROW, _WIDE = 32, 128  # with so few channels tiles have twice the pixels, with so many more warps
_TILES = 14  # tiles of pixels that one program of a weight gradient adds up
_STAGES = 3  # loads in flight, where shared memory has room for them
_SHARED_MEMORY = 227 * 1024  # bytes that one program may use on an H100 or H200
_ALIGNED = 16  # parameters start at multiples of so many elements

KernelName = Literal["forward", "input_gradient", "weight_gradient"]
"""The kernels of a convolution."""


@dataclass(frozen=True)
class Tile:
    """How a kernel of a convolution is launched.

    Parameters
    ----------
    pixels
        Pixels per tile, a power of two.
    num_warps, num_stages
        Warps per program, and loads of a loop that are in flight.
    """

    pixels: int
    num_warps: int
    num_stages: int

    @property
    def options(self) -> dict[str, Any]:
        """The options of the launch beside its pixels."""
        return {"num_warps": self.num_warps, "num_stages": self.num_stages} | LAUNCH


class Rows:
    """The parameters of R models, one row each, and where each layer lies in a row.

    Parameters
    ----------
    models
        Models of one architecture, as :func:`find_layers` accepts it.
    convolutions, linear
        Their layers.
    """

    def __init__(
        self, models: Sequence[nn.Module], convolutions: Sequence[Convolution], linear: Sequence[nn.Linear]
    ) -> None:
        self.offsets: list[int] = []
        end = 0
        sizes = [layer.size for layer in convolutions]
        for layer in linear:
            sizes += [layer.in_features * layer.out_features, layer.out_features]
        for size in sizes:
            self.offsets.append(end)
            end += -(-size // _ALIGNED) * _ALIGNED
        self.length = end
        self._convolutions, self._map = convolutions, convolutions[-1].out
        self.weights = torch.stack([self._row(model) for model in models])

    def _row(self, model: nn.Module) -> Tensor:
        """Return the parameters of a model as the kernels lay them out."""
        first = next(model.parameters())
        row = torch.zeros(self.length, device=first.device)
        for start, value in zip(self.offsets, self._values(model), strict=True):
            row[start : start + value.numel()] = value.flatten()
        return row

    def _values(self, model: nn.Module) -> list[Tensor]:
        """Return the parts of a row, from the layers of a model."""
        parts: list[Tensor] = []
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                taps = layer.weight.detach().permute(2, 3, 1, 0).flatten()  # (tap, in, out)
                parts.append(torch.cat([taps, layer.bias.detach()]))
            elif isinstance(layer, nn.Linear):
                parts += [self._dense(layer, len(parts) == len(self._convolutions)), layer.bias.detach()]
        return parts

    def _dense(self, layer: nn.Linear, first: bool) -> Tensor:
        """Return the weights of a linear layer as (in, out), of the first with channels last."""
        weight = layer.weight.detach()
        if not first:
            return weight.T
        height, width, channels = self._map
        return weight.view(-1, channels, height, width).permute(2, 3, 1, 0)

    @torch.no_grad()
    def write_to(self, model: nn.Module, row: Tensor) -> None:
        """Set the parameters of a model to those of a row."""
        values = iter(self.offsets)
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                start = next(values)
                out, channels = layer.weight.shape[:2]
                taps = row[start : start + 9 * channels * out].view(3, 3, channels, out)
                layer.weight.copy_(taps.permute(3, 2, 0, 1))
                layer.bias.copy_(row[start + 9 * channels * out :][:out])
            elif isinstance(layer, nn.Linear):
                start, bias = next(values), next(values)
                weight = row[start : start + layer.weight.numel()]
                if start == self.offsets[len(self._convolutions)]:  # the first one sees a map, channels last
                    height, width, channels = self._map
                    image = weight.view(height, width, channels, layer.out_features).permute(3, 2, 0, 1)
                    layer.weight.copy_(image.reshape(layer.out_features, -1))
                else:
                    layer.weight.copy_(weight.view(layer.in_features, layer.out_features).T)
                layer.bias.copy_(row[bias : bias + layer.out_features])


class Step:
    """Forward and backward pass of R ConvNets over one batch of fixed size.

    Parameters
    ----------
    rows
        Their parameters.
    convolutions
        Their convolutions.
    widths
        Widths of the two dense layers: hidden, classes.
    batch_size
        Images per replica.
    products
        Type of maps, gradients of maps, and operands of products: ``torch.bfloat16`` or ``torch.float32``.
    weights_of_labels
        Whether targets of cross entropy are weights of labels, shape (R, B, classes), instead of labels,
        shape (R, B).

    Attributes
    ----------
    tiles
        How the kernels of each convolution are launched, by kernel and number of the convolution. Other tiles
        than those at first are for measurements.
    """

    def __init__(
        self, rows: Rows, convolutions: Sequence[Convolution], widths: Sequence[int], batch_size: int,
        products: torch.dtype, *, weights_of_labels: bool,
    ) -> None:  # fmt: skip
        weights = rows.weights
        replicas, device = len(weights), weights.device
        self.low = weights.to(products)
        self.gradient = torch.zeros_like(weights)
        self.losses = torch.zeros(replicas, device=device)
        self._shape, self._rows, self._convolutions = (replicas, batch_size), rows, convolutions
        self._itemsize = products.itemsize
        self._tile_pixels = _PIXELS * torch.bfloat16.itemsize // products.itemsize  # as large in memory
        self.tiles = {
            (kernel, number): self._tile(kernel, number)
            for number in range(len(convolutions))
            for kernel in self.kernels_of(number)
        }
        first = convolutions[0]

        def maps(height: int, width: int, channels: int, kind: torch.dtype = products) -> Tensor:
            return torch.zeros(replicas, batch_size, height, width, channels, dtype=kind, device=device)

        self.x = maps(first.height + 2, first.width + 2, first.channels_in)
        self._y: list[Tensor] = []
        self._argmax: list[Tensor] = []
        self._dy = [maps(c.height + 2, c.width + 2, c.channels_out) for c in convolutions]
        for number, layer in enumerate(convolutions):
            height, width, channels = layer.out
            border = 0 if number == len(convolutions) - 1 else 2
            self._y.append(maps(height + border, width + border, channels))
            self._argmax.append(maps(*(layer.out if layer.pool else (0, 0, 0)), kind=torch.uint8))
        parts = [self._splits(layer) * layer.size for layer in convolutions]
        self._parts = torch.empty(replicas * max(parts), device=device)
        features, (hidden, classes) = math.prod(convolutions[-1].out), widths
        self._dense = (features, hidden, classes)
        self._features = self._y[-1].view(replicas, batch_size, features)
        self._hidden = torch.zeros(replicas, batch_size, hidden, dtype=products, device=device)
        self._logits = torch.zeros(replicas, batch_size, classes, device=device)
        self._d_logits = torch.zeros_like(self._logits, dtype=products)
        self._d_hidden, self._d_features = torch.zeros_like(self._hidden), torch.zeros_like(self._features)
        self._weights_of_labels = weights_of_labels

    def _splits(self, layer: Convolution) -> int:
        return -(-self._pixels(layer) // (_PIXELS * _TILES))

    def _tile(self, kernel: KernelName, number: int) -> Tile:
        """Return how a kernel is launched: few channels in larger tiles, many sums on more warps."""
        layer, pixels = self._convolutions[number], self._tile_pixels
        if kernel == "weight_gradient":
            return Tile(pixels if number else 2 * pixels, 4, 2)  # the images have few channels
        channels = layer.channels_out if kernel == "forward" else max(layer.channels_in, layer.channels_out)
        warps = 8 if layer.channels_out >= _WIDE else 4
        pixels = 2 * pixels if channels <= _NARROW else pixels
        depth, width = layer.channels_in, layer.channels_out
        if kernel == "input_gradient":
            depth, width = width, depth
        stage = (pixels + width) * depth * self._itemsize  # bytes of both operands of a product
        return Tile(pixels, warps, max(1, min(_STAGES, _SHARED_MEMORY // stage)))

    def kernels_of(self, number: int) -> list[KernelName]:
        """Return the kernels of a convolution; the gradient of the images is not computed."""
        return ["forward", "weight_gradient", "input_gradient"] if number else ["forward", "weight_gradient"]

    def launch(self, kernel: KernelName, number: int) -> list[Tensor]:
        """Launch a kernel once more, on the maps of the last batch, and return what it computes."""
        layer = self._convolutions[number]
        x = self._y[number - 1] if number else self.x
        if kernel == "forward":
            self._forward(number, layer, x)
            return [self._y[number], self._argmax[number]]
        if kernel == "input_gradient":
            self._input_gradient(number, x)
            return [self._dy[number - 1]]
        self._weight_gradient(number, layer, x)
        return [self._parameters(number)[2][:, : layer.size]]

    def _pixels(self, layer: Convolution) -> int:
        return self._shape[1] * layer.height * layer.width

    def _parameters(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return, from the start of a part of the rows: copies for products, weights, gradients."""
        start = self._rows.offsets[number]
        return self.low[:, start:], self._rows.weights[:, start:], self.gradient[:, start:]

    def run(self, images: Tensor, targets: Tensor, loss: LossWithGradient | None = None) -> Tensor:
        """Compute losses and gradients of a batch.

        Parameters
        ----------
        images
            Normalised, float32, shape (R, B, channels, height, width).
        targets
            int64 of shape (R, B), or float32 of shape (R, B, classes); what `loss` takes, if it is given.
        loss
            Loss and its gradient by the logits. Default: cross entropy, by a kernel.

        Returns
        -------
        Tensor
            The mean loss of each replica, float32, shape (R,); the next batch overwrites it.
            Gradients are in `gradient`.
        """
        self.x[:, :, 1:-1, 1:-1].copy_(images.permute(0, 1, 3, 4, 2))
        inputs = [self.x, *self._y[:-1]]
        for number, layer in enumerate(self._convolutions):
            self._forward(number, layer, inputs[number])
        self._classify(targets, loss)
        for number in reversed(range(len(self._convolutions))):
            self._weight_gradient(number, self._convolutions[number], inputs[number])
            if number:
                self._input_gradient(number, inputs[number])
        return self.losses

    def _forward(self, number: int, layer: Convolution, x: Tensor) -> None:
        replicas, batch = self._shape
        low, _, _ = self._parameters(number)
        gather = 9 * layer.channels_in <= GATHER_DEPTH
        pixels = batch * (4 * math.prod(layer.out[:2]) if layer.pool else layer.height * layer.width)
        bias = self._rows.weights[
            :, self._rows.offsets[number] + 9 * layer.channels_in * layer.channels_out :
        ]
        tile = self.tiles["forward", number]
        convolution.forward[triton.cdiv(pixels, tile.pixels), replicas](
            x, low, bias, self._y[number], self._argmax[number], self._rows.length,
            B=batch, H=layer.height, W=layer.width, CI=layer.channels_in, CO=layer.channels_out,
            POOL=layer.pool, BORDER=number < len(self._convolutions) - 1, GATHER=gather, M=pixels,
            BK=max(16, triton.next_power_of_2(9 * layer.channels_in)) if gather else 16,
            BM=tile.pixels, **tile.options,
        )  # fmt: skip

    def _classify(self, targets: Tensor, loss: LossWithGradient | None) -> None:
        """Compute the dense layers forward, the loss, and the dense layers backward."""
        features, hidden, classes = self._dense
        number = len(self._convolutions)
        low, weights, gradient = zip(*(self._parameters(number + part) for part in range(4)), strict=True)
        replicas, batch = self._shape
        self._product(
            self._features, low[0], self._hidden, (batch, hidden, features), bias=weights[1], relu=True
        )
        self._product(self._hidden, low[2], self._logits, (batch, classes, hidden), bias=weights[3])
        if loss is None:
            dense.cross_entropy[(replicas,)](
                self._logits, targets, self.losses, self._d_logits, B=batch, C=classes,
                WEIGHTS=self._weights_of_labels, BB=16, BC=max(2, triton.next_power_of_2(classes)), **LAUNCH,
            )  # fmt: skip
        else:
            losses, d_logits = loss(self._logits, targets)
            self.losses.copy_(losses)
            self._d_logits.copy_(d_logits)
        self._product(self._hidden.mT, self._d_logits, gradient[2], (hidden, classes, batch))
        self._bias(self._d_logits, gradient[3])
        transposed = low[2].as_strided((replicas, classes, hidden), (self._rows.length, 1, classes))
        self._product(self._d_logits, transposed, self._d_hidden, (batch, hidden, classes), mask=self._hidden)
        self._product(self._features.mT, self._d_hidden, gradient[0], (features, hidden, batch))
        self._bias(self._d_hidden, gradient[1])
        transposed = low[0].as_strided((replicas, hidden, features), (self._rows.length, 1, hidden))
        self._product(self._d_hidden, transposed, self._d_features, (batch, features, hidden))
        self._to_last_map()

    def _to_last_map(self) -> None:
        """Pass the gradient of the features back to the last map before pooling or ReLU."""
        layer, dy = self._convolutions[-1], self._dy[-1]
        replicas, batch = self._shape
        if layer.pool:
            pixels = batch * math.prod(layer.out[:2])
            convolution.unpool[triton.cdiv(pixels, 64), replicas](
                self._d_features, self._argmax[-1], dy,
                B=batch, H=layer.height, W=layer.width, C=layer.channels_out, M=pixels, BM=64, **LAUNCH,
            )  # fmt: skip
        else:
            kept = torch.where(self._features > 0, self._d_features, 0).view_as(self._y[-1])
            dy[:, :, 1:-1, 1:-1].copy_(kept)

    def _product(
        self, a: Tensor, b: Tensor, out: Tensor, shape: tuple[int, int, int], *,
        bias: Tensor | None = None, relu: bool = False, mask: Tensor | None = None,
    ) -> None:  # fmt: skip
        """Compute a product (M, K) (K, N) per replica; operands may be parts of the rows."""
        m, n, k = shape
        strides = b.stride() if b.ndim == 3 else (b.stride(0), n, 1)
        out_strides = out.stride() if out.ndim == 3 else (out.stride(0), n, 1)
        rows, columns = (
            min(64, max(16, triton.next_power_of_2(m))),
            min(64, max(16, triton.next_power_of_2(n))),
        )
        dense.product[triton.cdiv(m, rows) * triton.cdiv(n, columns), self._shape[0]](
            a, b, out if bias is None else bias, out if mask is None else mask,
            out,
            *a.stride(), *strides,
            0 if bias is None else bias.stride(0), *out_strides[:2],
            M=m, N=n, K=k, BIAS=bias is not None, RELU=relu, MASK=mask is not None,
            BM=rows, BN=columns, BK=64, **LAUNCH,
        )  # fmt: skip

    def _bias(self, d: Tensor, out: Tensor) -> None:
        replicas, batch, width = d.shape
        block = min(64, max(2, triton.next_power_of_2(width)))
        dense.column_sums[triton.cdiv(width, block), replicas](
            d, out, self._rows.length, M=batch, N=width, BM=32, BN=block, **LAUNCH
        )

    def _input_gradient(self, number: int, x: Tensor) -> None:
        layer, before = self._convolutions[number], self._convolutions[number - 1]
        replicas, batch = self._shape
        low, _, _ = self._parameters(number)
        pixels = self._pixels(layer)
        tile = self.tiles["input_gradient", number]
        convolution.input_gradient[triton.cdiv(pixels, tile.pixels), replicas](
            self._dy[number], low, x, self._argmax[number - 1], self._dy[number - 1], self._rows.length,
            B=batch, H=layer.height, W=layer.width, CI=layer.channels_in, CO=layer.channels_out,
            UNPOOL=before.pool, HB=before.height, WB=before.width, M=pixels, BM=tile.pixels, **tile.options,
        )  # fmt: skip

    def _weight_gradient(self, number: int, layer: Convolution, x: Tensor) -> None:
        replicas, batch = self._shape
        pixels, splits = self._pixels(layer), self._splits(layer)
        tile = self.tiles["weight_gradient", number]
        tiles = triton.cdiv(triton.cdiv(pixels, tile.pixels), splits)
        depth = 128 if layer.channels_out >= _WIDE else 64
        depth = min(depth, max(16, triton.next_power_of_2(9 * layer.channels_in)))
        convolution.weight_gradient[splits, triton.cdiv(9 * layer.channels_in, depth), replicas](
            x, self._dy[number], self._parts,
            B=batch, H=layer.height, W=layer.width, CI=layer.channels_in, CO=layer.channels_out,
            M=pixels, BM=tile.pixels, BK=depth, TILES=tiles, SPLITS=splits, **tile.options,
        )  # fmt: skip
        _, _, gradient = self._parameters(number)
        convolution.add_parts[triton.cdiv(layer.size, 256), replicas](
            self._parts, gradient, self._rows.length, SIZE=layer.size, SPLITS=splits, BLOCK=256, **LAUNCH
        )
