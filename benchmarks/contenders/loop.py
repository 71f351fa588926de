"""A plain PyTorch loop: DataLoader over materialised tensors, all cores as threads."""

import itertools
import sys

import torch
from common import BATCH_SIZE, LR, images, serve
from torch.utils.data import DataLoader, TensorDataset

from dilution.models import build_model

images, labels = images()
data = TensorDataset(torch.from_numpy(images).float().div(255).sub(0.5)[:, None], torch.from_numpy(labels))
loader = DataLoader(data, batch_size=BATCH_SIZE, shuffle=True, drop_last=True)
batches = itertools.chain.from_iterable(itertools.repeat(loader))
# The same layers in the order and memory format of a textbook: ReLU before pooling, channels first.
model = build_model(sys.argv[1], (1, 28, 28), 10, seed=0)
layers = [layer for layer in model if type(layer).__name__ != "ChannelsLast"]
for i in range(1, len(layers)):
    if isinstance(layers[i], torch.nn.ReLU) and isinstance(layers[i - 1], torch.nn.MaxPool2d):
        layers[i - 1], layers[i] = layers[i], layers[i - 1]
model = torch.nn.Sequential(*layers).to(memory_format=torch.contiguous_format)
optimizer = torch.optim.Adam(model.parameters(), lr=LR)


def train(steps: int) -> None:
    for x, y in itertools.islice(batches, steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


serve(train, version=f"torch {torch.__version__}, {torch.get_num_threads()} threads")
