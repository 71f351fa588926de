"""Each value of a setting against one of them, with corrected p-values."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

import dilution
from dilution.errors import InputError
from dilution.study.differences import compared_setting, holm

P = st.lists(st.floats(0, 1), max_size=8).map(np.array)


def runs(accuracies, **columns):
    rows = [
        {"loss": loss, "seed": seed, "state": "done", "test_acc_last": accuracy, **columns}
        for loss, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]
    return pd.DataFrame(rows)


TABLE = runs(
    {
        "cross_entropy": [0.50, 0.61, 0.70],
        "gce": [0.62, 0.71, 0.83],
        "mae": [0.51, 0.58, 0.74],
    }
)


def test_each_row_is_the_comparison_with_the_reference():
    table = dilution.differences(TABLE)
    assert table["loss"].tolist() == ["gce", "mae"]
    assert set(table["against"]) == {"cross_entropy"}
    for row in table.to_dict("records"):
        compared = dilution.compare(TABLE, {"loss": row["loss"]}, {"loss": "cross_entropy"})
        assert (row["mean"], row["p"]) == (compared.difference.value, compared.p)
        assert (row["low"], row["high"]) == (compared.difference.low, compared.difference.high)
    np.testing.assert_array_equal(table["p_holm"], holm(table["p"].to_numpy()))


def test_p_values_are_corrected_as_in_the_example_of_holm():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


@given(P)
def test_corrected_p_values_lie_between_p_and_bonferroni_and_keep_their_order(p):
    corrected = holm(p)
    assert np.all(corrected >= p)
    assert np.all(corrected <= np.minimum(1, len(p) * p) + 1e-12)
    order = np.argsort(p, kind="stable")
    assert np.all(np.diff(corrected[order]) >= 0)


@given(P)
def test_missing_p_values_stay_missing_and_do_not_count(p):
    np.testing.assert_array_equal(holm(np.append(p, np.nan)), np.append(holm(p), np.nan))


def test_equal_differences_count_in_the_correction():
    equal = runs({"sce": [0.50, 0.61, 0.70], "elr": [0.60, 0.71, 0.80]})
    table = pd.concat([TABLE, equal], ignore_index=True)
    rows = dilution.differences(table.assign(n_test=10**6)).set_index("loss")
    assert rows["p"]["sce"] == 1
    assert 0 < rows["p"]["elr"] < 1e-6
    assert rows["p_holm"]["elr"] == pytest.approx(4 * rows["p"]["elr"])
    assert rows["p_holm"]["gce"] == pytest.approx(3 * rows["p"]["gce"])
    unrounded = dilution.differences(table).set_index("loss")  # nothing says how equal differences scatter
    assert np.isnan(unrounded["p"]["elr"])
    assert unrounded["p_holm"]["gce"] == pytest.approx(3 * rows["p"]["gce"])


def test_with_the_correction_values_without_differences_rarely_have_a_significant_one():
    # p of `differences` is that of a paired t test, and p_holm is its `holm`: see the tests above
    rng = np.random.default_rng(0)
    accuracies = (
        0.5 + rng.normal(0, 0.1, (1000, 4, 1)) + rng.normal(0, 0.01, (1000, 4, 5))
    )  # 4 seeds, 5 values
    p = stats.ttest_rel(accuracies[:, :, 1:], accuracies[:, :, :1], axis=1).pvalue
    significant = [(holm(values) < 0.05).any() for values in p]
    assert np.mean(significant) <= 0.072  # 0.1 % of simulations with a rate of 0.05 are above


def test_other_settings_give_rows_of_their_own():
    table = pd.concat([TABLE.assign(alpha=1.0), TABLE.assign(alpha=5.0)], ignore_index=True)
    differences = dilution.differences(table)
    assert differences[["alpha", "loss"]].to_numpy().tolist() == [
        [1.0, "gce"],
        [1.0, "mae"],
        [5.0, "gce"],
        [5.0, "mae"],
    ]


def test_the_reference_is_the_default_the_first_value_or_the_one_that_is_named():
    reordered = TABLE.sort_values("loss", ascending=False)
    assert set(dilution.differences(reordered)["against"]) == {"cross_entropy"}
    others = TABLE[TABLE["loss"] != "cross_entropy"]
    assert set(dilution.differences(others)["against"]) == {"gce"}
    assert set(dilution.differences(TABLE, reference="mae")["against"]) == {"mae"}
    assert set(dilution.differences(TABLE, reference="gce(q=0.70)")["against"]) == {"gce"}
    with pytest.raises(
        InputError, match="no run has loss 'sce'; the table has 'cross_entropy', 'gce', 'mae'"
    ):
        dilution.differences(TABLE, reference="sce")


def test_runs_without_a_partner_are_counted():
    table = pd.concat(
        [TABLE, runs({"sce": [0.4]}).assign(seed=9), runs({"gce": [0.4]}).assign(seed=9)], ignore_index=True
    )
    differences = dilution.differences(table)
    assert differences["loss"].tolist() == ["gce", "mae"]
    assert differences.attrs["left_out"] == 2


def test_methods_are_compared_rather_than_noise():
    assert compared_setting(TABLE.assign(noise=["a", "b"] * 4 + ["a"])) == "loss"
    assert compared_setting(TABLE.assign(loss="gce", noise=["a", "b"] * 4 + ["a"])) == "noise"
    assert compared_setting(TABLE.assign(loss="gce", lr=range(9))) is None
    with pytest.raises(InputError, match="no named setting varies"):
        dilution.differences(TABLE.assign(loss="gce", lr=range(9)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"by": "los"}, "'los' is not a setting. Did you mean 'loss'"),
        ({"by": "model"}, "the table has no column 'model'"),
        ({"by": "seed"}, "differences are paired by seed"),
        ({"measure": "test_ac_last"}, "'test_ac_last' is not a measure"),
        ({"measure": "val_acc_clean"}, "the table has no column 'val_acc_clean'"),
    ],
)
def test_what_is_not_there_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        dilution.differences(TABLE, **arguments)


def of_remedy(table, message):
    """Return what the call in a message computes."""
    (call,) = re.findall(r"Use (dilution\.compare\(.*\))\.$", message)
    return eval(call, {"dilution": dilution, "table": table})


@pytest.mark.parametrize(
    ("table", "by", "words"),
    [
        (TABLE.assign(lr=TABLE["loss"].map(len)), "lr", "lr 13.* such runs differ in loss too"),
        (
            TABLE.assign(alpha=TABLE["loss"].map(len)),
            "loss",
            "'cross_entropy'.* such runs differ in alpha too",
        ),
        (
            TABLE.assign(early_stopping=["patience" if loss == "gce" else None for loss in TABLE["loss"]]),
            "early_stopping",
            "no run with test_acc_last has another early_stopping than 'patience'; such runs differ in loss",
        ),
    ],
)
def test_a_setting_without_a_pair_is_refused_with_a_comparison_that_names_what_differs(table, by, words):
    with pytest.raises(InputError, match=words) as refused:
        dilution.differences(table, by)
    assert len(of_remedy(table, str(refused.value)).pairs) == 3


@pytest.mark.parametrize(
    ("table", "by", "words"),
    [
        (
            TABLE[TABLE["loss"] == "gce"],
            "loss",
            "no run with test_acc_last has another loss than 'gce'. Train",
        ),
        (TABLE.iloc[:0], "loss", "no run of the table has test_acc_last"),
        (TABLE.assign(test_acc_last=math.nan), "loss", "no run of the table has test_acc_last"),
        (TABLE.assign(noise_order=None), "noise_order", "no run of the table has a value of noise_order"),
        (
            TABLE.assign(seed=range(9)),
            "loss",
            "no run has a partner with loss 'cross_entropy'.*the same seeds",
        ),
    ],
)
def test_a_table_without_two_values_to_compare_is_refused(table, by, words):
    with pytest.raises(InputError, match=words):
        dilution.differences(table, by)


def test_runs_that_differ_in_code_or_validation_are_not_mixed():
    table = pd.concat([TABLE.assign(fingerprint="a"), TABLE.assign(fingerprint="b")], ignore_index=True)
    assert dilution.differences(table, "loss")["fingerprint"].tolist() == ["a", "a", "b", "b"]
    table = pd.concat([TABLE.assign(n_val=10), TABLE.assign(n_val=20)], ignore_index=True)
    assert dilution.differences(table, "loss")["n_val"].tolist() == [10, 10, 20, 20]
    table = pd.concat([TABLE.assign(n=100, n_val=10), TABLE.assign(n=200, n_val=20)], ignore_index=True)
    assert list(dilution.differences(table).columns[:2]) == ["n", "loss"]


def test_recorded_runs_that_do_not_state_a_setting_that_varies_have_no_partner():
    own = pd.concat([TABLE.assign(n_val=10), TABLE.assign(n_val=20)]).assign(trained_by="")
    mine = TABLE[:3].assign(loss="mine", trained_by="my loop", n_val=None)
    differences = dilution.differences(pd.concat([own, mine], ignore_index=True))
    assert set(differences["loss"]) == {"gce", "mae"}
    assert differences.attrs["left_out"] == 3
