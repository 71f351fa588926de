"""Compare five ways to choose the step of a training whose weights are kept, with noisy validation labels.

Writes benchmarks/results/steps.csv, one row per training, and prints for each way the mean test accuracy
and its loss against the best of ten evaluations. Needs the real MNIST; five minutes on two cores.
"""

from collections.abc import Iterator

import pandas as pd
import torch
from table import write

import dilution
from dilution.noise import Dilution
from dilution.training import TrainConfig, TrainTask, evaluation, replica, train_together
from dilution.training.config import default_n_val
from dilution.training.losses import cross_entropy

# data set, clean examples, noise level, targets; noise is memorised before the last step
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


class TemperatureEvaluator(evaluation.Evaluator):
    """Also measures the lowest cross entropy over temperatures."""

    def __call__(self, model: torch.nn.Module) -> dict[str, float]:
        logits = evaluation.predict_logits(model, self._normalise, self._validation)
        losses = [float(cross_entropy(logits / t, self._histogram)) for t in TEMPERATURES]
        return super().__call__(model) | {"tempered": min(losses)}


def measure() -> Iterator[dict[str, object]]:
    """Yield one row per training."""
    replica.Evaluator = TemperatureEvaluator  # type: ignore[misc]
    for name, n, alpha, targets in CASES:
        data = dilution.load(name)
        for schedule in SCHEDULES:
            config = TrainConfig(
                optimizer="adam", lr=1e-3, schedule=schedule, batch_size=64, targets=targets, steps=800,
                n_evals=10,
            )  # fmt: skip
            sets = [Dilution(data.train, alpha, n=n, seed=seed) for seed in range(SEEDS)]
            n_val = default_n_val(n)
            tasks = [TrainTask(MODEL, noisy, data.test, noisy.seed, n_val, config) for noisy in sets]
            for seed, result in enumerate(train_together(tasks)):
                history = result.history.set_index("test_acc")
                accuracies = (
                    history.index[-1], history["val_acc_clean"].idxmax(), history["val_loss_noisy"].idxmin(),
                    history["tempered"].idxmin(), history["val_acc_noisy"].idxmax(),
                )  # fmt: skip
                settings = {"data": name, "n": n, "alpha": alpha, "schedule": schedule, "seed": seed}
                yield (
                    settings
                    | {"best": history.index.max()}
                    | dict(zip(WAYS, map(float, accuracies), strict=True))
                )


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
