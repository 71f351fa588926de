"""Training strategies compared on small data, on a processor: digits and a part of MNIST. Writes a page.

``python benchmarks/strategies.py`` trains 48 models, in about ten minutes of processor time; MNIST is read
from DILUTION_DATA. It writes README.md and trainings.csv to docs/results/strategies-small. Trainings that are
in the table are not repeated.
"""

import argparse
import itertools
import platform
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

import dilution
from dilution.study.statistics import intervals

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "results" / "strategies-small"
TABLE = FOLDER / "trainings.csv"
SEEDS = range(3)
BASE = {"optimizer": "adam", "lr": 1e-3, "batch_size": 64, "epochs": 50.0, "n_evals": 20}
DATA = {
    "digits": {"dataset": "digits", "n": 1400, "model": "mlp2"},
    "MNIST": {"dataset": "mnist", "n": 2000, "model": "mlp2", "test_part": 1000},
}
RATES = (0.2, 0.5)
LAMBDA_U = {0.2: 0, 0.5: 25}  # as published for symmetric noise in CIFAR-10
MEASURES = {
    "test_acc_last": "last epoch",
    "test_acc_at_best_noisy_val": "best by noisy validation",
    "memorised_last": "memorised",
    "seconds": "seconds",
}


def noise(rate: float) -> str:
    """Return the noise of a rate by name."""
    return f"symmetric(rate={rate})"


def strategies(rate: float) -> dict[str, str]:
    """Return the strategies by their titles; the second one tells what two networks alone give."""
    return {
        "plain": "plain",
        "two networks, averaged": "co_teaching(forget_rate=0.0)",
        "co-teaching": f"co_teaching(forget_rate={rate})",
        "DivideMix": f"divide_mix(lambda_u={LAMBDA_U[rate]})",
    }


def trained(title: str, rate: float, strategy: str, seed: int) -> dict[str, object]:
    """Train once, and return the settings and the measures."""
    settings = dict(DATA[title])
    data = dilution.load(str(settings.pop("dataset")))
    n, model = settings.pop("n"), settings.pop("model")
    noisy = dilution.Dilution(
        data.train, noise=dilution.symmetric(rate), label_mode="replaced", n=n, seed=seed
    )
    config = dilution.TrainConfig(**BASE | settings, strategy=strategy)
    start = time.process_time()
    result = dilution.train(model, noisy, test=data.test, seed=seed, config=config)
    seconds = time.process_time() - start
    row = {
        "data": title,
        "model": model,
        "n": n,
        "noise": noise(rate),
        "strategy": config.strategy,
        "seed": seed,
    }
    measures = {name: value for name, value in result.summary().items() if name in MEASURES}
    return row | {"state": result.state} | measures | {"seconds": round(seconds, 2)}


def measured() -> pd.DataFrame:
    """Train what is missing in the table of trainings, which is written after each, and return it."""
    torch.set_num_threads(1)
    machine = {"processor": platform.machine(), "torch": torch.__version__}
    rows = pd.read_csv(TABLE).to_dict("records") if TABLE.exists() else []
    done = {(row["data"], row["noise"], row["strategy"], row["seed"]) for row in rows}
    for title, rate, seed in itertools.product(DATA, RATES, SEEDS):
        for text in strategies(rate).values():
            strategy = dilution.TrainConfig(strategy=text).strategy
            if (title, noise(rate), strategy, seed) not in done:
                rows.append(trained(title, rate, strategy, seed) | machine)
                pd.DataFrame(rows).to_csv(TABLE, index=False)
    return pd.DataFrame(rows)


def percent(row: pd.Series) -> str:
    """Return a mean with its interval, in percent."""
    return f"{row['mean']:.1%} [{row['low']:.1%}, {row['high']:.1%}]".replace("-", "−")


def tables(table: pd.DataFrame) -> Iterator[str]:
    """Yield the lines of one table per data set and noise, and the differences from plain training."""
    for title in DATA:
        for rate in RATES:
            part = table[(table["data"] == title) & (table["noise"] == noise(rate))]
            yield from ("", f"## {title[0].upper()}{title[1:]}, {rate:.0%} symmetric noise", "")
            yield "| strategy | " + " | ".join(MEASURES.values()) + " | last epoch − plain, points | p |"
            yield "|---" * (len(MEASURES) + 3) + "|"
            for name, strategy in strategies(rate).items():
                rows = part[part["strategy"] == dilution.TrainConfig(strategy=strategy).strategy]
                cells = [
                    f"{rows['seconds'].median():.1f}"
                    if measure == "seconds"
                    else percent(intervals(rows, ["strategy"], measure).iloc[0])
                    for measure in MEASURES
                ]
                difference = ("", "")
                if name != "plain":
                    compared = dilution.compare(
                        part, {"strategy": rows["strategy"].iloc[0]}, {"strategy": "plain"}
                    )
                    low, high = compared.difference.low, compared.difference.high
                    value = f"{100 * compared.difference.value:+.1f} [{100 * low:.1f}, {100 * high:.1f}]"
                    difference = value.replace("-", "−"), f"{compared.p:.2g}"
                yield f"| {name} | " + " | ".join([*cells, *difference]) + " |"


def page(table: pd.DataFrame) -> str:
    """Return the page."""
    settings = f"learning rate {BASE['lr']:g}, batches of {BASE['batch_size']}, {BASE['epochs']:g} epochs"
    sizes = f"{DATA['digits']['n']:,} digits and {DATA['MNIST']['n']:,} images of MNIST"
    made_by = f"{table['processor'].iloc[0]} (one thread), torch {table['torch'].iloc[0]}"
    intro = f"""# Training strategies on small data

<!-- written by benchmarks/strategies.py -->

{len(table)} trainings of `mlp2` by Adam ({settings}) on {sizes}, a tenth of them for validation;
{table["seconds"].sum() / 60:.1f} minutes of processor time on {made_by}. Means and 95 % Student t
intervals over {table["seed"].nunique()} seeds: few, so intervals are wide, and some leave the range of a
share. Differences are paired by seed.

*Last epoch* and *best by noisy validation* are test accuracies after the last step, and at the lowest cross
entropy of noisy validation labels. *Memorised* is the share of wrong training labels that the model predicts
after the last step, *seconds* the median processor time of a training. Images are not augmented. Parameters
are published ones: `forget_rate` is the noise rate, and `lambda_u` is {LAMBDA_U[0.2]} at 20 % and
{LAMBDA_U[0.5]} at 50 %.
*Two networks, averaged* is co-teaching that leaves nothing out: what the average of two plain networks gives.
"""
    return "\n".join([intro.rstrip("\n"), *tables(table), ""])


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "README.md").write_text(page(measured()), "utf-8")
