"""Embedded digits with one noisy label each, whose true labels are known."""

import torch

import dilution


def noisy_digits(n=400, noise_rate=0.3, classes=10, seed=0):
    """Return digits of the first classes with a share of wrong labels, and the true labels."""
    digits = dilution.load("digits").train
    rows = (digits.labels < classes).nonzero()[:, 0]
    chosen = dilution.Arrays(digits.images[rows], digits.labels[rows], digits.classes[:classes])
    noisy = dilution.Dilution(chosen, eta=noise_rate, label_mode="replaced", n=n, seed=seed, stratified=True)
    data = noisy.data.subset(noisy.clean_rows)
    return dilution.Arrays(data.images, noisy.labels(torch.arange(n)), data.classes), data.labels
