"""Published feature-dependent labels at two rates: which classes those that only the higher one has name.

Where a network's probabilities are equal, an order of them is that of the classes, and the last class comes
first. ``python benchmarks/noise.py`` writes what :func:`tied_labels` counts below its table.
"""

from pathlib import Path

import numpy as np

from dilution.data import Arrays, read_label_file

LOW, HIGH = 35, 65  # rates, in %, of the files


def tied_labels(folder: Path, name: str, data: Arrays) -> str:
    """Return a sentence on the files of a data set; empty if one of them is missing."""
    files = [folder / f"{name}-feature-dependent_{percent}.npy" for percent in (LOW, HIGH)]
    if not all(file.exists() for file in files):
        return ""
    low, high = (read_label_file(file, data).numpy() for file in files)
    true, last = data.labels.numpy(), len(data.classes) - 1
    last_wrong = np.where(true == last, last - 1, last)
    wrong_at_low = low != true
    kept = (high == low)[wrong_at_low].mean()
    added = (high != true) & ~wrong_at_low
    shares = [(labels == last_wrong)[rows].mean() for labels, rows in ((high, added), (low, wrong_at_low))]
    # equally spread over the file, 40 % of the added ones would lie in its first 40 %
    first = (added.nonzero()[0] < 0.4 * len(true)).mean()
    return (
        f"`{files[1].name}` keeps {100 * kept:.1f} % of the wrong labels of the file at {LOW} %, and has "
        f"{added.sum():,} more. Of these {100 * shares[0]:.1f} % name the last class ({data.classes[last]}; "
        f"on images of that class, {data.classes[last - 1]}), where it is {100 * shares[1]:.1f} % at "
        f"{LOW} %, and {100 * first:.0f} % lie in the first 40 % of the file."
    )
