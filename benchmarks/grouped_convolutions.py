"""ConvNets of a run group as one model of grouped convolutions: an alternative that Dilution does not use."""

import torch
from torch import Tensor, nn


class GroupedConvNet(nn.Module):
    """ConvNets as one model: convolutions with one group per replica, linear layers as batched products."""

    def __init__(self, models: list[nn.Module]) -> None:
        super().__init__()
        self.replicas = len(models)
        self.layers = nn.ModuleList()
        for replicas_of_layer in zip(*models, strict=True):
            layer = replicas_of_layer[0]
            if isinstance(layer, nn.Conv2d):
                grouped: nn.Module = nn.Conv2d(
                    layer.in_channels * self.replicas, layer.out_channels * self.replicas, 3, padding=1,
                    groups=self.replicas,
                )  # fmt: skip
            elif isinstance(layer, nn.Linear):
                grouped = BatchedLinear(self.replicas, layer.in_features, layer.out_features)
            elif isinstance(layer, nn.MaxPool2d):
                self.layers.append(layer)
                continue
            else:
                continue
            self.layers.append(grouped)
            for name, parameter in grouped.named_parameters():
                stacked = torch.stack([getattr(replica, name) for replica in replicas_of_layer])
                parameter.data = stacked.detach().view(parameter.shape)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (R, b, c, h, w) to logits (R, b, classes)."""
        batch_size, last = x.shape[1], self.layers[-1]
        x = x.transpose(0, 1).flatten(1, 2)
        is_pooling = [isinstance(layer, nn.MaxPool2d) for layer in self.layers] + [False]
        for number, layer in enumerate(self.layers):
            if isinstance(layer, BatchedLinear) and x.ndim == 4:
                x = x.reshape(batch_size, self.replicas, -1).transpose(0, 1)
            x = layer(x)
            if layer is not last and not is_pooling[number + 1]:
                x = x.relu()
        return x


class BatchedLinear(nn.Module):
    """A linear layer of R replicas."""

    def __init__(self, replicas: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(replicas, out_features, in_features))
        self.bias = nn.Parameter(torch.empty(replicas, out_features))

    def forward(self, x: Tensor) -> Tensor:
        """Map (R, b, in_features) to (R, b, out_features)."""
        return torch.baddbmm(self.bias[:, None], x, self.weight.mT)
