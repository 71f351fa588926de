"""The tables of a benchmark and its sentences, from runs made by hand."""

import math

import pandas as pd
import pytest

from dilution.benchmarking.explain import by_noisy_validation, findings, per_noise
from dilution.benchmarking.methods import METHODS, resolve_methods
from dilution.benchmarking.noises import CLEAN, BenchmarkNoise
from dilution.benchmarking.published import PUBLISHED, published_for
from dilution.benchmarking.ranks import rank_methods
from dilution.benchmarking.tables import (
    accuracies,
    by_method,
    costs,
    delivered_noise,
    differences,
    exported_runs,
    leaders,
    named_runs,
    repeated_methods,
)
from dilution.study.pairs import paired_difference

SYMMETRIC = BenchmarkNoise(
    "symmetric-50", "symmetric 50 %", {"noise": "symmetric(rate=0.5)"}, "half of the labels"
)
TITLES = {method.name: method.title for method in METHODS.values()} | {
    noise.name: noise.title for noise in (CLEAN, SYMMETRIC)
}

LAST = {
    ("clean", "cross_entropy"): [0.90, 0.91, 0.92],
    ("clean", "gce"): [0.88, 0.90, 0.92],
    ("clean", "mae"): [0.50, 0.51, 0.53],
    ("symmetric-50", "cross_entropy"): [0.60, 0.64, 0.62],
    ("symmetric-50", "gce"): [0.80, 0.85, 0.81],
    ("symmetric-50", "mae"): [0.79, 0.84, 0.82],
}


def run_table(last=LAST):
    """Return a table of runs, and which run belongs to which method and noise."""
    rows, planned = [], []
    for (noise, method), values in last.items():
        for seed, value in enumerate(values):
            key = f"{noise}/{method}/{seed}"
            row = {
                "key": key, "state": "done", "seed": seed, "noise": "the setting", "test_acc_last": value,
                "test_acc_at_best_noisy_acc": value + 0.02, "test_acc_max": value + 0.03, "n_test": 1000,
                "majority_share": 0.1, "seconds": 3.0 if method == "gce" else 2.0, "group_size": 4,
                "device": "cpu", "noise_rate_expected": 0.45 * (noise != "clean"),
                "noise_rate_empirical": (0.45 + 0.01 * seed) * (noise != "clean"),
            }  # fmt: skip
            rows.append(row)
            planned.append((method, noise, key))
            if method == "cross_entropy":
                planned.append(("early_stopping", noise, key))
    return pd.DataFrame(rows), pd.DataFrame(planned, columns=["method", "noise", "key"]).assign(same_as="")


@pytest.fixture
def runs():
    return named_runs(*run_table(), list(METHODS.values()))


def test_a_run_belongs_to_two_methods_if_they_differ_in_the_choice_of_a_step(runs):
    early = runs[runs["method"] == "early_stopping"].reset_index(drop=True)
    plain = runs[runs["method"] == "cross_entropy"].reset_index(drop=True)
    assert early["key"].tolist() == plain["key"].tolist()
    assert early["last"].tolist() == plain["best_noisy_val"].tolist()
    assert early[["best_noisy_val", "best_test"]].isna().all(axis=None)
    assert plain["best_test"].tolist() == pytest.approx((plain["last"] + 0.03).tolist())
    assert set(runs["noise"]) == {"clean", "symmetric-50"}
    assert set(runs["noise_setting"]) == {"the setting"}


def test_a_diverged_run_counts_at_chance_by_every_measure():
    table, planned = run_table()
    lost = table["key"] == "clean/gce/0"
    table.loc[lost, "state"] = "diverged"
    table.loc[lost, ["test_acc_last", "test_acc_at_best_noisy_acc", "test_acc_max"]] = math.nan
    runs = named_runs(table, planned, list(METHODS.values())).set_index("key")
    assert runs.loc["clean/gce/0", ["last", "best_noisy_val", "best_test"]].tolist() == [0.1] * 3
    assert math.isnan(runs.loc["clean/gce/0", "test_acc_last"])  # as an import takes it


def test_accuracies_are_means_with_intervals_in_the_order_of_the_plan(runs):
    points = accuracies(runs)
    last = points[points["measure"] == "last"]
    assert list(last["method"]) == ["cross_entropy", "early_stopping", "gce", "mae"] * 2
    assert list(last["noise"]) == ["clean"] * 4 + ["symmetric-50"] * 4
    row = last.iloc[0]
    half = 4.302653 * 0.01 / math.sqrt(3)  # t of two degrees of freedom
    assert (row["mean"], row["low"], row["high"]) == pytest.approx((0.91, 0.91 - half, 0.91 + half))
    assert (last["seeds"] == 3).all()
    chosen = points[points["measure"] == "best_noisy_val"]
    assert list(chosen["method"]) == ["cross_entropy", "gce", "mae"] * 2


def test_differences_are_paired_by_seed(runs):
    rows = differences(runs).set_index(["measure", "noise", "method"])
    gce = rows.loc[("last", "symmetric-50", "gce")]
    pairs = [0.20, 0.21, 0.19]
    assert gce["mean"] == pytest.approx(sum(pairs) / 3)
    part = runs[(runs["noise"] == "symmetric-50") & (runs["method"] != "early_stopping")]
    expected = paired_difference(part, "method", "gce", "cross_entropy", value="last")
    assert (gce["low"], gce["high"]) == pytest.approx((expected.low, expected.high))
    assert gce["p"] < 0.01
    of_last = rows.xs("last").dropna(subset=["p"])
    smallest = of_last.loc[of_last["p"].idxmin()]
    assert smallest["p_holm"] == pytest.approx(smallest["p"] * len(of_last))
    assert rows["p_holm"].isna().equals(rows["p"].isna())
    clean = rows.loc[("last", "clean", "gce")]
    assert clean["low"] < 0 < clean["high"]
    assert clean["p"] > 0.05
    assert ("last", "clean", "cross_entropy") not in rows.index
    early = rows.loc[("last", "clean", "early_stopping")]  # the same difference with every seed
    assert early["mean"] == pytest.approx(0.02)
    assert early["p"] < 0.05
    assert 0 < early["low"] < early["mean"] < early["high"]


def test_the_leader_is_told_apart_only_beyond_the_paired_interval(runs):
    rows = leaders(runs, "last").set_index("noise")
    assert rows.loc["symmetric-50", "method"] == "gce"
    assert rows.loc["symmetric-50", "tied"] == ["mae"]
    assert rows.loc["clean", "method"] == "early_stopping"
    assert rows.loc["clean", "runner_up"] == "cross_entropy"
    lines = per_noise(runs, "last", TITLES)
    assert "symmetric 50 %: GCE 82.0 %, not told apart from mean absolute error" in lines
    assert any(line.startswith("clean: early stopping 93.0 %, ahead of the next, ") for line in lines)


def test_diverged_runs_count_as_chance_and_failed_runs_are_left_out():
    table, planned = run_table()
    table.loc[table["key"] == "clean/gce/0", ["state", "test_acc_last"]] = ["diverged", None]
    table.loc[table["key"] == "clean/mae/0", ["state", "test_acc_last"]] = ["failed", None]
    points = accuracies(named_runs(table, planned, list(METHODS.values())))
    last = points[points["measure"] == "last"].set_index(["noise", "method"])
    assert last.loc[("clean", "gce"), "mean"] == pytest.approx((0.1 + 0.90 + 0.92) / 3)
    assert last.loc[("clean", "mae"), "mean"] == pytest.approx((0.51 + 0.53) / 2)
    assert last.loc[("clean", "mae"), "seeds"] == 2


def test_a_method_that_trains_as_another_is_no_rival_of_it_and_repeats_it_where_it_does_at_all_noises():
    pooled = {(noise, "pooled"): LAST[noise, "cross_entropy"] for noise in ("clean", "symmetric-50")}
    table, planned = run_table(LAST | pooled)
    is_pooled = planned["method"] == "pooled"
    planned.loc[is_pooled, "same_as"] = "cross_entropy"
    runs = named_runs(table, planned, list(METHODS.values()))
    assert repeated_methods(runs, ["clean", "symmetric-50"]) == {"pooled": "cross_entropy"}
    assert repeated_methods(runs[runs["method"] != "pooled"], ["clean"]) == {}
    rows = leaders(runs, "best_noisy_val").set_index("noise")
    assert rows.loc["clean", "method"] == "cross_entropy"
    assert rows.loc["clean", "runner_up"] == "gce"
    assert "pooled" not in rows.loc["clean", "tied"]
    table.loc[table["key"].str.startswith("clean/cross_entropy"), "test_acc_last"] = None
    failed = named_runs(table, planned, list(METHODS.values()))
    (row,) = leaders(failed[failed["noise"] == "clean"], "last").head(1).to_dict("records")
    assert "pooled" in {row["method"], row["runner_up"], *row["tied"]}  # its original has no accuracy there
    planned.loc[is_pooled & (planned["noise"] == "clean"), "same_as"] = ""
    runs = named_runs(table, planned, list(METHODS.values()))
    assert repeated_methods(runs, ["clean", "symmetric-50"]) == {}
    assert repeated_methods(runs, ["symmetric-50"]) == {"pooled": "cross_entropy"}
    assert "same_as" not in exported_runs(runs)


def test_costs_are_seconds_per_training_beside_those_of_cross_entropy(runs):
    rows = costs(runs).set_index("method")
    assert rows.loc["gce", "seconds"] == 3.0
    assert rows.loc["gce", "times_reference"] == 1.5
    assert rows.loc["cross_entropy", "times_reference"] == 1.0
    assert rows.loc["mae", "device"] == "cpu"
    runs.loc[(runs["method"] == "gce") & (runs["noise"] == "clean"), "seconds"] = 5.0
    row = costs(runs).set_index("method").loc["gce"]
    assert (row["times_least"], row["times_reference"], row["times_most"]) == (1.5, 2.0, 2.5)
    assert costs(runs[runs["method"] != "cross_entropy"])["times_reference"].isna().all()


def test_noise_is_shown_as_asked_for_and_as_delivered(runs):
    clean, noisy = delivered_noise(runs, [CLEAN, SYMMETRIC]).to_dict("records")
    assert (clean["expected"], clean["delivered"]) == (0.0, 0.0)
    assert noisy["asked"] == "half of the labels"
    assert noisy["setting"] == "noise = symmetric(rate=0.5)"
    assert noisy["expected"] == pytest.approx(0.45)
    assert (noisy["delivered"], noisy["least"], noisy["most"]) == pytest.approx((0.46, 0.45, 0.47))


def test_the_answer_names_the_best_rank_and_where_it_is_above_cross_entropy(runs):
    points = accuracies(runs)
    ranks = {name: rank_methods(by_method(points, name)) for name in ("last", "best_noisy_val")}
    sentences = findings(runs, differences(runs), ranks, TITLES)
    assert sentences[:3] == (
        "After the last step the most accurate method is early stopping with clean; GCE with symmetric 50 %.",
        "The most accurate method is ahead of all others beyond the 95 % interval at 1 of 2 noises.",
        "Over all noises, early stopping and GCE share the best mean rank of 4 methods over 2 noises (2.0). "
        "Ranks over so few noises tell no two methods apart: the critical difference is 3.3 ranks, and the "
        "largest possible one 3.",
    )
    text = " ".join(sentences)
    beyond = "above cross entropy beyond the 95 % interval at 2 of 2 noises ("
    assert beyond in text
    assert "after Holm's correction for all differences) and below it at 0" in text
    assert "the largest of these gains is 2.0 points" in text
    assert "noisy validation" not in text
    assert "Early stopping is above cross entropy" in text  # both that share the best rank, each by its name
    assert "GCE is above cross entropy" in text
    chosen = by_noisy_validation(differences(runs), ranks, TITLES)
    assert chosen.startswith(
        "With the step that noisy validation labels choose, GCE has the best mean rank of 3"
    )
    assert by_noisy_validation(differences(runs), {}, TITLES) == ""


def test_the_answer_counts_the_noises_of_the_best_methods_where_there_are_many(runs):
    parts = [
        runs[runs["noise"] == ("clean" if number < 2 else "symmetric-50")].assign(noise=f"noise {number}")
        for number in range(5)
    ]
    titles = TITLES | {f"noise {number}": f"noise {number}" for number in range(5)}
    sentences = findings(pd.concat(parts, ignore_index=True), differences(runs), {}, titles)
    assert sentences[0].endswith("the most accurate method is GCE at 3 of 5 noises; early stopping at 2.")


def test_the_answer_names_the_methods_whose_ranks_cannot_be_told_apart(runs):
    accuracy = {"cross_entropy": 0.5, "gce": 0.9, "early_stopping": 0.7}
    by_noise = pd.DataFrame([accuracy | {"gce": 0.6 + 0.3 * (k % 5 > 0)} for k in range(10)])
    text = " ".join(findings(runs, differences(runs), {"last": rank_methods(by_noise)}, TITLES))
    assert (
        "GCE has the best mean rank of 3 methods over 10 noises (1.2), and early stopping cannot be" in text
    )
    assert "told apart from it by ranks." in text


def test_the_answer_of_one_method_compares_nothing(runs):
    alone = runs[runs["method"] == "cross_entropy"]
    assert findings(alone, differences(alone), {}, TITLES) == (
        "Of one method, cross entropy, there is nothing to compare. After the last step it has 91.0 % with "
        "clean, 62.0 % with symmetric 50 %.",
    )


def test_the_answer_without_ranks_says_why(runs):
    assert "not ranked" in findings(runs, differences(runs), {}, TITLES)[-1]


def test_a_method_without_a_rival_is_ahead_of_nobody(runs):
    alone = runs[(runs["noise"] != "clean") | (runs["method"] == "cross_entropy")]
    sentences = findings(alone, differences(alone), {}, TITLES)
    assert sentences[1].endswith("95 % interval at 0 of 2 noises.")


def test_published_numbers_stand_only_beside_the_same_data_network_noise_and_images():
    rho = BenchmarkNoise("x", "x", {"noise": "symmetric(rate=0.40)"}, "")
    other = BenchmarkNoise("y", "y", {"noise": "symmetric(include_true=True, rate=0.4)"}, "")
    files = BenchmarkNoise("a.npy", "a.npy", {"labels": "a.npy"}, "")
    human = BenchmarkNoise("cifar10n-worse", "worse", {"dataset": "cifar10n/worse"}, "")
    rows = published_for("mnist", "lenet", [CLEAN, rho, other, files, human], all_images=True)
    plain = rows[rows["method"] == "cross_entropy"]
    assert plain[["noise", "published"]].to_numpy().tolist() == [["clean", 0.991], ["x", 0.986]]
    assert set(rows["method"]) == {"cross_entropy", "gce", "phuber(tau=10.0)"}
    assert rows["source"].str.contains("a reproduction of Menon et al. 2020").all()
    others = (("mnist", "mlp2", True), ("digits", "lenet", True), ("mnist", "lenet", False))
    for dataset, model, all_images in others:
        assert published_for(dataset, model, [CLEAN, rho], all_images=all_images).empty
    of_resnet = published_for("cifar10", "resnet50", [rho], all_images=True)
    assert dict(zip(of_resnet["method"], of_resnet["published"], strict=True)) == {
        "cross_entropy": 0.678,
        "gce": 0.824,
        "phuber": 0.878,
    }
    assert all(0 < number.accuracy < 1 for number in PUBLISHED)


def test_methods_of_published_numbers_are_named_as_a_benchmark_names_them_with_the_published_parameters():
    tau = {"lenet": 10, "resnet50": 2}
    for model in ("lenet", "resnet50"):
        names = {number.method for number in PUBLISHED if number.model == model}
        texts = ["cross_entropy", "gce(q=0.7)", f"phuber(tau={tau[model]})"]
        assert names == {method.name for method in resolve_methods(texts)}


def test_the_answer_names_noises_that_are_not_ranked_and_ranks_that_are_equal(runs):
    accuracy = {"cross_entropy": 0.5, "gce": 0.9, "early_stopping": 0.8}
    swapped = accuracy | {"gce": 0.8, "early_stopping": 0.9}
    partly = accuracy | {"gce": None}
    by_noise = pd.DataFrame([accuracy, swapped] * 6 + [partly], index=["clean"] * 12 + ["symmetric-50"])
    ranks = rank_methods(by_noise)
    text = " ".join(findings(runs, differences(runs), {"last": ranks}, TITLES))
    assert (
        "Over the noises that every method has, GCE and early stopping share the best mean rank of 3 methods "
        "over 12 noises (1.5; without symmetric 50 %)" in text
    )
    chosen = by_noisy_validation(differences(runs), {"best_noisy_val": ranks}, TITLES)
    assert "over 12 noises (1.5; without symmetric 50 %)" in chosen
