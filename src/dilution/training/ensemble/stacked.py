"""Replicas of multilayer perceptrons, each layer computed as one batched matrix product."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from dilution.training.ensemble.base import Ensemble, LossWithGradient

_ALIGNMENT = 16  # float32 numbers in the widest vector registers


class StackedEnsemble(Ensemble):
    """Replicas of a model of linear layers and ReLUs; each layer is one batched matrix product.

    The weights of a replica are one row of a matrix, and so are its gradients: the optimizer
    updates one tensor per replica. Activations and gradients are written to the same memory at
    every step.
    """

    def __init__(self, models: Sequence[nn.Module], dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.replicas = len(models)
        self._dtype = dtype
        self._template = [models[0]]  # in a list, so that it is not registered as a submodule
        flat = torch.stack([parameters_to_vector(model.parameters()) for model in models]).detach()
        # Rows are padded to whole vector registers, so that an operation on all rows computes an element in
        # the same way wherever it lies.
        self._weights = nn.Parameter(nn.functional.pad(flat, (0, -flat.shape[1] % _ALIGNMENT)))
        self._gradients = torch.zeros_like(self._weights, requires_grad=False)
        self._rows = [nn.Parameter(row) for row in self._weights.detach()]
        for row, gradient in zip(self._rows, self._gradients, strict=True):
            row.grad = gradient
        self._buffers_of_step: _StepBuffers | None = None

    @torch.no_grad()
    def differentiate(self, images: Tensor, targets: Tensor, loss: LossWithGradient) -> Tensor:
        x = images.flatten(2).to(self._dtype)
        buffers = self._step_buffers(x)
        layers = buffers.layers
        buffers.read_weights()
        inputs = [x]
        for layer in layers[:-1]:
            torch.baddbmm(layer.bias[:, None], inputs[-1], layer.weight.mT, out=layer.output)
            inputs.append(layer.output.relu_())
        # The last product has few columns; computed as W hᵀ it takes half the time of h Wᵀ.
        last = layers[-1]
        torch.baddbmm(last.bias[:, :, None], last.weight, inputs[-1].mT, out=last.output)
        losses, gradient = loss(last.output.mT.float(), targets)
        gradient = gradient.to(self._dtype)
        for layer, layer_input in zip(reversed(layers), reversed(inputs), strict=True):
            torch.bmm(gradient.mT, layer_input, out=layer.weight_gradient)
            torch.sum(gradient, dim=1, out=layer.bias_gradient)
            if layer_input is not x:
                gradient = torch.bmm(gradient, layer.weight, out=layer.input_gradient)
                # In place: zero where the ReLU before the layer was.
                torch.ops.aten.threshold_backward.grad_input(gradient, layer_input, 0, grad_input=gradient)
        buffers.write_gradients()
        return losses

    def _step_buffers(self, x: Tensor) -> "_StepBuffers":
        buffers = self._buffers_of_step
        if buffers is None or buffers.batch_size != x.shape[1]:
            buffers = _StepBuffers.of(self._template[0], self._weights.detach(), self._gradients, x)
            self._buffers_of_step = buffers
        return buffers

    def replica_parameters(self, replica: int) -> list[nn.Parameter]:
        return [self._rows[replica]]

    def model(self, replica: int) -> nn.Module:
        model = copy.deepcopy(self._template[0])
        vector_to_parameters(self._weights.detach()[replica].clone(), model.parameters())
        return model


@dataclass(frozen=True)
class _Layer:
    """Weights and gradients of a linear layer of R replicas, and memory for its output."""

    weight: Tensor  # (R, out, in)
    bias: Tensor  # (R, out)
    weight_gradient: Tensor
    bias_gradient: Tensor
    output: Tensor  # (R, b, out); of the last layer (R, out, b)
    input_gradient: Tensor  # (R, b, in)


@dataclass(frozen=True)
class _StepBuffers:
    """Memory that a step of one batch size reads and writes, in the dtype of its matrix products.

    In float32 the layers are views of the rows that the optimizer updates. In another dtype each
    layer has memory of its own. A matrix product may choose another algorithm, and so give other
    bits, where the weights of a replica do not directly follow those of the one before; in rows
    they follow only if there is a single replica.
    """

    batch_size: int
    layers: list[_Layer]
    weights: list[tuple[Tensor, Tensor]]  # (as computed with, as the optimizer updates), if they differ
    gradients: list[tuple[Tensor, Tensor]]  # likewise

    @classmethod
    def of(cls, model: nn.Module, rows: Tensor, gradient_rows: Tensor, x: Tensor) -> "_StepBuffers":
        linear = [layer for layer in model.children() if isinstance(layer, nn.Linear)]
        layers: list[_Layer] = []
        weight_pairs: list[tuple[Tensor, Tensor]] = []
        gradient_pairs: list[tuple[Tensor, Tensor]] = []
        start = 0
        for layer in linear:
            weights = _layer_views(rows, layer, start)
            gradients = _layer_views(gradient_rows, layer, start)
            start += layer.weight.numel() + layer.bias.numel()
            if x.dtype != rows.dtype:
                low_weights = _buffers_like(weights, x.dtype)
                low_gradients = _buffers_like(gradients, x.dtype)
                weight_pairs += zip(low_weights, weights, strict=True)
                gradient_pairs += zip(low_gradients, gradients, strict=True)
                weights, gradients = low_weights, low_gradients
            outputs = _output_buffers(layer, x, last=layer is linear[-1])
            layers.append(_Layer(*weights, *gradients, *outputs))
        return cls(x.shape[1], layers, weight_pairs, gradient_pairs)

    def read_weights(self) -> None:
        """Cast the weights that the optimizer has updated."""
        for low, weights in self.weights:
            low.copy_(weights)

    def write_gradients(self) -> None:
        """Cast the gradients for the optimizer."""
        for low, gradient in self.gradients:
            gradient.copy_(low)


def _layer_views(rows: Tensor, layer: nn.Linear, start: int) -> tuple[Tensor, Tensor]:
    """Return views of weight and bias of a layer, which begin at a column of the rows."""
    out, size = layer.weight.shape
    end = start + out * size
    return rows[:, start:end].view(len(rows), out, size), rows[:, end : end + out]


def _buffers_like(views: tuple[Tensor, Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return uninitialised tensors of the shapes of the views in another dtype."""
    weight, bias = views
    layout = torch.contiguous_format
    return (
        torch.empty_like(weight, dtype=dtype, memory_format=layout),
        torch.empty_like(bias, dtype=dtype, memory_format=layout),
    )


def _output_buffers(layer: nn.Linear, x: Tensor, *, last: bool) -> tuple[Tensor, Tensor]:
    """Return memory for the output of a layer and for the gradient by its input."""
    out, size = layer.weight.shape
    replicas, batch_size = x.shape[:2]
    shape = (replicas, out, batch_size) if last else (replicas, batch_size, out)
    return x.new_empty(shape), x.new_empty(replicas, batch_size, size)


def is_stackable(model: nn.Module) -> bool:
    """Return whether `StackedEnsemble` computes a model: flattening, linear layers, ReLUs in between.

    A custom model may consist of these layers and compute something else: with a layer used twice,
    frozen, or with hooks.
    """
    if type(model) is not nn.Sequential or len(model) % 2:
        return False
    layers = list(model)
    types = [nn.Flatten, nn.Linear, *(nn.ReLU, nn.Linear) * (len(layers) // 2 - 1)]
    if [type(layer) for layer in layers] != types:
        return False
    weights = list(model.parameters())  # a shared parameter occurs once
    return (
        vars(layers[0]).items() >= {"start_dim": 1, "end_dim": -1}.items()
        and len(weights) == len(layers)  # two per linear layer
        and all(weight.requires_grad and weight.dtype == torch.float32 for weight in weights)
        and not any(getattr(weight, hooks, None) for weight in weights for hooks in _WEIGHT_HOOKS)
        and not any(vars(module)[hooks] for module in (model, *layers) for hooks in _HOOKS)
        and not any("forward" in vars(module) for module in (model, *layers))
    )


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_WEIGHT_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
