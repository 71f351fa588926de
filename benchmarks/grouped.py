"""A pack of ConvNets as one network of grouped convolutions: what `group_size` does not do, to compare."""

import torch
from torch import Tensor, nn


class Grouped(nn.Module):
    """Replicas of a ConvNet as one network: convolutions with a group each, linear layers as one product."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.replicas = len(networks)
        self.layers = nn.ModuleList()
        for same in zip(*networks, strict=True):
            first = same[0]
            if isinstance(first, nn.Conv2d):
                self.layers.append(
                    nn.Conv2d(
                        first.in_channels * self.replicas, first.out_channels * self.replicas, 3, padding=1,
                        groups=self.replicas,
                    )
                )  # fmt: skip
            elif isinstance(first, nn.Linear):
                self.layers.append(Product(self.replicas, first.in_features, first.out_features))
            elif isinstance(first, nn.MaxPool2d):
                self.layers.append(first)
            else:
                continue
            if isinstance(first, nn.Conv2d | nn.Linear):
                weights = [torch.stack([getattr(each, name) for each in same]) for name in ("weight", "bias")]
                for mine, given in zip(self.layers[-1].parameters(), weights, strict=True):
                    mine.data = given.detach().view(mine.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (R, b, c, h, w) to logits (R, b, classes)."""
        batch, last = x.shape[1], self.layers[-1]
        x = x.transpose(0, 1).flatten(1, 2)
        pooled = [isinstance(layer, nn.MaxPool2d) for layer in self.layers] + [False]
        for number, layer in enumerate(self.layers):
            if isinstance(layer, Product) and x.ndim == 4:
                x = x.reshape(batch, self.replicas, -1).transpose(0, 1)
            x = layer(x)
            if layer is not last and not pooled[number + 1]:
                x = x.relu()
        return x


class Product(nn.Module):
    """A linear layer of R replicas."""

    def __init__(self, replicas: int, size: int, out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(replicas, out, size))
        self.bias = nn.Parameter(torch.empty(replicas, out))

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, b, size) to (R, b, out)."""
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)
