"""The perceptron (no hidden layer) and multilayer perceptrons."""

from torch import nn

WIDTH = 256


def mlp(shape: tuple[int, int, int], classes: int, *, hidden: int) -> nn.Module:
    """Build a multilayer perceptron with `hidden` layers of 256 ReLU units; with none, softmax regression.

    Parameters
    ----------
    shape
        Image shape: (channels, height, width).
    classes
        Number of classes: the model returns logits of shape (b, classes).
    hidden
        Number of hidden layers.
    """
    channels, height, width = shape
    layers: list[nn.Module] = [nn.Flatten()]
    size = channels * height * width
    for _ in range(hidden):
        layers += [nn.Linear(size, WIDTH), nn.ReLU(inplace=True)]
        size = WIDTH
    return nn.Sequential(*layers, nn.Linear(size, classes))
