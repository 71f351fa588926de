"""Replicas of one network as one program: stacked where that is faster, otherwise one after the other."""

import copy
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dilution.models.convnet import ChannelsLast
from dilution.utils.rng_state import RngState

Objective = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Function of logits (…, b, classes) and targets → losses (…) and the gradient of each by its logits."""

_STREAMS = 8  # branches of a step on a GPU
_ALIGNED = 16  # float32 numbers in the widest vector registers
_SLICE = 32 * 28 * 28  # pixels of the images of a slice: 32 maps of them take 3 MB, a good part of a cache
_APART = {nn.Sequential, ChannelsLast, nn.Conv2d, nn.MaxPool2d, nn.ReLU, nn.Flatten, nn.Linear}
"""Layers that treat each image for itself, and draw nothing."""


class Ensemble(nn.Module):
    """R networks of one shape that run as one; no replica ever sees a number of another."""

    replicas: int

    def differentiate(self, images: Tensor, targets: Tensor, objective: Objective) -> Tensor:
        """Leave the gradient of each replica's loss in its `leaves` and return the losses.

        Parameters
        ----------
        images
            float32, shape (R, b, channels, height, width).
        targets
            What the objective takes, with R in front.
        objective
            Loss and gradient by the logits. It may keep neither of its arguments.

        Returns
        -------
        Tensor
            float32, shape (R,), without a gradient.
        """
        raise NotImplementedError

    def leaves(self, replica: int) -> list[nn.Parameter]:
        """Return the weights of one replica, as parameters that share its memory."""
        raise NotImplementedError

    def model(self, replica: int) -> nn.Module:
        """Return one replica as a network of its own, to be read and not to be changed."""
        raise NotImplementedError


def together(
    networks: Sequence[nn.Module],
    products: torch.dtype = torch.float32,
    draws: Sequence[RngState] | None = None,
) -> Ensemble:
    """Join replicas, the way that is fastest on a CPU.

    Linear layers are stacked, a single replica too: its products of matrices then have the same bits
    however many others there are. Convolutions run one after the other, on a GPU side by side: as one grouped
    convolution they take longer (docs/log.md).

    Parameters
    ----------
    networks
        Networks of one shape. Their weights may be shared or copied.
    products
        What products and convolutions are computed in: ``torch.float32`` or ``torch.bfloat16``. Weights and
        their gradients are float32 in any case.
    draws
        For each replica the random numbers of its layers, such as Dropout; needed where they draw any.
    """
    if all(_only_linear(each) for each in networks):
        return StackedEnsemble(networks, products)
    return SequentialEnsemble(networks, products, draws)


def manner(model: nn.Module) -> str:
    """Say how replicas of a network train together: ``"stacked"`` or ``"one after the other"``."""
    return "stacked" if _only_linear(model) else "one after the other"


class SequentialEnsemble(Ensemble):
    """Replicas one after the other; what they share is the optimizer step.

    On a GPU they are branches of the step, on streams of their own: a small network does not fill one.
    """

    def __init__(
        self,
        networks: Sequence[nn.Module],
        products: torch.dtype = torch.float32,
        draws: Sequence[RngState] | None = None,
    ) -> None:
        super().__init__()
        self.replicas = len(networks)
        self._draws = draws
        self._networks = nn.ModuleList(networks)
        self._products = products
        self._streams: list[torch.cuda.Stream] = []
        self._apart = all(type(layer) in _APART for layer in networks[0].modules())

    def differentiate(self, images: Tensor, targets: Tensor, objective: Objective) -> Tensor:
        self.zero_grad(set_to_none=True)
        losses = []
        # One replica forward and backward before the next: its activations are needed only until then.
        for number, (model, x, y) in enumerate(zip(self._networks, images, targets, strict=True)):
            with self._branch(number, x.device):
                losses.append(self._in_slices(number, model, x, y, objective))
        for stream in self._streams:
            torch.cuda.current_stream().wait_stream(stream)
        return torch.stack(losses)

    def _in_slices(self, number: int, model: nn.Module, x: Tensor, y: Tensor, objective: Objective) -> Tensor:
        """Go forward and backward slice by slice, so that on a CPU the maps of a slice stay in the cache.

        The gradient of a batch is the sum over its slices, unless a layer looks at the batch as a whole.
        """
        # In bfloat16 the weights would be cast anew for each slice, which costs more than it saves.
        several = x.device.type == "cpu" and self._apart and self._products == torch.float32
        slices = -(-len(x) * x.shape[-2] * x.shape[-1] // _SLICE) if several else 1
        losses = []
        for part, targets in zip(x.tensor_split(slices), y.tensor_split(slices), strict=True):
            with nullcontext() if self._draws is None else self._draws[number], self._casting(x.device):
                logits = model(part)
            loss, slope = objective(logits.detach().float(), targets)
            share = len(part) / len(x)
            logits.backward((slope if slices == 1 else slope * share).to(logits.dtype))
            losses.append(loss if slices == 1 else loss * share)
        return losses[0] if slices == 1 else torch.stack(losses).sum(dim=0)

    def _branch(self, number: int, device: torch.device) -> AbstractContextManager[object]:
        """Compute a replica on its stream, once what the step needs is there; without a GPU, just compute."""
        if device.type != "cuda" or self.replicas == 1:
            return nullcontext()
        if not self._streams:
            self._streams = [torch.cuda.Stream(device) for _ in range(min(self.replicas, _STREAMS))]
        stream = self._streams[number % len(self._streams)]
        if number < len(self._streams):
            stream.wait_stream(torch.cuda.current_stream())
        return torch.cuda.stream(stream)

    def _casting(self, device: torch.device) -> AbstractContextManager[object]:
        # No cache of cast weights: a captured step must cast them anew each time it is replayed.
        low = self._products != torch.float32
        return torch.autocast(device.type, self._products, cache_enabled=False) if low else nullcontext()

    def leaves(self, replica: int) -> list[nn.Parameter]:
        return list(self._networks[replica].parameters())

    def model(self, replica: int) -> nn.Module:
        return self._networks[replica]


class StackedEnsemble(Ensemble):
    """Replicas of a network of linear layers and ReLUs, each layer one batched product of matrices.

    The weights of a replica lie in one row, and so do their gradients: the optimizer sees one tensor a
    replica. Activations and gradients are written to the same memory at every step.
    """

    def __init__(self, networks: Sequence[nn.Module], products: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.replicas = len(networks)
        self._products = products
        self._plain = [networks[0]]  # in a list, so that it does not register as a part of this network
        flat = torch.stack([parameters_to_vector(model.parameters()) for model in networks]).detach()
        # Rows of whole vectors: what works on all rows at once treats no element differently for its place.
        self._rows = nn.Parameter(nn.functional.pad(flat, (0, -flat.shape[1] % _ALIGNED)))
        self._slopes = torch.zeros_like(self._rows, requires_grad=False)
        self._leaves = [nn.Parameter(row) for row in self._rows.detach()]
        for leaf, slope in zip(self._leaves, self._slopes, strict=True):
            leaf.grad = slope
        self._at_work: _Memory | None = None

    @torch.no_grad()
    def differentiate(self, images: Tensor, targets: Tensor, objective: Objective) -> Tensor:
        x = images.flatten(2).to(self._products)
        if self._at_work is None or self._at_work.batch != x.shape[1]:
            self._at_work = _Memory.of(self._plain[0], self._rows.detach(), self._slopes, x)
        layers = self._at_work.layers
        self._at_work.cast_weights()
        inputs = [x]
        for layer in layers[:-1]:
            torch.baddbmm(layer.bias[:, None], inputs[-1], layer.weight.mT, out=layer.out)
            inputs.append(layer.out.relu_())
        # The last product has few columns; as W hᵀ it takes half the time of h Wᵀ.
        last = layers[-1]
        torch.baddbmm(last.bias[:, :, None], last.weight, inputs[-1].mT, out=last.out)
        losses, slope = objective(last.out.mT.float(), targets)
        slope = slope.to(self._products)
        for layer, before in zip(reversed(layers), reversed(inputs), strict=True):
            torch.bmm(slope.mT, before, out=layer.weight_slope)
            torch.sum(slope, dim=1, out=layer.bias_slope)
            if before is not x:
                slope = torch.bmm(slope, layer.weight, out=layer.before_slope)
                # in place: zero where the ReLU before was
                torch.ops.aten.threshold_backward.grad_input(slope, before, 0, grad_input=slope)
        self._at_work.cast_slopes()
        return losses

    def leaves(self, replica: int) -> list[nn.Parameter]:
        return [self._leaves[replica]]

    def model(self, replica: int) -> nn.Module:
        model = copy.deepcopy(self._plain[0])
        vector_to_parameters(self._rows.detach()[replica].clone(), model.parameters())
        return model


@dataclass(frozen=True)
class _Layer:
    """Views of a linear layer of R replicas, of its gradients, and memory for what it puts out."""

    weight: Tensor  # (R, out, in)
    bias: Tensor  # (R, out)
    weight_slope: Tensor
    bias_slope: Tensor
    out: Tensor  # (R, b, out), of the last layer (R, out, b)
    before_slope: Tensor  # (R, b, in)


@dataclass(frozen=True)
class _Memory:
    """What a step of a batch size writes to, in the type that products are computed in.

    In float32 the layers are views of the rows that the optimizer has. In another type each has memory of its
    own: a product of matrices may take another way, and so end in other bits, where a replica's weights are
    not next to those of the next replica, as in rows they are not unless there is one.
    """

    batch: int
    layers: list[_Layer]
    weights: list[tuple[Tensor, Tensor]]  # (what products take, what the optimizer has), where they are two
    slopes: list[tuple[Tensor, Tensor]]

    @classmethod
    def of(cls, model: nn.Module, rows: Tensor, slopes: Tensor, x: Tensor) -> "_Memory":
        linear = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
        replicas, batch, layers, at = len(rows), x.shape[1], [], 0
        weights: list[tuple[Tensor, Tensor]] = []
        gradients: list[tuple[Tensor, Tensor]] = []
        for layer in linear:
            out, size = layer.weight.shape
            weight, bias = slice(at, at + out * size), slice(at + out * size, at + out * size + out)
            at = bias.stop
            ours = [rows[:, weight].view(replicas, out, size), rows[:, bias]]
            theirs = [slopes[:, weight].view(replicas, out, size), slopes[:, bias]]
            if x.dtype != rows.dtype:
                low, low_slopes = ([torch.empty_like(each, dtype=x.dtype,
                memory_format=torch.contiguous_format)
                                    for each in kind] for kind in (ours, theirs))  # fmt: skip
                weights += zip(low, ours, strict=True)
                gradients += zip(low_slopes, theirs, strict=True)
                ours, theirs = low, low_slopes
            shape = (replicas, out, batch) if layer is linear[-1] else (replicas, batch, out)
            layers.append(
                _Layer(
                    ours[0],
                    ours[1],
                    theirs[0],
                    theirs[1],
                    x.new_empty(shape),
                    x.new_empty(replicas, batch, size),
                )
            )
        return cls(batch, layers, weights, gradients)

    def cast_weights(self) -> None:
        """Take over what the optimizer has changed."""
        for low, ours in self.weights:
            low.copy_(ours)

    def cast_slopes(self) -> None:
        """Hand the gradients to the optimizer."""
        for low, theirs in self.slopes:
            theirs.copy_(low)


def _only_linear(model: nn.Module) -> bool:
    """Return whether a network is what `Stacked` computes: a flattening, linear layers, ReLUs between them.

    A network of one's own may look like it and be another: a layer used twice, frozen, or with hooks.
    """
    if type(model) is not nn.Sequential or len(model) % 2:
        return False
    layers = list(model)
    kinds = [nn.Flatten, nn.Linear, *(nn.ReLU, nn.Linear) * (len(layers) // 2 - 1)]
    if [type(layer) for layer in layers] != kinds:
        return False
    weights = list(model.parameters())  # a parameter that is shared occurs once
    return (
        vars(layers[0]).items() >= {"start_dim": 1, "end_dim": -1}.items()
        and len(weights) == len(layers)  # two for each linear layer
        and all(each.requires_grad and each.dtype == torch.float32 for each in weights)
        and not any(getattr(each, hooks, None) for each in weights for hooks in _WEIGHT_HOOKS)
        and not any(vars(each)[hooks] for each in (model, *layers) for hooks in _HOOKS)
        and not any("forward" in vars(each) for each in (model, *layers))
    )


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_WEIGHT_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
