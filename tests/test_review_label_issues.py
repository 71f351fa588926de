import json

import pandas as pd
import pytest
from reviews import CLASSES, examples_of_images, label_issues, write_diagnosis, write_table

from dilution.data import UnsplitData
from dilution.errors import DataError, InputError
from dilution.review.items import collect_items
from dilution.review.label_issues import choose_issues, match_issues, read_diagnosis

EXAMPLES = examples_of_images(60)
ISSUES = label_issues(EXAMPLES)


def test_a_diagnosis_on_disk_is_read_with_names_as_they_were(tmp_path):
    examples = examples_of_images(classes=("=1+1", "NA", "<b>"))
    write_diagnosis(tmp_path, "some.csv#label", label_issues(examples))
    diagnosis = read_diagnosis(tmp_path)
    assert diagnosis.name == "some.csv#label"
    assert set(diagnosis.label_issues["given_label"]) == {"=1+1", "NA", "<b>"}
    assert match_issues(diagnosis.label_issues, examples).tolist() == list(range(12))


def test_a_folder_without_a_diagnosis_is_named(tmp_path):
    with pytest.raises(DataError, match=r"has no label_issues\.csv"):
        read_diagnosis(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"name": 3}'])
def test_a_damaged_diagnosis_is_named(tmp_path, content):
    write_diagnosis(tmp_path, "x", ISSUES)
    (tmp_path / "diagnosis.json").write_text(content)
    with pytest.raises(DataError, match="Diagnose the labels again"):
        read_diagnosis(tmp_path)


def test_a_damaged_table_is_named(tmp_path):
    write_diagnosis(tmp_path, "x", ISSUES.assign(p_wrong="often"))
    with pytest.raises(DataError, match="p_wrong 'often' in row 2"):
        read_diagnosis(tmp_path)
    write_diagnosis(tmp_path, "x", ISSUES.drop(columns="suggested_label"))
    with pytest.raises(DataError, match="lacks suggested_label"):
        read_diagnosis(tmp_path)


def test_a_diagnosis_that_learned_nothing_has_nothing_to_review(tmp_path):
    write_diagnosis(tmp_path, "x", ISSUES[:0])
    with pytest.raises(InputError, match="no model learned anything"):
        read_diagnosis(tmp_path)


def test_all_issues_are_reviewed_and_at_least_twenty():
    assert len(choose_issues(ISSUES)) == 60
    few = ISSUES.assign(is_issue=[k < 3 for k in range(60)])
    assert choose_issues(few)["id"].tolist() == [str(k) for k in range(20)]
    assert len(choose_issues(few, n=2)) == 2
    texts = few.assign(is_issue=few["is_issue"].map({True: "True", False: "False"}))
    assert len(choose_issues(texts)) == 20


def test_verified_labels_are_not_reviewed_again():
    states = ["verified wrong" if k % 2 else "" for k in range(60)]
    assert choose_issues(ISSUES.assign(state=states), n=5)["id"].tolist() == ["0", "2", "4", "6", "8"]
    with pytest.raises(InputError, match="all labels are verified"):
        collect_items(ISSUES.assign(state="verified correct"), EXAMPLES)


def test_further_examples_are_drawn_from_the_others():
    chosen = choose_issues(ISSUES, n=10, n_random=15, seed=3)
    assert len(set(chosen["id"])) == 25
    assert chosen["id"].tolist()[:10] == [str(k) for k in range(10)]
    pd.testing.assert_frame_equal(chosen, choose_issues(ISSUES, n=10, n_random=15, seed=3))
    assert not chosen.equals(choose_issues(ISSUES, n=10, n_random=15, seed=4))
    assert len(choose_issues(ISSUES, n=10, n_random=500)) == 60


def test_other_data_than_those_diagnosed_are_refused():
    with pytest.raises(InputError, match="'59' is among the label issues and no example"):
        match_issues(ISSUES, examples_of_images(59))
    other = UnsplitData(EXAMPLES.arrays, tuple(f"row {k}" for k in range(60)))
    with pytest.raises(InputError, match="ids are those"):
        match_issues(ISSUES, other)
    changed = ISSUES.assign(given_label=CLASSES[2])
    with pytest.raises(InputError, match="the label of '0' is 'owl' in the label issues and 'cat'"):
        match_issues(changed, EXAMPLES)


def test_data_in_memory_are_reviewed_as_diagnose_takes_them(tmp_path):
    examples = write_table(tmp_path / "t.csv")
    frame = pd.read_csv(tmp_path / "t.csv", dtype=str)
    issues = label_issues(examples)
    from_file, _ = collect_items(issues, f"{tmp_path / 't.csv'}#species")
    from_frame, _ = collect_items(
        issues.assign(id=[str(k) for k in range(12)]), frame.astype({"weight": float}), label="species"
    )
    assert from_file.ids[0] == "row 2"
    assert from_frame.ids[0] == "0"
    assert from_file.contents.columns == from_frame.contents.columns == ("weight", "comment")
    assert from_file.contents.cells[1] == ("1.50", "=1+1")
    assert json.dumps(from_frame.contents.cells[1]) == '["1.5", "=1+1"]'
