"""Which step of a training to keep, where validation labels are noisy? Five ways to choose one.

Writes benchmarks/results/steps.csv, a row for each training, and prints for each way the mean test accuracy
and what it loses against the best of ten evaluations. Needs the real MNIST; five minutes on two cores.
"""

from collections.abc import Iterator

import pandas as pd
import torch
from table import write

import dilution
from dilution.noise import Dilution
from dilution.training import Task, TrainConfig, evaluation, train_together, trainer
from dilution.training.config import default_validation
from dilution.training.losses import cross_entropy

# data, clean examples, noise level, order: where noise is learned by heart before the last step
CASES = (
    ("digits", 300, 0.5, "sampled"),
    ("digits", 300, 5.0, "pooled"),
    ("digits", 300, 20.0, "pooled"),
    ("mnist", 1_000, 1.0, "sampled"),
    ("mnist", 1_000, 20.0, "pooled"),
    ("mnist", 1_000, 100.0, "pooled"),
    ("mnist", 5_000, 1.0, "sampled"),
    ("mnist", 5_000, 20.0, "pooled"),
    ("mnist", 5_000, 100.0, "pooled"),
)
MODEL, SEEDS, SCHEDULES = "mlp2", 4, ("constant", "cosine")
TEMPERATURES = torch.logspace(-1, 1.5, 40)
WAYS = ("last", "clean accuracy", "noisy cross entropy", "tempered", "noisy accuracy")


class Watching(evaluation.Evaluator):
    """Also measures the cross entropy after the temperature that makes it least."""

    def __call__(self, module: torch.nn.Module) -> dict[str, float]:
        logits = evaluation.logits(module, self._prepare, self._held_out)
        least = min(float(cross_entropy(logits / each, self._histogram)) for each in TEMPERATURES)
        return super().__call__(module) | {"tempered": least}


def measure() -> Iterator[dict[str, object]]:
    """Yield a row for each training."""
    trainer.Evaluator = Watching  # type: ignore[misc]
    for name, n, alpha, order in CASES:
        data = dilution.load(name)
        for schedule in SCHEDULES:
            settings = TrainConfig(
                optimizer="adam", lr=1e-3, schedule=schedule, batch_size=64, order=order, steps=800,
                n_evals=10,
            )  # fmt: skip
            sets = [Dilution(data.train, alpha, n=n, seed=seed) for seed in range(SEEDS)]
            aside = default_validation(n)
            tasks = [Task(MODEL, each, data.test, each.seed, aside, settings) for each in sets]
            for seed, result in enumerate(train_together(tasks)):
                found = result.history.set_index("test_acc")
                kept = (
                    found.index[-1], found["val_acc_clean"].idxmax(), found["val_loss_noisy"].idxmin(),
                    found["tempered"].idxmin(), found["val_acc_noisy"].idxmax(),
                )  # fmt: skip
                about = {"data": name, "n": n, "alpha": alpha, "schedule": schedule, "seed": seed}
                yield about | {"best": found.index.max()} | dict(zip(WAYS, map(float, kept), strict=True))


def main() -> None:
    """Measure, write, print."""
    rows = list(measure())
    write("steps", rows)
    table = pd.DataFrame(rows)
    means = table.groupby(["data", "n", "alpha", "schedule"])[["best", *WAYS]].mean()
    print((100 * means).round(1).to_string())
    print((100 * table[list(WAYS)].rsub(table["best"], axis=0).mean()).round(1).to_string())


if __name__ == "__main__":
    main()
