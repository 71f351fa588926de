"""What the page and the targets share: where the tables are, operations of an example, medians in words."""

from pathlib import Path

import pandas as pd

from dilution.models import build

RESULTS = Path(__file__).resolve().parent / "results"
LOOP, OURS = "DataLoader loop", "dilution"
BATCH = 128


def flops(model: str) -> float:
    """Return the floating-point operations of one training example: two for each multiply-add.

    Three products for each layer (forward, gradient of the weights, gradient of the input), the first
    layer without the last one. Everything that is no product of matrices is left out.
    """
    import torch
    from torch import nn

    work: list[float] = []

    def note(layer: nn.Module, _: tuple[torch.Tensor], out: torch.Tensor) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        each = weight[0].numel()  # multiply-adds for one number of the output
        work.append(each * out[0].numel())

    module = build(model, (1, 28, 28), 10, seed=0)
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            layer.register_forward_hook(note)
    module(torch.zeros(1, 1, 28, 28))
    return 2 * (3 * sum(work) - work[0])


def span(values: "pd.Series[float]", kind: str = ".0%") -> str:
    """Return a median and its range in words."""
    return f"{values.median():{kind}} ({values.min():{kind}} to {values.max():{kind}})"
