"""Replicas of one network as one program: stacked where that is faster, otherwise one after the other."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Together(nn.Module):
    """R networks of one shape that run as one; no replica ever sees a number of another."""

    replicas: int

    def forward(self, x: Tensor) -> Tensor:
        """Map pictures, float (R, b, channels, height, width), to logits (R, b, classes)."""
        raise NotImplementedError

    def leaves(self, replica: int) -> list[nn.Parameter]:
        """Return the weights of one replica, as parameters that share its memory."""
        raise NotImplementedError

    def link_gradients(self) -> None:
        """Let the gradients of the `leaves` be those of the last backward pass."""

    def network(self, replica: int) -> nn.Module:
        """Return one replica as a network of its own, to be read and not to be changed."""
        raise NotImplementedError


def together(networks: Sequence[nn.Module]) -> Together:
    """Join replicas, the way that is fastest on a CPU.

    Linear layers are stacked, a single replica too: its products of matrices then have the same bits
    however many others there are. Convolutions run one after the other: as one grouped convolution they take
    longer (docs/log.md).

    Parameters
    ----------
    networks
        Networks of one shape. Their weights may be shared or copied.
    """
    return Stacked(networks) if all(_only_linear(each) for each in networks) else InTurn(networks)


class InTurn(Together):
    """Replicas one after the other; what they share is the optimizer step."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.replicas = len(networks)
        self._networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([network(part) for network, part in zip(self._networks, x, strict=True)])

    def leaves(self, replica: int) -> list[nn.Parameter]:
        return list(self._networks[replica].parameters())

    def network(self, replica: int) -> nn.Module:
        return self._networks[replica]


class Stacked(Together):
    """Replicas of a network of linear layers, each layer one batched product of matrices."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.replicas = len(networks)
        self._plain = [networks[0]]  # in a list, so that it does not register as a part of this network
        columns = zip(*(network.children() for network in networks), strict=True)
        self._layers = nn.Sequential(*(_stacked(layers) for layers in columns))
        self._leaves = [
            [nn.Parameter(weights.detach()[replica]) for weights in self._layers.parameters()]
            for replica in range(self.replicas)
        ]

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self._layers(x)
        return logits

    def leaves(self, replica: int) -> list[nn.Parameter]:
        return self._leaves[replica]

    def link_gradients(self) -> None:
        for place, weights in enumerate(self._layers.parameters()):
            if weights.grad is not None:
                for leaves, gradient in zip(self._leaves, weights.grad, strict=True):
                    leaves[place].grad = gradient

    def network(self, replica: int) -> nn.Module:
        network = copy.deepcopy(self._plain[0])
        with torch.no_grad():
            for stacked, layer in zip(self._layers, network.children(), strict=True):
                if isinstance(stacked, _Linear) and isinstance(layer, nn.Linear):
                    layer.weight.copy_(stacked.weight[replica])
                    layer.bias.copy_(stacked.bias[replica])
        return network


class _Linear(nn.Module):
    """Linear layers as one: float (R, b, in) to (R, b, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        product: Tensor = _Product.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return product


class _Product(torch.autograd.Function):
    """x Wᵀ + b for each replica: float (R, b, in), (R, out, in), (R, out) to (R, b, out).

    PyTorch's own backward pass makes the gradient of W as its transpose, xᵀ g, which for ten classes is a
    narrow product at half the speed of gᵀ x.
    """

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        context.save_for_backward(x, weight)
        return torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        x, weight = context.saved_tensors
        before = torch.bmm(gradient, weight) if context.needs_input_grad[0] else None
        return before, torch.bmm(gradient.transpose(1, 2), x), gradient.sum(dim=1)


def _stacked(layers: Sequence[nn.Module]) -> nn.Module:
    linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
    if linear:
        return _Linear(linear)
    return nn.Flatten(2) if isinstance(layers[0], nn.Flatten) else layers[0]


def _only_linear(network: nn.Module) -> bool:
    """Return whether a network is a sequence of linear layers with biases, after a flattening."""
    if not isinstance(network, nn.Sequential) or not isinstance(network[0], nn.Flatten):
        return False
    return all(
        isinstance(layer, nn.ReLU) or (isinstance(layer, nn.Linear) and layer.bias is not None)
        for layer in list(network)[1:]
    )
