"""Reviews without a diagnosis: label issues, examples and folders as diagnose writes them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from dilution.data import Arrays, UnsplitData
from dilution.review.items import ReviewItems, collect_items
from dilution.utils.csv_cells import csv_bytes

CLASSES = ("cat", "dog", "owl")
EVIL = "<script>document.title = 'broken'</script></script><!--"


def examples_of_images(n: int = 12, classes: tuple[str, ...] = CLASSES, size: int = 8) -> UnsplitData:
    """Return grey images whose class follows the row."""
    images = np.random.default_rng(0).integers(0, 256, (n, 1, size, size), dtype=np.uint8)
    labels = torch.arange(n) % len(classes)
    return UnsplitData(Arrays(torch.from_numpy(images), labels, classes))


def label_issues(examples: UnsplitData) -> pd.DataFrame:
    """Return label issues in the order of the examples; the next class is suggested."""
    classes = np.array(examples.arrays.classes, dtype=object)
    labels, n = examples.arrays.labels.numpy(), len(examples.arrays)
    return pd.DataFrame(
        {
            "index": examples.positions,
            "id": list(examples.names or map(str, range(n))),
            "given_label": classes[labels],
            "suggested_label": classes[(labels + 1) % len(classes)],
            "p_wrong": np.linspace(0.99, 0.6, n),
            "p_suggested": np.linspace(0.98, 0.55, n),
            "is_issue": True,
        }
    )


def review_of_images(n: int = 12, classes: tuple[str, ...] = CLASSES) -> tuple[ReviewItems, UnsplitData]:
    """Return the items of a review of images, and all examples."""
    examples = examples_of_images(n, classes)
    return collect_items(label_issues(examples), examples, name="animals")


def write_table(path: Path, n: int = 12) -> UnsplitData:
    """Write a table with the label ``species``, and return its examples."""
    from dilution.data import load_unsplit

    rows = pd.DataFrame(
        {
            "weight": [f"{k}.50" for k in range(n)],
            "comment": [(EVIL, "=1+1", "plain")[k % 3] for k in range(n)],
            "species": [CLASSES[k % 3] for k in range(n)],
        }
    )
    rows.to_csv(path, index=False)
    return load_unsplit(f"{path}#species")


def write_diagnosis(folder: Path, name: str, issues: pd.DataFrame) -> None:
    """Write what a review reads of a diagnosis."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "label_issues.csv").write_bytes(csv_bytes(issues))
    (folder / "diagnosis.json").write_text(json.dumps({"name": name}))
