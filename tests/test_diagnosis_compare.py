"""Two diagnoses compared: the interval of the difference, classes, and what cannot be compared."""

import json
from dataclasses import replace

import numpy as np
import pytest
from commands import dilution, refused, succeeded
from reviewed_tables import CLASSES, diagnose_table, noisy_frame, noisy_rows
from scipy.stats import binomtest

from dilution import compare_diagnoses
from dilution.diagnosis.compare import subtract
from dilution.errors import DataError, InputError
from dilution.report.json_file import write_json
from dilution.utils.estimate import Estimate


def diagnosed(noise_rate, seed, name):
    pred_probs, labels, _ = noisy_rows(1500, noise_rate, seed)
    return diagnose_table(noisy_frame(labels), pred_probs, name=name)


@pytest.fixture(scope="module")
def pair():
    return diagnosed(0.1, 1, "may.csv#label"), diagnosed(0.3, 2, "june.csv#label")


def test_a_noisier_delivery_is_named_with_the_difference_and_its_interval(pair):
    comparison = compare_diagnoses(*pair)
    assert comparison.verdict == "noisier"
    assert comparison.answer.startswith("june.csv is noisier than may.csv: the noise rate went from ")
    assert 0 < comparison.difference.low < comparison.difference.value < comparison.difference.high
    assert comparison.difference.value == pair[1].noise_rate.value - pair[0].noise_rate.value
    back = compare_diagnoses(*reversed(pair))
    assert back.verdict == "less noisy"
    assert back.difference.low == pytest.approx(-comparison.difference.high)
    assert repr(comparison) == f"Comparison: {comparison.answer}"


def test_the_interval_holds_the_true_difference_as_often_as_the_intervals_hold_the_rates():
    draw = np.random.default_rng(0)
    inside = 0
    for _ in range(400):
        rates = [
            Estimate(share.statistic, *share.proportion_ci(0.95, method="wilson"))
            for share in (binomtest(int(draw.binomial(300, rate)), 300) for rate in (0.1, 0.15))
        ]
        difference = subtract(rates[1], rates[0])
        inside += difference.low <= 0.05 <= difference.high
    assert 0.92 < inside / 400 < 0.98


def test_the_interval_of_a_difference_follows_from_both_intervals():
    difference = subtract(Estimate(0.3, 0.26, 0.35), Estimate(0.1, 0.07, 0.13))
    assert difference.value == pytest.approx(0.2)
    assert difference.low == pytest.approx(0.2 - np.hypot(0.04, 0.03))
    assert difference.high == pytest.approx(0.2 + np.hypot(0.05, 0.03))
    assert subtract(Estimate(0.9, 0.0, 1.0), Estimate(0.2, 0.0, 1.0), 9).low == -1
    assert subtract(Estimate(0.9, 0.0, 1.0), Estimate(0.2, 0.0, 1.0), 9).high == 1


def test_intervals_of_classes_hold_for_all_classes_at_once(pair):
    comparison = compare_diagnoses(*pair)
    table = comparison.per_class
    assert list(table["class"]) == list(CLASSES)
    for row, (_, one), (_, two) in zip(
        table.to_dict("records"), pair[0].per_class.iterrows(), pair[1].per_class.iterrows(), strict=True
    ):
        alone = subtract(
            *(Estimate(rates["noise_rate"], rates["low"], rates["high"]) for rates in (two, one))
        )
        assert row["difference"] == pytest.approx(alone.value)
        assert row["low"] < alone.low
        assert row["high"] > alone.high
        assert (row["verdict"] == "noisier") == (row["low"] > 0)
    assert comparison.details[0].startswith("Classes that are noisier: ")
    same = compare_diagnoses(pair[0], pair[0])
    assert same.details == ["No class differs by more than chance allows among so many classes."]
    assert any("Both may be of the same examples" in caveat for caveat in same.caveats)


def test_upper_bounds_and_other_models_are_caveats(pair):
    few = replace(pair[0], labels=pair[0].labels[:90])
    assert any("upper bound" in caveat for caveat in compare_diagnoses(few, pair[1]).caveats)
    other = replace(pair[1], cross_validation=replace(pair[1].cross_validation, model="conv2"))
    assert any("mlp2 and conv2" in caveat for caveat in compare_diagnoses(pair[0], other).caveats)
    assert compare_diagnoses(*pair).caveats == ()


def test_what_cannot_be_compared_is_refused_in_a_sentence(pair, tmp_path):
    renamed = replace(pair[1], classes=("ant", "bee", "dog"))
    with pytest.raises(InputError, match=r"has 1 class that june.csv lacks, the first is 'cat'"):
        compare_diagnoses(pair[0], renamed)
    with pytest.raises(InputError, match=r"june.csv has no estimate"):
        compare_diagnoses(pair[0], replace(pair[1], learned=False))
    with pytest.raises(InputError, match=r"hold with 0.95, those of june.csv with 0.9"):
        compare_diagnoses(pair[0], {**pair[1].to_dict(), "level": 0.9})
    with pytest.raises(InputError, match=r"not that of diagnosis\.json"):
        compare_diagnoses(pair[0], {})
    path = tmp_path / "diagnosis.json"
    for content in (
        "{",
        "[]",
        json.dumps({**pair[0].to_dict(), "schema_version": 2}),
        "[" * 100_000,
        "\ufffe",
    ):
        path.write_text(content)
        with pytest.raises(DataError, match=r"is no diagnosis.json of this version"):
            compare_diagnoses(path, pair[1])
    with pytest.raises(DataError, match=r"cannot be read \(No such file"):
        compare_diagnoses(tmp_path / "nothing.json", pair[1])


def test_the_command_compares_folders_and_files_and_fails_on_noisier_labels_alone(pair, tmp_path):
    for name, diagnosis in zip(("may", "june"), pair, strict=True):
        write_json(tmp_path / name / "diagnosis.json", diagnosis.to_dict())
    shown = succeeded(dilution("compare", "may", "june/diagnosis.json", "--out", "both", cwd=tmp_path))
    comparison = compare_diagnoses(*pair)
    assert shown.splitlines()[:2] == [comparison.answer, comparison.details[0]]
    content = json.loads((tmp_path / "both" / "compare.json").read_text("utf-8"))
    assert content == json.loads(json.dumps(comparison.to_dict()))
    assert (tmp_path / "both" / "compare_per_class.csv").read_text("utf-8").count("\n") == 1 + len(CLASSES)
    result = dilution("compare", "may", "june", "--fail-if-noisier", "--out", "both", cwd=tmp_path)
    assert result.exit_code == 1
    assert result.stdout == shown
    for before, after in (("june", "may"), ("may", "may")):
        succeeded(dilution("compare", before, after, "--fail-if-noisier", cwd=tmp_path))
    (tmp_path / "both" / "compare.json").write_text("mine")
    refused(dilution("compare", "may", "june", "--out", "both", cwd=tmp_path), "compare.json", "--overwrite")
    refused(dilution("compare", "may", "nothing", cwd=tmp_path), "nothing cannot be read")
