"""The claims of figures 2, 6 to 11 reach each of their verdicts on made-up tables of results."""

import itertools

import numpy as np
import pandas as pd
import pytest

from dilution.figures import FIGURES, section
from dilution.figures.claims import judge_all
from dilution.models import build

YES, NO, OPEN = "reproduced", "not reproduced", "not testable at this scale"
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
    """One row for each combination and seed; `accuracy` is a function of the combination."""
    made = []
    for values in itertools.product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        for seed in range(seeds):
            made.append(
                COMMON
                | chosen
                | {"seed": seed, "test_acc_at_best_clean_val": accuracy(**chosen) + 0.001 * seed}
            )
    return made


def verdicts(name, made, asked=0):
    return judge_all(FIGURES[name].claims, pd.DataFrame(made), asked=asked)["verdict"].tolist()


@pytest.mark.parametrize(
    ("gain", "alphas", "seeds", "verdict"),
    [
        (0.05, [0.0, 10.0], 3, YES),
        (-0.05, [0.0, 10.0], 3, NO),
        (0.05, [0.0, 5.0], 3, OPEN),
        (0.05, [0.0, 10.0], 1, OPEN),
    ],
)
def test_fig2_larger_networks_keep_more(gain, alphas, seeds, verdict):
    place = {"conv4": 0, "conv6": 1, "resnet18": 2}
    made = rows(lambda model, **_: 0.6 + gain * place[model], seeds, model=place, alpha=alphas)
    assert verdicts("fig2", made) == [verdict]


def test_fig2_says_of_its_networks_what_is_true_of_them():
    weights = [
        sum(each.numel() for each in build(name, (3, 32, 32), 10, seed=0).parameters())
        for name in ("conv4", "conv6", "resnet18_w16")
    ]
    assert weights == sorted(weights, reverse=True)
    for scale in ("demo", "laptop"):
        assert "their weights get fewer here" in FIGURES["fig2"].scales[scale].differs


@pytest.mark.parametrize(
    ("dataset", "noisy", "verdict"),
    [("imagenet.pack", 0.4, YES), ("imagenet.pack", 0.2, NO), ("digits", 0.4, OPEN)],
)
def test_fig3_keeps_half_of_its_accuracy(dataset, noisy, verdict):
    made = rows(lambda alpha: noisy if alpha else 0.6, alpha=[0.0, 5.0])
    made = [
        row
        | {"dataset": dataset, "majority_share": 0.001, "test_acc_top5": row["test_acc_at_best_clean_val"]}
        for row in made
    ]
    assert verdicts("fig3", made) == [verdict]
    unlearnt = [row | {"majority_share": 0.5} for row in made]
    assert verdicts("fig3", unlearnt) == [OPEN]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"dataset": "imagenet.pack"}, "without noise it is right no more than twice as often"),
        ({"dataset": "digits"}, "it takes a pack of an image folder"),
        ({"dataset": "imagenet.pack", "alpha": 0.0}, "at α = 0 and 5"),
    ],
)
def test_fig3_says_what_it_takes_where_it_cannot_be_judged(changes, reason):
    made = rows(lambda **_: 0.001, alpha=[0.0, 5.0])
    made = [
        row | {"majority_share": 0.005, "test_acc_top5": row["test_acc_at_best_clean_val"]} | changes
        for row in made
    ]
    (claim,) = FIGURES["fig3"].claims
    assert reason in claim.judge(pd.DataFrame(made)).numbers


def sources(other, white, same=0.2):
    fall = {"same": same, "cifar100": other, "white_noise": white}
    clean = rows(lambda **_: 0.9, alpha=[0.0])
    return clean + rows(lambda images, **_: 0.9 - fall[images], images=fall, alpha=[5.0])


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
    made = [row for row in sources(0.1, 0.01) if row["images"] == "same"]
    assert verdicts("fig6", made) == [OPEN, OPEN]


@pytest.mark.parametrize(("fresh", "verdict"), [(0.22, YES), (0.35, NO), (0.05, NO)])
def test_fig7_fresh_images_cost_the_same(fresh, verdict):
    fall = {"same": 0.2, "fresh": fresh}
    made = rows(lambda **_: 0.9, alpha=[0.0])
    made += rows(lambda images, **_: 0.9 - fall[images], images=fall, alpha=[5.0])
    assert verdicts("fig7", made) == [verdict]
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
    made = curves([0.0, 5.0], lambda a: 400 + 100 * a)
    for row in made:
        if row["n"] == 2_000 and row["alpha"] == 5:
            row["test_acc_at_best_clean_val"] = 0.4 + 0.003 * row["seed"]
    assert verdicts("fig8", made)[0] == NO


@pytest.mark.parametrize(
    ("needed", "slope_rises", "straight"),
    [(lambda a: 400 + 60 * a, YES, YES), (lambda a: 400 + 3.5 * max(0, a - 30) ** 2, YES, NO)],
)
def test_fig9_is_judged_by_its_straight_line(needed, slope_rises, straight):
    made = curves(
        [0.0, 5.0, 10.0, 20.0, 35.0, 50.0], needed, (100, 200, 400, 600, 900, 1_400, 2_000, 3_000, 4_500)
    )
    assert verdicts("fig9", made) == [straight, slope_rises]


def test_fig9_needs_three_noise_levels_and_a_search_that_has_ended():
    made = curves([0.0, 5.0], lambda a: 400 + 60 * a)
    assert verdicts("fig9", made) == [OPEN, OPEN]
    made = curves([0.0, 5.0, 10.0], lambda a: 400 + 60 * a)
    assert verdicts("fig9", made, asked=2) == [OPEN, OPEN]


def test_fig9_slope_must_rise_with_the_accuracy():
    # on a curve that is flat in n the higher level lies far above the lower one, on a steep one near it
    made = []
    for alpha, slope in ((0.0, 0.5), (10.0, 1.0), (20.0, 6.0)):
        for n, seed in itertools.product((50, 100, 200, 400, 800, 1_600, 3_200), range(3)):
            z = np.log(4) + slope * np.log(n / (100 + 40 * alpha))
            made.append(
                COMMON
                | {
                    "alpha": alpha,
                    "n": n,
                    "seed": seed,
                    "test_acc_at_best_clean_val": float(1 / (1 + np.exp(-z))),
                }
            )
    assert verdicts("fig9", made)[1] == NO


def batches(gain, limit):
    place = {32: 0, 64: 1, 128: 2, 256: 3}
    made = rows(
        lambda batch, alpha: 0.9 if alpha == 0 else 0.5 + gain * place[batch],
        batch_size=place,
        alpha=[0.0, 20.0],
    )
    return made + rows(lambda alpha, **_: 0.9 - limit * (alpha > 0), order=["expected"], alpha=[0.0, 20.0])


def test_fig10_larger_batches_and_the_limit():
    assert verdicts("fig10", batches(0.02, 0.01)) == [YES, YES]
    assert verdicts("fig10", batches(-0.02, 0.3)) == [NO, NO]
    assert verdicts("fig10", [row for row in batches(0.02, 0.01) if row["alpha"] == 0]) == [OPEN, OPEN]


def test_fig10_takes_the_rate_that_validation_chose():
    made = batches(0.02, 0.01)
    # a rate that is better on the test set and worse on validation data changes nothing
    other = [
        row | {"lr": 0.5, "val_acc_clean": 0.1, "test_acc_at_best_clean_val": 0.99}
        for row in made
        if row["batch_size"] == 32
    ]
    assert verdicts("fig10", made + other) == [YES, YES]


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        ({0.0: 0.5, 5.0: 0.1, 20.0: 0.01}, YES),
        ({0.0: 0.1, 5.0: 0.1, 20.0: 0.1}, NO),
        ({0.0: 0.1, 5.0: 0.5, 20.0: 0.01}, NO),
    ],
)
def test_fig11_the_best_rate_falls(best, verdict):
    made = rows(lambda **_: 0.8, alpha=best, lr=[0.01, 0.1, 0.5])
    for row in made:
        row["val_acc_clean"] = 0.9 if row["lr"] == best[row["alpha"]] else 0.7
    assert verdicts("fig11", made) == [verdict]
    assert verdicts("fig11", [row for row in made if row["alpha"] == 0]) == [OPEN]


@pytest.mark.parametrize("name", ["fig2", "fig3", "fig6", "fig7", "fig8", "fig9", "fig10", "fig11"])
def test_every_verdict_waits_for_runs_that_are_missing(name):
    made = rows(lambda **_: 0.9, alpha=[0.0, 5.0])
    made[0]["state"] = "failed"
    assert set(verdicts(name, made)) == {OPEN}


def test_a_caption_says_how_many_seeds_and_whose_the_foreign_images_are():
    runs = pd.DataFrame(rows(lambda **_: 0.9, images=["same", "far/away.pack", "white_noise"], alpha=[5.0]))
    runs = runs.assign(n_val=100, n_test=10_000)
    caption = section._sizes(runs, "cifar10", seeds=True)
    assert "; 3 seeds a point. " in caption
    assert caption.endswith("Foreign images: away.pack. ")
    assert "seeds" not in section._sizes(runs, "cifar10", seeds=False)
