"""Verified labels from a mapping or a CSV file."""

import numpy as np
import pandas as pd
import pytest
import torch
from noisy_digits import noisy_digits

import dilution
from dilution.data import UnsplitData, open_examples
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.diagnosis.verified_labels import (
    describe_verified_copies,
    read_verified_labels,
    verified_noise_rate,
)
from dilution.errors import DataError, InputError
from dilution.utils.migration import OldNamesWarning


@pytest.fixture(scope="module")
def examples():
    return UnsplitData(noisy_digits(n=100)[0])


def test_blank_labels_are_ignored_and_further_columns_do_no_harm(tmp_path, examples):
    path = tmp_path / "label_issues.csv"
    path.write_text("index,id,verified_label,p_wrong\n7,7,3,0.9\n8,8,,0.8\n9,9, 4 ,0.7\n")
    verified, _ = read_verified_labels(path, examples)
    assert verified[7] == 3
    assert verified[9] == 4
    assert (verified >= 0).sum() == 2


def test_a_label_may_be_wrong_without_another_class(tmp_path, examples):
    path = tmp_path / "verified_labels.csv"
    path.write_text("id,verified_label,verdict\n7,3,wrong\n8,,wrong\n9,,unsure\n10,,\n")
    verified, _ = read_verified_labels(path, examples)
    assert verified[7:11].tolist() == [3, WRONG_CLASS_UNKNOWN, -1, -1]
    labels = examples.arrays.labels.numpy()
    assert verified_noise_rate(verified, labels).value == 1 - (labels[7] == 3) / 2
    path.write_text("id,verified_label,verdict\n7,3,wrong\n7,,wrong\n")
    with pytest.raises(InputError, match="said to be wrong without one"):
        read_verified_labels(path, examples)


def test_of_two_classes_a_wrong_label_names_the_other_one(tmp_path):
    frame = pd.DataFrame({"heat": np.arange(12.0), "label": ["held", "failed"] * 6})
    two = open_examples(frame)
    path = tmp_path / "verified_labels.csv"
    path.write_text("id,verified_label,verdict\n0,,wrong\n1,,wrong\n2,held,\n3,,unsure\n")
    verified, notes = read_verified_labels(path, two)
    names = [two.arrays.classes[number] if number >= 0 else "" for number in verified[:4]]
    assert names == ["failed", "held", "held", ""]
    assert any("the other one of the two classes is right" in note for note in notes)


def test_a_file_of_version_0_1_is_read_and_says_so(tmp_path, examples):
    path = tmp_path / "checked.csv"
    path.write_text("row,label,suggested,wrong,sure,right\n7,1,3,0.9,0.9,3\n8,1,2,0.9,0.9,\n")
    with pytest.warns(OldNamesWarning, match="right is now verified_label, row is now id"):
        verified, _ = read_verified_labels(path, examples)
    assert verified[7] == 3
    assert (verified >= 0).sum() == 1


@pytest.mark.parametrize(("verified", "message"), [({"4000": "1"}, "'4000'"), ({"1": "horse"}, "horse")])
def test_an_unknown_id_or_class_is_named(examples, verified, message):
    with pytest.raises(InputError, match=message):
        read_verified_labels(verified, examples)


def test_a_file_without_the_column_is_refused_with_the_remedy(tmp_path, examples):
    (tmp_path / "verified.csv").write_text("id,label\n1,2\n")
    with pytest.raises(InputError, match=r"lacks 'verified_label'.*Add a column verified_label"):
        read_verified_labels(tmp_path / "verified.csv", examples)


def test_a_missing_file_is_refused(tmp_path, examples):
    with pytest.raises(DataError, match="cannot be read"):
        read_verified_labels(tmp_path / "missing.csv", examples)


WRITTEN = [
    ("id,verified_label\n7,3.0\n8,\n", "1.0 beside a gap, as pandas writes it"),
    ("id;verified_label\n7;3,0\n8;\n", "semicolons and decimal commas"),
    ("sep=;\nid;verified_label\n7;3\n", "a line that names the separator"),
    ("\ufeffid\tverified_label\n7\t3\n", "a byte order mark and tabs"),
    ("id,verified_label\n7.0, 3\n", "ids and labels with blanks and fractions"),
    ('"id","verified_label"\n"7","3"\n', "quotes"),
    ("id,verified_label\n7,3\n7,3.0\n", "the same answer twice"),
]


@pytest.mark.parametrize("text", [text for text, _ in WRITTEN], ids=[name for _, name in WRITTEN])
def test_a_file_of_verified_labels_may_be_written_as_tables_are(tmp_path, examples, text):
    path = tmp_path / "verified.csv"
    path.write_text(text, "utf-8")
    verified, notes = read_verified_labels(path, examples)
    assert verified[7] == 3
    assert (verified >= 0).sum() == 1
    assert bool(notes) == any(spelling in text for spelling in ("3.0", "3,0", ", 3"))


def test_conversions_and_repeated_answers_are_in_the_notes(tmp_path, examples):
    path = tmp_path / "verified.csv"
    path.write_text("id,verified_label\n7,3.0\n8,2.0\n9,1\n9,1\n")
    assert read_verified_labels(path, examples)[1] == (
        "2 verified labels are spelled unlike the class, the first is '3.0' for '3'",
        "1 verified label occurs again with the same class, the first of '9'",
    )


def test_an_example_with_two_verified_labels_is_refused_with_both_rows(tmp_path, examples):
    path = tmp_path / "verified.csv"
    path.write_text("id,verified_label\n7,3\n8,1\n7,4\n")
    with pytest.raises(InputError, match=r"'7' has two verified labels, '3' \(row 2\) and '4' \(row 4\)"):
        read_verified_labels(path, examples)
    with pytest.raises(InputError, match="two verified labels"):
        read_verified_labels({7: 3, "7": 4}, examples)


def test_values_of_a_mapping_may_be_numbers_or_missing(examples):
    verified, _ = read_verified_labels({7: 3, "8": 2.0, 9: None, 10: float("nan"), 11: ""}, examples)
    assert [(index, verified[index]) for index in np.flatnonzero(verified >= 0)] == [(7, 3), (8, 2)]


def test_verified_labels_are_found_by_the_text_of_names_and_ids(tmp_path):
    images = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    classes = ("007", "7", "=sum", "True", "caf\u00e9")
    names = ("-a.png", "caf\u00e9.png", "c.png")
    data = UnsplitData(dilution.Arrays(images, torch.tensor([0, 1, 2]), classes), names)
    path = tmp_path / "verified.csv"
    for text, number in (("007", 0), ("7", 1), ("'=sum", 2), ("TRUE", 3), ("cafe\u0301 ", 4)):
        path.write_text(f"id,verified_label\n'-a.png,{text}\ncafe\u0301.png,{text}\n", "utf-8")
        assert read_verified_labels(path, data)[0].tolist() == [number, number, -1]
    path.write_text("id,verified_label\nc.png,07\n")
    with pytest.raises(InputError, match="'07' is not a class"):
        read_verified_labels(path, data)


def test_a_label_without_an_id_and_a_damaged_file_are_refused(tmp_path, examples):
    path = tmp_path / "verified.csv"
    path.write_text("id,verified_label\n,3\n")
    with pytest.raises(InputError, match="row 2 has a verified label and no id"):
        read_verified_labels(path, examples)
    path.write_bytes(b"id,verified_label,by\n7,3,Andr\xe9\n")
    with pytest.raises(DataError, match="encoding=cp1252"):
        read_verified_labels(path, examples)
    assert read_verified_labels(f"{path}#encoding=cp1252", examples)[0][7] == 3


@pytest.mark.parametrize("row", ["99999,3", "8,horse", "8,", ",3", "8,4"])
def test_errors_name_the_file_and_the_row(tmp_path, examples, row):
    path = tmp_path / "verified.csv"
    path.write_text(f"id,verified_label\n7,3\n8,5\n{row}\n")
    if row == "8,":
        assert read_verified_labels(path, examples)[0][8] == 5
        return
    with pytest.raises(InputError, match=r"verified\.csv: .*row 4"):
        read_verified_labels(path, examples)
    name, label = row.split(",")
    if name:
        with pytest.raises(InputError, match=f"id '{name}'"):
            read_verified_labels({"7": 3, 8: 5, name: label}, examples)


def test_the_verified_noise_rate_has_wilsons_interval():
    labels = np.arange(300) % 3
    verified = np.where(np.arange(300) < 100, labels, -1)
    verified[:50] = (verified[:50] + 1) % 3
    rate = verified_noise_rate(verified, labels)
    assert rate.value == 0.5
    assert (rate.low, rate.high) == pytest.approx((0.4038, 0.5962), abs=1e-3)  # Wilson, 50 of 100
    assert np.isnan(verified_noise_rate(np.full(3, -1), labels[:3]).value)


@pytest.mark.parametrize("in_group", ["label", "chance"])
def test_verified_labels_of_groups_cover_their_noise_rate(in_group):
    """Labels of 40 examples, five copies each: copied with the example, or wrong with a rate of its own."""
    random, rate, covered, draws = np.random.default_rng(0), 0.26, 0, 1000
    groups = np.repeat(np.arange(40), 5)
    for _ in range(draws):
        chance = random.random(40) < rate if in_group == "label" else random.beta(1.3, 3.7, 40)
        wrong = random.random(200) < np.repeat(chance, 5)
        estimate = verified_noise_rate(np.zeros(200, dtype=np.int64), wrong.astype(np.int64), groups)
        covered += estimate.low <= rate <= estimate.high
    assert covered / draws == pytest.approx(0.95, abs=0.025)


def test_verified_labels_of_different_groups_have_the_interval_of_labels_alone():
    labels, verified = np.arange(40) % 3, np.full(40, -1)
    verified[::2] = 0
    groups = np.arange(40) // 2
    assert verified_noise_rate(verified, labels, groups) == verified_noise_rate(verified, labels)


def test_copies_with_two_verified_classes_or_without_a_verified_label_are_in_the_notes(examples):
    copies = np.arange(100)
    copies[[10, 20, 30]] = 10
    copies[[40, 50]] = 40
    verified = np.full(100, -1)
    verified[7] = 1
    assert describe_verified_copies(verified, copies, examples) == ()
    verified[[10, 20, 40]] = 3, 4, 2
    assert describe_verified_copies(verified, copies, examples) == (
        "1 example has copies with verified labels of different classes, the first is '10' of class '3', "
        "whose copy '20' is of class '4'",
        "3 verified examples have copies without a verified label, the first is '10' with the copy '30'; a "
        "verified label counts for its own example only",
    )
    verified[[30, 50]] = 3, 2
    assert len(describe_verified_copies(verified, copies, examples)) == 1
    verified[20] = 3
    assert describe_verified_copies(verified, copies, examples) == ()


@pytest.mark.trains
def test_a_diagnosis_counts_verified_copies_once_and_notes_them():
    arrays = noisy_digits(n=60)[0]
    rows = torch.arange(60).repeat_interleave(3)
    data = dilution.Arrays(arrays.images[rows], arrays.labels[rows], arrays.classes)
    verified = {str(row): str(int(data.labels[row])) for row in range(0, 60) if row != 5}
    diagnosis = dilution.diagnose(
        data, verified_labels=verified, model="perceptron", repeats=1, n_bootstrap=2,
        execution=dilution.Execution(workers=0, progress=False),
    )  # fmt: skip
    assert (diagnosis.n_verified, diagnosis.n_verified_groups) == (59, 20)
    assert diagnosis.to_dict()["n_verified_groups"] == 20
    assert diagnosis.verified_noise_rate.high > 0.15  # 0 of 20, not of 59: there 0.06
    assert any(note.startswith("2 verified examples have copies without") for note in diagnosis.notes)
