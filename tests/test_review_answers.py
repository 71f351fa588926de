from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reviews import CLASSES, review_of_images

from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.diagnosis.verified_labels import read_verified_labels
from dilution.errors import InputError
from dilution.review.answers import (
    COLUMNS,
    FILE_NAME,
    UNSURE,
    WRONG,
    AnswerFile,
    count_verdicts,
    read_answers,
)
from dilution.utils.output_folder import claim

ITEMS, EXAMPLES = review_of_images()


def answer_file(folder: Path) -> AnswerFile:
    return AnswerFile(folder / FILE_NAME, ITEMS, EXAMPLES)


def read_table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / FILE_NAME, dtype=str, keep_default_na=False)


def test_every_answer_is_a_row_that_diagnose_takes(tmp_path):
    answer_file(tmp_path).record([(0, 1), (1, 1), (2, UNSURE), (3, WRONG)])
    table = read_table(tmp_path)
    assert tuple(table.columns) == COLUMNS
    assert table["verdict"].tolist() == ["wrong", "correct", "unsure", "wrong"]
    assert table["verified_label"].tolist() == ["dog", "dog", "", ""]
    classes, notes = read_verified_labels(tmp_path / FILE_NAME, EXAMPLES)
    assert classes[:4].tolist() == [1, 1, -1, WRONG_CLASS_UNKNOWN]
    assert notes == ("1 label is wrong by the column 'verdict', which names no other class",)


@settings(max_examples=8, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.one_of(st.none(), st.integers(WRONG, len(CLASSES) - 1))),
        max_size=6,
    )
)
def test_a_review_resumes_with_the_last_answer_to_each_example(tmp_path_factory, answers):
    folder = tmp_path_factory.mktemp("review")
    file = answer_file(folder)
    for answer in answers:
        file.record([answer])
    expected = {item: answer for item, answer in dict(answers).items() if answer is not None}
    assert answer_file(folder).answers() == file.answers() == expected


def test_rows_of_other_examples_and_columns_of_a_person_stay(tmp_path):
    (tmp_path / FILE_NAME).write_text("id;verified_label;by\n11;owl;Ann\n0;dog;Bo\n")
    items = review_of_images()[0]
    file = AnswerFile(tmp_path / FILE_NAME, items, EXAMPLES)
    assert file.answers() == {11: 2, 0: 1}
    warning = file.record([(0, 0)])
    table = read_table(tmp_path)
    assert table[["id", "verified_label", "by"]].values.tolist() == [["11", "owl", "Ann"], ["0", "cat", "Bo"]]
    assert "written or changed by another program" in warning
    assert (tmp_path / "verified_labels.1.csv").read_text() == "id;verified_label;by\n11;owl;Ann\n0;dog;Bo\n"
    file.record([(0, None)])
    assert read_table(tmp_path)["verified_label"].tolist() == ["owl", ""]  # Bo's cell is a person's work


def test_what_another_program_writes_meanwhile_is_read_again_and_kept(tmp_path):
    file = answer_file(tmp_path)
    assert file.record([(0, 1)]) == ""
    edited = (tmp_path / FILE_NAME).read_text().replace("dog", "owl", 1)
    (tmp_path / FILE_NAME).write_text(edited)
    assert "verified_labels.1.csv" in file.record([(1, 0)])
    assert read_table(tmp_path)["verified_label"].tolist() == ["owl", "cat"]
    assert (tmp_path / "verified_labels.1.csv").read_text() == edited
    assert file.record([(2, 0)]) == ""


def test_a_file_that_is_none_of_verified_labels_is_refused_and_unchanged(tmp_path):
    file = answer_file(tmp_path)
    file.record([(0, 1)])
    (tmp_path / FILE_NAME).write_text("name,text\na,b\n")
    with pytest.raises(InputError, match="lacks"):
        file.record([(1, 1)])
    assert (tmp_path / FILE_NAME).read_text() == "name,text\na,b\n"
    with pytest.raises(InputError, match="lacks"):
        answer_file(tmp_path)


def test_labels_of_unknown_examples_are_refused(tmp_path):
    (tmp_path / FILE_NAME).write_text("id,verified_label\n99,owl\n")
    with pytest.raises(InputError, match="no example"):
        answer_file(tmp_path)


def test_formulas_in_names_are_neutralised_and_read_back(tmp_path):
    items, examples = review_of_images(classes=("=1+1", "-b", "<i>"))
    file = AnswerFile(tmp_path / FILE_NAME, items, examples)
    file.record([(0, 1), (1, 1)])
    assert "'-b" in (tmp_path / FILE_NAME).read_text()
    table, _ = read_answers(tmp_path / FILE_NAME, examples)
    assert table.answers(items) == {0: 1, 1: 1}


def test_no_other_command_replaces_the_answers(tmp_path):
    answer_file(tmp_path).record([(0, 1)])
    with pytest.raises(InputError, match=r"verified_labels.csv of `dilution review`"):
        claim(tmp_path, [FILE_NAME], command="predict")


def test_verdicts_are_counted():
    assert count_verdicts(ITEMS, {0: 0, 1: 2, 2: UNSURE, 3: 1}) == {"correct": 1, "wrong": 2, "unsure": 1}


def test_verified_labels_of_the_diagnosis_are_in_the_file_with_the_first_answer(tmp_path):
    issues = pd.DataFrame(
        {
            "id": ["9", "10", "11", "99"],
            "given_label": [CLASSES[0]] * 4,
            "suggested_label": [CLASSES[1]] * 4,
            "p_wrong": [1.0, 0.0, 1.0, 0.7],
            "state": ["verified wrong", "verified correct", "verified wrong", "verified wrong"],
            "verified_label": [CLASSES[1], CLASSES[0], "", ""],
        }
    )
    file = AnswerFile(tmp_path / FILE_NAME, ITEMS, EXAMPLES, issues)
    assert file.notes == (
        "verified_labels.csv will have 3 verified labels of the diagnosis too",
        "1 verified label is left out: the diagnosis has ids of no example here",
    )
    file.record([(0, 1)])
    table = read_table(tmp_path)
    assert table["id"].tolist() == ["9", "10", "11", "0"]
    assert table["verified_label"].tolist() == [CLASSES[1], CLASSES[0], "", CLASSES[1]]
    assert table["verdict"].tolist() == ["wrong", "correct", "wrong", "wrong"]
    again = AnswerFile(tmp_path / FILE_NAME, ITEMS, EXAMPLES, issues)
    assert again.notes == ("1 label is wrong by the column 'verdict', which names no other class",)
