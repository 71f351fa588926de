"""Label issues: states, weights, the rule of an issue, and the reviewer's own columns."""

import numpy as np
import pandas as pd
import pytest
from reviewed_tables import CLASSES, N, diagnose_table, noisy_frame, noisy_rows

from dilution.diagnosis.file_names import FILES
from dilution.diagnosis.issues_file import claim_folder, issue_rows, write_issues
from dilution.diagnosis.label_issues import unverified_issues
from dilution.diagnosis.page import write_diagnosis
from dilution.errors import InputError

PRED_PROBS, LABELS, TRUE = noisy_rows()
WRONG = LABELS != TRUE


@pytest.fixture(scope="module")
def frame():
    return noisy_frame(LABELS)


@pytest.fixture(scope="module")
def diagnosis(frame):
    return diagnose_table(frame, PRED_PROBS)


def write(diagnosis, folder, columns=()):
    """Write label issues as ``write_diagnosis`` does, without the other files."""
    write_issues(diagnosis, issue_rows(diagnosis, columns), folder)


def write_and_read(diagnosis, folder, columns=()):
    write(diagnosis, folder, columns)
    return pd.read_csv(folder / "label_issues.csv", dtype=str, keep_default_na=False)


def test_an_issue_is_probably_wrong_and_another_class_is_suggested(diagnosis):
    issues = diagnosis.label_issues
    expected = (issues["p_wrong"] > 0.5) & (issues["suggested_label"] != issues["given_label"])
    assert (issues["is_issue"] == expected).all()
    assert issues["is_issue"].any()
    np.testing.assert_allclose(issues["weight"], 1 - issues["p_wrong"])
    assert issues["weight"].between(0, 1).all()


@pytest.mark.parametrize("noise_rate", [0.1, 0.3])
def test_about_as_many_issues_are_wrong_as_their_probabilities_say(noise_rate):
    pred_probs, labels, true = noisy_rows(n=4000, noise_rate=noise_rate, seed=3)
    issues = diagnose_table(noisy_frame(labels), pred_probs).label_issues
    issues = issues[issues["is_issue"]]
    wrong = (labels != true)[issues["index"]]
    assert wrong.mean() > 0.8
    assert wrong.mean() == pytest.approx(issues["p_wrong"].mean(), abs=0.06)


def test_positions_count_rows_without_a_label(frame):
    with_gaps = frame.copy()
    with_gaps.loc[[0, 5, 6], "label"] = None
    kept = with_gaps["label"].notna().to_numpy()
    diagnosis = diagnose_table(with_gaps, PRED_PROBS[kept])
    issues = diagnosis.label_issues.set_index("index")
    assert sorted(issues.index) == list(np.flatnonzero(kept))
    assert (issues["given_label"] == frame["label"].loc[issues.index]).all()


def test_verified_labels_are_certain_and_follow_all_others(frame):
    verified = {str(row): CLASSES[TRUE[row]] for row in range(0, N, 12)}
    diagnosis = diagnose_table(frame, PRED_PROBS, verified=verified)
    issues = diagnosis.label_issues
    known = issues[issues["state"] != ""]
    assert len(known) == len(verified)
    assert known.index.tolist() == list(range(N - len(verified), N))
    wrong = WRONG[known["index"]]
    assert (known["state"] == np.where(wrong, "verified wrong", "verified correct")).all()
    assert (known["p_wrong"] == wrong).all()
    assert (known["weight"] == ~wrong).all()
    assert (known["p_suggested"] == 1).all()
    assert (known["suggested_label"] == known["verified_label"]).all()
    assert (known["verified_label"] == np.array(CLASSES)[TRUE[known["index"]]]).all()
    others = issues[issues["state"] == ""]
    assert others["p_wrong"].is_monotonic_decreasing
    assert (others["verified_label"] == "").all()
    assert not set(unverified_issues(issues)["index"]) & set(known["index"])
    n_wrong = int(wrong.sum())
    assert f"Of {len(known)} labels that were looked up, {n_wrong} were wrong; " in " ".join(
        diagnosis.details
    )


def test_the_page_lists_no_verified_label_again(frame, tmp_path):
    frame = frame.set_axis([f"id-{row}" for row in range(N)])
    first = diagnose_table(frame, PRED_PROBS).label_issues.head(3)
    verified = {name: CLASSES[TRUE[row]] for name, row in zip(first["id"], first["index"], strict=True)}
    diagnosis = diagnose_table(frame, PRED_PROBS, verified=verified)
    write_diagnosis(diagnosis, tmp_path, "dilution diagnose")
    page = (tmp_path / "index.html").read_text("utf-8")
    assert not any(f">{name}<" in page for name in first["id"])
    assert f">{diagnosis.label_issues['id'][0]}<" in page
    assert "Of 3 labels that were looked up, " in page


def review(issues, texts):
    """Return label issues as a reviewer leaves them: some labels verified, and a column of comments."""
    edited = issues.copy()
    edited["comment of Ann"] = ""
    for row, text in texts.items():
        edited.loc[row, "comment of Ann"] = text
        edited.loc[row, "verified_label"] = CLASSES[TRUE[int(edited["index"][row])]]
    return edited


def test_a_reviewed_file_is_replaced_only_with_all_columns_of_the_reviewer(frame, diagnosis, tmp_path):
    claim_folder(tmp_path, FILES, None)
    issues = write_and_read(diagnosis, tmp_path)
    path, texts = tmp_path / "label_issues.csv", {0: "blurred", 4: "=2+2", 7: 'caffè; "sic"\nsecond line'}
    review(issues, texts).to_csv(path, index=False)
    edited = path.read_bytes()
    with pytest.raises(InputError, match=r"Add --verified .*label_issues.csv"):
        claim_folder(tmp_path, FILES, None)
    with pytest.raises(InputError, match=r"label_issues.csv"):
        write(diagnosis, tmp_path)
    assert path.read_bytes() == edited

    claim_folder(tmp_path, FILES, path)
    again = write_and_read(diagnose_table(frame, PRED_PROBS, verified=path), tmp_path)
    by_index = again.set_index("index")["comment of Ann"]
    for row, text in texts.items():
        assert by_index[issues["index"][row]] == ("'" if text.startswith("=") else "") + text
    assert (again["comment of Ann"] != "").sum() == len(texts)
    assert (again["state"] != "").sum() == len(texts)
    assert (tmp_path / "label_issues.before.csv").read_bytes() == edited

    # The new file has a person's work too: it is kept in the same way, and nothing is carried over twice.
    with pytest.raises(InputError, match=r"--verified"):
        claim_folder(tmp_path, FILES, None)
    claim_folder(tmp_path, FILES, path)
    third = write_and_read(diagnose_table(frame, PRED_PROBS, verified=path), tmp_path)
    pd.testing.assert_frame_equal(third, again)


def test_verified_labels_of_another_file_leave_the_folder_ours(frame, tmp_path):
    verified = tmp_path / "answers.csv"
    verified.write_text("id,verified_label,who\n3,ant,Ann\n4,,Bob\n3,ant,Cid\n")
    diagnosis = diagnose_table(frame, PRED_PROBS, verified=verified)
    assert any("1 text is joined to another one" in note for note in diagnosis.notes)
    for _ in range(2):
        issues = write_and_read(diagnosis, tmp_path / "out").set_index("index")
        assert issues["who"][issues["who"] != ""].to_dict() == {"3": "Ann; Cid", "4": "Bob"}
        claim_folder(tmp_path / "out", FILES, verified)


def test_a_comment_on_an_unknown_id_keeps_the_file_as_it_is(frame, diagnosis, tmp_path):
    write_and_read(diagnosis, tmp_path)
    path = tmp_path / "label_issues.csv"
    edited = "id,verified_label,who\n3,ant,Ann\n9999,,Bob\n"
    path.write_text(edited)
    reviewed = diagnose_table(frame, PRED_PROBS, verified=path)
    assert any("1 id that no example has" in note and "'9999'" in note for note in reviewed.notes)
    with pytest.raises(InputError, match=r"'9999'.*stays as it is.*label_issues.new.csv"):
        write(reviewed, tmp_path)
    assert path.read_text() == edited
    assert len(pd.read_csv(tmp_path / "label_issues.new.csv")) == N


def test_a_file_that_is_edited_during_the_diagnosis_stays_and_no_result_is_lost(frame, diagnosis, tmp_path):
    write_and_read(diagnosis, tmp_path)
    path = tmp_path / "label_issues.csv"
    path.write_text("id,verified_label\n3,ant\n")
    reviewed = diagnose_table(frame, PRED_PROBS, verified=path)
    path.write_text("id,verified_label\n3,ant\n4,bee\n")
    with pytest.raises(InputError, match=r"was changed while .* label_issues.new.csv|label_issues.new.csv"):
        write(reviewed, tmp_path)
    assert path.read_text() == "id,verified_label\n3,ant\n4,bee\n"
    assert len(pd.read_csv(tmp_path / "label_issues.new.csv")) == N


def test_without_an_estimate_the_work_of_the_reviewer_stays_in_the_file(frame, tmp_path):
    verified = tmp_path / "answers.csv"
    verified.write_text("id,verified_label,who\n3,ant,Ann\n4,,Bob\n")
    shuffled = np.random.default_rng(0).permutation(PRED_PROBS)
    diagnosis = diagnose_table(frame, shuffled, verified=verified)
    assert not diagnosis.learned
    issues = write_and_read(diagnosis, tmp_path / "out").set_index("index")
    assert issues["who"].to_dict() == {"3": "Ann", "4": "Bob"}
    assert issues["p_wrong"]["4"] == issues["is_issue"]["4"] == ""
    assert issues["verified_label"]["3"] == "ant"


def test_columns_of_the_table_follow_as_text(frame, tmp_path):
    table = frame.assign(id=[f"{row:04d}" for row in range(N)])
    table.to_csv(tmp_path / "table.csv", index=False)
    data = f"{tmp_path / 'table.csv'}#drop=id,drop=comment"
    diagnosis = diagnose_table(data, PRED_PROBS)
    issues = issue_rows(diagnosis, ["id", "comment"])
    assert (issues["id (data)"] == [f"{row:04d}" for row in issues["index"]]).all()
    assert (issues["comment"] == [f"no. {row % 40}" for row in issues["index"]]).all()
    assert {"heat", "load", "label"} <= set(issue_rows(diagnosis, ["all"]))
    with pytest.raises(InputError, match=r"'heet' is not a column. Did you mean 'heat'"):
        issue_rows(diagnosis, ["heet"])


def test_columns_of_the_table_are_not_carried_over_beside_themselves_unless_edited(frame, tmp_path):
    diagnosis = diagnose_table(frame, PRED_PROBS)
    write_and_read(diagnosis, tmp_path, columns=["comment"])
    path = tmp_path / "label_issues.csv"
    again = diagnose_table(frame, PRED_PROBS, verified=path)
    assert list(issue_rows(again, ["comment"])) == list(issue_rows(diagnosis, ["comment"]))
    table = pd.read_csv(path)
    row = table["index"][0]
    table.loc[0, "comment"] = "my remark"
    table.to_csv(path, index=False)
    rows = issue_rows(diagnose_table(frame, PRED_PROBS, verified=path), ["comment"]).set_index("index")
    assert rows["comment"][row] == f"no. {row % 40}"
    assert rows["comment (edited)"][row] == "my remark"


def test_ids_of_the_user_stand_beside_the_row(frame, tmp_path):
    frame.assign(code=[f"c{row}" for row in range(N)]).to_csv(tmp_path / "table.csv", index=False)
    diagnosis = diagnose_table(f"{tmp_path / 'table.csv'}#ids=code,drop=comment", PRED_PROBS)
    issues = diagnosis.label_issues
    assert (issues["id"] == [f"c{row}" for row in issues["index"]]).all()
    assert (issues["place"] == [f"row {row + 2}" for row in issues["index"]]).all()
