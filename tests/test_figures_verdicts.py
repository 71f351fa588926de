"""The claims of Figures 2, 3 and 6 to 11 reach each of their verdicts on invented tables of results."""

import itertools

import numpy as np
import pandas as pd
import pytest

from dilution.figures import FIGURES
from dilution.figures.claims import judge_all
from dilution.figures.section import _data
from dilution.models import count_weights

YES, NO, OPEN = "reproduced", "not reproduced", "not testable"
COMMON = {
    "state": "done",
    "dataset": "mnist",
    "targets": "sampled",
    "lr": 0.1,
    "batch_size": 128,
    "n": 1_000,
    "image_source": "same",
    "model": "conv4",
    "val_acc_clean": 0.9,
    "steps_done": 100,
    "steps": 100,
    "n_available": 60_000,
}


def rows(accuracy, seeds=3, **axes):
    """Return one row per combination of settings and seed; `accuracy` is a function of the settings."""
    table = []
    for values in itertools.product(*axes.values()):
        settings = dict(zip(axes, values, strict=True))
        for seed in range(seeds):
            measured = {"seed": seed, "test_acc_at_best_clean_val": accuracy(**settings) + 0.001 * seed}
            table.append(COMMON | settings | measured)
    return table


def verdicts(name, table, pending=0):
    return judge_all(FIGURES[name].claims, pd.DataFrame(table), pending=pending)["verdict"].tolist()


@pytest.mark.parametrize(
    ("gain", "alphas", "seeds", "verdict"),
    [
        (0.05, [0.0, 10.0], 3, YES),
        (-0.05, [0.0, 10.0], 3, NO),
        (0.05, [0.0, 5.0], 3, OPEN),
        (0.05, [0.0, 10.0], 1, OPEN),
    ],
)
def test_fig2_larger_models_keep_more(gain, alphas, seeds, verdict):
    place = {"conv4": 0, "conv6": 1, "resnet18": 2}
    table = rows(lambda model, **_: 0.6 + gain * place[model], seeds, model=place, alpha=alphas)
    assert verdicts("fig2", table) == [verdict]


def test_fig2_describes_the_number_of_weights_of_its_models():
    weights = [count_weights(name, (3, 32, 32), 10) for name in ("conv4", "conv6", "resnet18_w16")]
    assert weights == sorted(weights, reverse=True)
    for preset in ("demo", "laptop"):
        assert "The number of weights falls" in FIGURES["fig2"].presets[preset].description


@pytest.mark.parametrize(
    ("dataset", "noisy", "verdict"),
    [("imagenet.pack", 0.4, YES), ("imagenet.pack", 0.2, NO), ("digits", 0.4, OPEN)],
)
def test_fig3_keeps_half_of_its_accuracy(dataset, noisy, verdict):
    table = rows(lambda alpha: noisy if alpha else 0.6, alpha=[0.0, 5.0])
    table = [
        row
        | {"dataset": dataset, "majority_share": 0.001, "test_acc_top5": row["test_acc_at_best_clean_val"]}
        for row in table
    ]
    assert verdicts("fig3", table) == [verdict]
    unlearnt = [row | {"majority_share": 0.5} for row in table]
    assert verdicts("fig3", unlearnt) == [OPEN]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"dataset": "imagenet.pack"},
            "accuracy without noise is at most twice the share of the majority class",
        ),
        ({"dataset": "digits"}, "requires a pack of an image folder"),
        ({"dataset": "imagenet.pack", "alpha": 0.0}, "at α = 0 and 5"),
    ],
)
def test_fig3_names_what_it_requires_if_it_is_not_testable(changes, reason):
    table = rows(lambda **_: 0.001, alpha=[0.0, 5.0])
    table = [
        row | {"majority_share": 0.005, "test_acc_top5": row["test_acc_at_best_clean_val"]} | changes
        for row in table
    ]
    (claim,) = FIGURES["fig3"].claims
    assert reason in claim.judge(pd.DataFrame(table)).numbers


def sources(other, white, same=0.2):
    drop = {"same": same, "cifar100": other, "white_noise": white}
    clean = rows(lambda **_: 0.9, alpha=[0.0])
    return clean + rows(lambda image_source, **_: 0.9 - drop[image_source], image_source=drop, alpha=[5.0])


@pytest.mark.parametrize(
    ("other", "white", "same", "expected"),
    [
        (0.1, 0.01, 0.2, [YES, YES]),
        (0.19, 0.05, 0.2, [NO, NO]),
        (0.01, -0.01, 0.2, [NO, YES]),
        (0.1, 0.1, -0.01, [OPEN, OPEN]),
    ],
)
def test_fig6_foreign_images_cost_half_and_white_noise_nothing(other, white, same, expected):
    assert verdicts("fig6", sources(other, white, same)) == expected


def test_fig6_needs_the_sources():
    table = [row for row in sources(0.1, 0.01) if row["image_source"] == "same"]
    assert verdicts("fig6", table) == [OPEN, OPEN]


@pytest.mark.parametrize(("fresh", "verdict"), [(0.22, YES), (0.35, NO), (0.05, NO)])
def test_fig7_fresh_images_cost_the_same(fresh, verdict):
    drop = {"same": 0.2, "fresh": fresh}
    table = rows(lambda **_: 0.9, alpha=[0.0])
    table += rows(lambda image_source, **_: 0.9 - drop[image_source], image_source=drop, alpha=[5.0])
    assert verdicts("fig7", table) == [verdict]
    assert verdicts("fig7", rows(lambda **_: 0.9, alpha=[0.0])) == [OPEN]


def curves(alphas, needed, sizes=(250, 500, 1_000, 2_000, 4_000, 8_000)):
    def accuracy(alpha, n):
        return float(1 / (1 + np.exp(-(np.log(9) + 1.2 * np.log(n / needed(alpha))))))

    return rows(accuracy, alpha=alphas, n=sizes)


def test_fig8_rises_with_n_and_its_threshold_with_alpha():
    assert verdicts("fig8", curves([0.0, 5.0, 10.0], lambda a: 400 + 100 * a)) == [YES, YES]
    assert verdicts("fig8", curves([0.0, 5.0, 10.0], lambda a: 2_000 - 100 * a)) == [YES, NO]
    assert verdicts("fig8", curves([0.0, 5.0], lambda _: 1e6)) == [YES, OPEN]


def test_fig8_fails_where_accuracy_falls_with_n():
    table = curves([0.0, 5.0], lambda a: 400 + 100 * a)
    for row in table:
        if row["n"] == 2_000 and row["alpha"] == 5:
            row["test_acc_at_best_clean_val"] = 0.4 + 0.003 * row["seed"]
    assert verdicts("fig8", table)[0] == NO


@pytest.mark.parametrize(
    ("needed", "slope_rises", "straight"),
    [(lambda a: 400 + 60 * a, YES, YES), (lambda a: 400 + 3.5 * max(0, a - 30) ** 2, YES, NO)],
)
def test_fig9_is_judged_by_its_straight_line(needed, slope_rises, straight):
    table = curves(
        [0.0, 5.0, 10.0, 20.0, 35.0, 50.0], needed, (100, 200, 400, 600, 900, 1_400, 2_000, 3_000, 4_500)
    )
    assert verdicts("fig9", table) == [straight, slope_rises]


def test_fig9_needs_three_noise_levels_and_a_search_that_has_ended():
    table = curves([0.0, 5.0], lambda a: 400 + 60 * a)
    assert verdicts("fig9", table) == [OPEN, OPEN]
    table = curves([0.0, 5.0, 10.0], lambda a: 400 + 60 * a)
    assert verdicts("fig9", table, pending=2) == [OPEN, OPEN]


def test_fig9_slope_must_rise_with_the_accuracy():
    # on a curve that is flat in n the higher level lies far above the lower one, on a steep one near it
    table = []
    for alpha, slope in ((0.0, 0.5), (10.0, 1.0), (20.0, 6.0)):
        for n, seed in itertools.product((50, 100, 200, 400, 800, 1_600, 3_200), range(3)):
            z = np.log(4) + slope * np.log(n / (100 + 40 * alpha))
            table.append(
                COMMON
                | {
                    "alpha": alpha,
                    "n": n,
                    "seed": seed,
                    "test_acc_at_best_clean_val": float(1 / (1 + np.exp(-z))),
                }
            )
    assert verdicts("fig9", table)[1] == NO


def batches(gain, limit):
    place = {32: 0, 64: 1, 128: 2, 256: 3}
    table = rows(
        lambda batch_size, alpha: 0.9 if alpha == 0 else 0.5 + gain * place[batch_size],
        batch_size=place,
        alpha=[0.0, 20.0],
    )
    return table + rows(lambda alpha, **_: 0.9 - limit * (alpha > 0), targets=["expected"], alpha=[0.0, 20.0])


def test_fig10_larger_batches_and_the_limit():
    assert verdicts("fig10", batches(0.02, 0.01)) == [YES, YES]
    assert verdicts("fig10", batches(-0.02, 0.3)) == [NO, NO]
    assert verdicts("fig10", [row for row in batches(0.02, 0.01) if row["alpha"] == 0]) == [OPEN, OPEN]


def test_fig10_uses_the_learning_rate_that_validation_chose():
    table = batches(0.02, 0.01)
    # a learning rate that is better on the test set and worse on validation data changes nothing
    other = [
        row | {"lr": 0.5, "val_acc_clean": 0.1, "test_acc_at_best_clean_val": 0.99}
        for row in table
        if row["batch_size"] == 32
    ]
    assert verdicts("fig10", table + other) == [YES, YES]


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        ({0.0: 0.5, 5.0: 0.1, 20.0: 0.01}, YES),
        ({0.0: 0.1, 5.0: 0.1, 20.0: 0.1}, NO),
        ({0.0: 0.1, 5.0: 0.5, 20.0: 0.01}, NO),
    ],
)
def test_fig11_the_best_learning_rate_falls(best, verdict):
    table = rows(lambda **_: 0.8, alpha=best, lr=[0.01, 0.1, 0.5])
    for row in table:
        row["val_acc_clean"] = 0.9 if row["lr"] == best[row["alpha"]] else 0.7
    assert verdicts("fig11", table) == [verdict]
    assert verdicts("fig11", [row for row in table if row["alpha"] == 0]) == [OPEN]


@pytest.mark.parametrize("name", ["fig2", "fig3", "fig6", "fig7", "fig8", "fig9", "fig10", "fig11"])
def test_every_verdict_waits_for_runs_that_are_missing(name):
    table = rows(lambda **_: 0.9, alpha=[0.0, 5.0])
    table[0]["state"] = "failed"
    assert set(verdicts(name, table)) == {OPEN}


def test_a_caption_names_the_number_of_seeds_and_the_external_images():
    runs = pd.DataFrame(
        rows(lambda **_: 0.9, image_source=["same", "far/away.pack", "white_noise"], alpha=[5.0])
    )
    runs = runs.assign(n_val=100, n_test=10_000)
    caption = _data(runs, "cifar10", with_seeds=True)
    assert "; 3 seeds per point. " in caption
    assert caption.endswith("External images: away.pack. ")
    assert "seeds" not in _data(runs, "cifar10", with_seeds=False)
