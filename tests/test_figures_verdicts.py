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
    "schedule": "constant",
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
    runs = pd.DataFrame(table).drop_duplicates(["alpha", "seed"])
    assert reason in claim.judge(runs).numbers


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


def curves(alphas, needed, sizes=(250, 500, 1_000, 2_000, 4_000, 8_000), seeds=3):
    def accuracy(alpha, n):
        return float(1 / (1 + np.exp(-(np.log(9) + 1.2 * np.log(n / needed(alpha))))))

    return rows(accuracy, seeds, alpha=alphas, n=sizes)


@pytest.mark.parametrize(("lead", "verdict"), [(1, NO), (60, YES)])
def test_fig1_does_not_order_models_that_differ_by_one_test_image(lead, verdict):
    place = {"conv4": 0, "mlp1": 1, "mlp2": 1, "mlp4": 1, "perceptron": 2}
    table = [
        row | {"n_test": 360, "seed": seed}
        for seed in range(2)
        for row in rows(
            lambda model, alpha: 0.9 if alpha == 0 else 0.8 - place[model] * lead / 360,
            seeds=1,
            model=list(place),
            alpha=[0.0, 20.0],
        )
    ]
    order = next(claim for claim in FIGURES["fig1"].claims if "drop" in claim.rule)
    assert order.judge(pd.DataFrame(table)).verdict == verdict


def test_fig8_rises_with_n_and_its_threshold_with_alpha():
    assert verdicts("fig8", curves([0.0, 5.0, 10.0], lambda a: 400 + 100 * a)) == [YES, YES]
    assert verdicts("fig8", curves([0.0, 5.0, 10.0], lambda a: 2_000 - 100 * a)) == [YES, NO]
    assert verdicts("fig8", curves([0.0, 5.0, 10.0], lambda a: 400 + 100 * a, seeds=1)) == [OPEN, OPEN]
    assert verdicts("fig8", curves([0.0, 5.0], lambda _: 1e6)) == [YES, OPEN]


def test_fig8_fails_where_a_level_out_of_reach_comes_before_one_that_is_crossed():
    """Thresholds of 400 and 900, and between them one that the largest n does not reach."""
    table = curves([0.0, 5.0, 10.0], lambda a: {0.0: 400, 5.0: 1e6, 10.0: 900}[a])
    judgement = FIGURES["fig8"].claims[1].judge(pd.DataFrame(table))
    assert judgement.verdict == NO
    assert "more than 8,000 at α = 5" in judgement.numbers
    # at the largest α it agrees with a threshold that rises
    table = curves([0.0, 5.0, 10.0], lambda a: {0.0: 400, 5.0: 900, 10.0: 1e6}[a])
    assert verdicts("fig8", table) == [YES, YES]
    # within reach from the smallest n on, at a larger α than those that cross it
    table = curves([0.0, 5.0, 10.0], lambda a: {0.0: 900, 5.0: 1_200, 10.0: 20}[a])
    judgement = FIGURES["fig8"].claims[1].judge(pd.DataFrame(table))
    assert judgement.verdict == NO
    assert "at most 250 at α = 10" in judgement.numbers


def test_fig8_fails_where_most_seeds_cross_later_than_at_a_larger_noise_level():
    table = [
        row
        for seed, at_5 in enumerate((900, 1e6, 1e6))
        for row in curves([0.0, 5.0, 10.0], lambda a, at_5=at_5: {0.0: 400, 5.0: at_5, 10.0: 2_000}[a])
        if row["seed"] == seed
    ]
    judgement = FIGURES["fig8"].claims[1].judge(pd.DataFrame(table))
    assert judgement.verdict == NO
    assert "(1 of 3 seeds cross it at α = 5)" in judgement.numbers
    untrained = pd.DataFrame(table).query("alpha != 5 or seed == 0")
    assert FIGURES["fig8"].claims[1].judge(untrained).verdict == YES  # nothing is known of the other seeds


def test_fig8_is_judged_at_both_accuracies():
    table = [row | {"test_acc_at_best_clean_val": min(row["test_acc_at_best_clean_val"], 0.88)}
             for row in curves([0.0, 5.0, 10.0], lambda a: 400 + 100 * a)]  # fmt: skip
    judgement = FIGURES["fig8"].claims[1].judge(pd.DataFrame(table))
    assert judgement.verdict == OPEN
    assert judgement.numbers.endswith("no noise levels differ in the n that 90.0 % requires")


def test_fig8_says_in_how_many_steps_the_mean_falls():
    table = pd.DataFrame(curves([0.0, 5.0, 10.0], lambda a: 400 + 100 * a))
    falls = (table["alpha"] == 5) & (table["n"] == 2_000)
    table.loc[falls, "test_acc_at_best_clean_val"] = 0.5 + 0.1 * table["seed"]
    judgement = FIGURES["fig8"].claims[0].judge(table)
    assert "the mean falls in 1 of 15 steps, in 0 significantly" in judgement.numbers


def test_fig8_fails_where_accuracy_falls_with_n():
    table = curves([0.0, 5.0], lambda a: 400 + 100 * a)
    for row in table:
        if row["n"] == 2_000 and row["alpha"] == 5:
            row["test_acc_at_best_clean_val"] = 0.4 + 0.003 * row["seed"]
    assert verdicts("fig8", table)[0] == NO


def test_fig8_fails_where_accuracy_does_not_rise_at_all():
    table = curves([0.0, 5.0], lambda a: 400 + 100 * a)
    for row in table:
        if row["alpha"] == 5:  # no step falls by more than chance, and none rises
            row["test_acc_at_best_clean_val"] = 0.4 + 0.01 * ((row["seed"] + row["n"]) % 3)
    assert verdicts("fig8", table)[0] == NO


def test_fig8_does_not_fail_by_one_of_many_steps_that_falls_by_chance():
    table = curves([0.0, 5.0], lambda a: 400 + 100 * a)
    falls = {0: 0.001, 1: 0.004, 2: 0.007}  # p = 0.03 alone, 10 steps are tested
    at_4000 = {
        (row["alpha"], row["seed"]): row["test_acc_at_best_clean_val"] for row in table if row["n"] == 4_000
    }
    for row in table:
        if row["n"] == 8_000 and row["alpha"] == 5:
            row["test_acc_at_best_clean_val"] = at_4000[5.0, row["seed"]] - falls[row["seed"]]
    assert verdicts("fig8", table)[0] == YES


@pytest.mark.parametrize(
    ("needed", "slope_rises", "straight"),
    [
        (lambda a: 400 + 60 * a, YES, YES),
        (lambda a: 400 * (1 + a / 5) ** 0.5, YES, NO),
        (lambda a: 400 + 0.6 * a**2, YES, NO),
    ],
)
def test_fig9_is_judged_by_its_exponent(needed, slope_rises, straight):
    table = curves(
        [0.0, 5.0, 10.0, 20.0, 35.0, 50.0], needed, (100, 200, 400, 600, 900, 1_400, 2_000, 3_000, 4_500)
    )
    assert verdicts("fig9", table) == [straight, slope_rises]


def test_fig9_needs_three_noise_levels_and_a_search_that_has_ended():
    table = curves([0.0, 5.0], lambda a: 400 + 60 * a)
    assert verdicts("fig9", table) == [OPEN, OPEN]
    table = curves([0.0, 5.0, 10.0], lambda a: 400 + 60 * a, (100, 200, 400, 600, 800, 1_200, 1_600))
    assert verdicts("fig9", table) == [OPEN, YES]  # a law of three coefficients needs four
    assert verdicts("fig9", table, pending=2) == [OPEN, OPEN]


SIZES = (100, 200, 400, 600, 900, 1_400, 2_000, 3_000, 4_500)


@pytest.mark.parametrize(
    ("at_50", "expected", "words"),
    [
        (1e6, NO, "at α = 50 not reached with 4,500 clean examples, where the line requires 3,360 ["),
        (1.0, NO, "at α = 50 reached with 100 already, where the line requires 3,360 ["),
    ],
)
def test_fig9_is_refuted_by_a_noise_level_without_a_crossing_that_the_line_places_within_reach(
    at_50, expected, words
):
    table = curves([0.0, 5.0, 10.0, 20.0, 50.0], lambda a: at_50 if a == 50 else 400 + 60 * a, SIZES)
    judgement = FIGURES["fig9"].claims[0].judge(pd.DataFrame(table))
    assert judgement.verdict == expected
    assert words in judgement.numbers


def test_fig9_names_a_noise_level_whose_crossing_lies_beyond_all_images():
    table = curves([0.0, 5.0, 10.0, 20.0, 200.0], lambda a: 400 + 60 * a, SIZES)
    judgement = FIGURES["fig9"].claims[0].judge(pd.DataFrame(table))
    assert judgement.verdict == YES
    assert "at α = 200 not reached with 4,500 clean examples;" in judgement.numbers


def test_fig9_is_judged_at_both_accuracies():
    table = pd.DataFrame(curves([0.0, 5.0, 10.0, 20.0, 35.0], lambda a: 400 + 60 * a, SIZES))
    capped = table["test_acc_at_best_clean_val"].clip(upper=0.88).where(table["alpha"] > 5)
    table["test_acc_at_best_clean_val"] = capped.fillna(table["test_acc_at_best_clean_val"])
    judgement = FIGURES["fig9"].claims[0].judge(table)
    assert judgement.verdict == OPEN
    assert "90.0 %: fewer than 4 noise levels have a bounded interval" in judgement.numbers


def test_fig9_slope_must_rise_with_the_accuracy():
    # on a curve that is flat in n the higher level lies far above the lower one, on a steep one near it
    table = []
    for alpha, slope in ((0.0, 0.5), (10.0, 1.0), (20.0, 6.0)):
        for n, seed in itertools.product((50, 100, 200, 400, 800, 1_600, 3_200), range(3)):
            z = np.log(4) + slope * (np.log(n / (100 + 40 * alpha)) + 0.1 * (seed - 1))
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


def batches(gain, limit, steps=lambda size: 12_800 // size, schedule="constant"):
    """Return accuracies that rise by `gain` per doubling of the batch size, and fall by `limit` with Hα."""
    place = {32: 0, 64: 1, 128: 2, 256: 3}
    table = rows(
        lambda batch_size, alpha: 0.9 if alpha == 0 else 0.5 + gain * place[batch_size],
        batch_size=place,
        alpha=[0.0, 20.0],
    )
    table = [row | {"steps": steps(row["batch_size"])} for row in table]
    table += rows(lambda alpha, **_: 0.9 - limit * (alpha > 0), targets=["expected"], alpha=[0.0, 20.0])
    # own errors of each run, beside those of the seed
    for place, row in enumerate(table):
        row["test_acc_at_best_clean_val"] += 0.002 * (place % 5 - 2)
    return [row | {"schedule": schedule} for row in table]


def test_fig10_larger_batches_and_the_limit():
    assert verdicts("fig10", batches(0.02, 0.01)) == [YES, OPEN, OPEN, YES]
    assert verdicts("fig10", batches(-0.02, 0.3)) == [NO, OPEN, OPEN, NO]
    assert verdicts("fig10", batches(0.0, 0.09)) == [NO, OPEN, OPEN, NO]
    without_noise = [row for row in batches(0.02, 0.01) if row["alpha"] == 0]
    assert verdicts("fig10", without_noise) == [OPEN, OPEN, OPEN, OPEN]


def test_fig10_tells_equal_examples_from_equal_steps():
    constant = batches(0.02, 0.01)
    longer = [row for row in batches(-0.02, 0.01, steps=lambda _: 100) if row["batch_size"] != 128]
    assert verdicts("fig10", constant + longer) == [YES, NO, OPEN, YES]
    shorter = [row for row in batches(-0.02, 0.01) if row["batch_size"] != 128]
    both = batches(0.02, 0.01, steps=lambda _: 100) + shorter
    assert verdicts("fig10", both)[:2] == [NO, YES]
    panels = FIGURES["fig10"].aggregate(pd.DataFrame(both)).groupby(["budget", "schedule"]).ngroups
    assert panels == 2


@pytest.mark.parametrize(("decaying", "verdict"), [(0.0, YES), (0.02, NO), (0.04, NO)])
def test_fig10_compares_the_slopes_of_both_schedules(decaying, verdict):
    table = batches(0.02, 0.01) + batches(decaying, 0.01, schedule="linear")
    assert verdicts("fig10", table) == [YES, OPEN, verdict, YES]


def test_fig10_does_not_take_a_decaying_schedule_for_a_constant_one():
    assert verdicts("fig10", batches(0.02, 0.01, schedule="linear")) == [OPEN] * 4


def test_fig10_accuracy_must_not_fall_anywhere():
    table = batches(0.05, 0.01)
    for row in table:
        if row["batch_size"] == 256 and row["alpha"] == 20:
            row["test_acc_at_best_clean_val"] -= 0.08
    assert verdicts("fig10", table)[0] == NO


def test_fig10_uses_the_learning_rate_that_validation_chose():
    table = batches(0.02, 0.01)
    # a learning rate that is better on the test set and worse on validation data changes nothing
    other = [
        row | {"lr": 0.5, "val_acc_clean": 0.1, "test_acc_at_best_clean_val": 0.99}
        for row in table
        if row["batch_size"] == 32
    ]
    assert verdicts("fig10", table + other) == verdicts("fig10", table)


def rates(best, lrs=(0.003, 0.01, 0.1, 0.5, 2.0), jump=None):
    """Return runs whose best learning rate is `best[alpha]`; with `jump` that of one seed is another."""
    table = rows(lambda **_: 0.8, alpha=best, lr=lrs)
    for row in table:
        chosen = best[row["alpha"]]
        if jump and (row["alpha"], row["seed"]) in jump:
            chosen = jump[row["alpha"], row["seed"]]
        row["val_acc_clean"] = 0.9 if row["lr"] == chosen else 0.7
    return table


@pytest.mark.parametrize(
    ("best", "verdict"),
    [
        ({0.0: 0.5, 5.0: 0.1, 20.0: 0.01}, YES),
        ({0.0: 0.5, 5.0: 0.5, 20.0: 0.1}, YES),
        ({0.0: 0.1, 5.0: 0.1, 20.0: 0.1}, NO),
        ({0.0: 0.1, 5.0: 0.5, 20.0: 0.01}, NO),
        ({0.0: 2.0, 5.0: 0.1, 20.0: 0.01}, OPEN),  # at an edge the best one may lie beyond
        ({0.0: 0.5, 5.0: 0.1, 20.0: 0.003}, OPEN),
    ],
)
def test_fig11_the_best_learning_rate_falls(best, verdict):
    assert verdicts("fig11", rates(best)) == [verdict]
    assert verdicts("fig11", [row for row in rates(best) if row["alpha"] == 0]) == [OPEN]


def test_fig11_the_choice_must_not_hang_on_single_seeds():
    # two of three seeds choose 0.01 at the largest α, and the third one 0.5: by the mean the best rate falls
    best = {0.0: 0.5, 5.0: 0.1, 20.0: 0.01}
    table = rates(best, jump={(20.0, 2): 0.5})
    judged = judge_all(FIGURES["fig11"].claims, pd.DataFrame(table))
    assert judged["verdict"].tolist() == [NO]
    assert "falls with α in 74.1 % of the draws" in judged["numbers"][0]  # 20 of 27 have two seeds of three


def test_fig11_equally_good_learning_rates_count_as_any_of_them():
    table = rates({0.0: 0.5, 5.0: 0.5, 20.0: 0.1})
    for row in table:
        if row["alpha"] == 20 and row["lr"] == 0.5:
            row["val_acc_clean"] = 0.9
    assert verdicts("fig11", table) == [NO]


def test_fig11_needs_the_same_seeds_at_every_point():
    table = rates({0.0: 0.5, 5.0: 0.1, 20.0: 0.01})
    assert verdicts("fig11", table[:-1]) == [OPEN]
    assert verdicts("fig11", [row for row in table if row["seed"] == 0]) == [OPEN]


def test_fig11_diverged_runs_count_as_chance_in_the_choice():
    table = rates({0.0: 0.5, 5.0: 0.1, 20.0: 0.01})
    for row in table:
        row["majority_share"] = 0.1
        if row["lr"] == 2.0:
            row |= {"state": "diverged", "val_acc_clean": None, "test_acc_at_best_clean_val": None}
    judged = judge_all(FIGURES["fig11"].claims, pd.DataFrame(table))
    assert judged["verdict"].tolist() == [YES]
    assert "9 of 45 runs diverged" in judged["numbers"][0]


@pytest.mark.parametrize(("scatter", "verdict"), [(0.0, YES), (0.06, NO)])
def test_fig7_sources_must_be_alike_with_their_intervals(scatter, verdict):
    table = rows(lambda **_: 0.9, alpha=[0.0])
    table += rows(lambda **_: 0.7, image_source=["same", "fresh"], alpha=[5.0])
    for row in table:
        if row["image_source"] == "fresh":
            row["test_acc_at_best_clean_val"] += scatter * (row["seed"] - 1)
    assert verdicts("fig7", table) == [verdict]


def test_fig6_ratio_must_lie_within_its_bounds_with_its_interval():
    table = sources(0.1, 0.01)
    for row in table:
        if row["image_source"] == "cifar100":
            row["test_acc_at_best_clean_val"] += 0.05 * (row["seed"] - 1)
    assert verdicts("fig6", table) == [NO, YES]  # the ratio is 0.5 still


def test_fig3_half_must_be_exceeded_with_the_interval():
    table = rows(lambda alpha: 0.31 if alpha else 0.6, alpha=[0.0, 5.0])
    table = [row | {"dataset": "i.pack", "majority_share": 0.001, "test_acc_top5": 0.9} for row in table]
    assert verdicts("fig3", table) == [YES]
    for row in table:
        row["test_acc_at_best_clean_val"] += 0.03 * (row["seed"] - 1) * (row["alpha"] > 0)
    assert verdicts("fig3", table) == [NO]
    assert verdicts("fig3", [row for row in table if row["seed"] == 0]) == [OPEN]


def gradients(ratio, cosine, scatter=0.0, stages=(10, 100), alphas=(1.0, 5.0, 20.0), seeds=3):
    """Return runs whose gradients have this ratio of lengths and this cosine, as functions of alpha."""
    table = rows(lambda **_: 0.8, seeds, steps=stages, alpha=alphas)
    for row in table:
        own = scatter * (row["seed"] - 1)
        row |= {"gradient_ratio": ratio(row["alpha"]) + own, "gradient_cosine": cosine(row["alpha"]) + own}
    return table


@pytest.mark.parametrize(
    ("ratio", "cosine", "scatter", "expected"),
    [
        (lambda a: 1 / (1 + a), lambda _: 0.99, 0.001, [YES, YES]),
        (lambda a: 1 / (1 + a), lambda a: 0.95 - 0.004 * a, 0.001, [YES, NO]),
        (lambda _: 0.1, lambda _: 0.99, 0.001, [NO, YES]),  # short, and not shorter with more noise
        (lambda a: 0.6 - 0.001 * a, lambda _: 0.99, 0.001, [NO, YES]),
        (lambda a: 1 / (1 + a), lambda _: 0.92, 0.02, [YES, NO]),
        (lambda a: 0.5 - 0.01 * a, lambda _: 0.99, 0.2, [NO, NO]),
    ],
)
def test_gradients_are_shorter_and_keep_their_direction_with_their_intervals(
    ratio, cosine, scatter, expected
):
    assert verdicts("gradients", gradients(ratio, cosine, scatter)) == expected


def test_gradients_shrink_by_their_slope_and_not_by_each_mean():
    """Of 28 means two may stand in the wrong order by chance; a slope whose interval holds 0 decides."""
    uneven = gradients(lambda a: {1.0: 0.5, 5.0: 0.1, 20.0: 0.11}[a], lambda _: 0.99, 0.001)
    judgement = FIGURES["gradients"].claims[0].judge(pd.DataFrame(uneven))
    assert judgement.verdict == YES
    assert "as (1 + α) to the power -0.63" in judgement.numbers
    flat = gradients(lambda a: 0.3 - 0.001 * a, lambda _: 0.99, 0.05)
    for row in flat:  # the slope differs by seed
        row["gradient_ratio"] += 0.004 * row["alpha"] * (row["seed"] - 1)
    assert verdicts("gradients", flat)[0] == NO


@pytest.mark.parametrize("few", [{"stages": (10,)}, {"alphas": (5.0,)}, {"seeds": 1}])
def test_gradients_need_stages_noise_levels_and_seeds(few):
    assert verdicts("gradients", gradients(lambda a: 1 / (1 + a), lambda _: 0.99, **few)) == [OPEN, OPEN]


def test_gradients_of_a_diverged_run_are_missing_and_nothing_is_decided():
    table = gradients(lambda a: 1 / (1 + a), lambda _: 0.99)
    measures = dict.fromkeys(["test_acc_at_best_clean_val", "gradient_ratio", "gradient_cosine"])
    table[0] |= {"state": "diverged", "majority_share": 0.1} | measures
    assert verdicts("gradients", [{"majority_share": 0.1} | row for row in table]) == [OPEN, OPEN]


@pytest.mark.parametrize(
    "name", ["gradients", "fig2", "fig3", "fig6", "fig7", "fig8", "fig9", "fig10", "fig11"]
)
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
