"""Replicas of one network as one program: stacked where that is faster, otherwise one after the other."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn


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
                    layer.weight.copy_(stacked.weight[replica].T)
                    layer.bias.copy_(stacked.bias[replica, 0])
        return network


class _Linear(nn.Module):
    """Linear layers as one: float (R, b, in) to (R, b, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        # (R, in, out): both passes then read and write whole rows.
        self.weight = nn.Parameter(torch.stack([layer.weight.detach().T for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach()[None] for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


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
