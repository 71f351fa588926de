"""What the command diagnose writes and how it ends, from given predictions: nothing is trained."""

import json

import numpy as np
import pandas as pd
import pytest
from commands import dilution, refused
from reviewed_tables import CLASSES, N, noisy_frame, noisy_rows

pytestmark = pytest.mark.usefixtures("svg_alone")
PRED_PROBS, LABELS, TRUE = noisy_rows()


@pytest.fixture
def folder(tmp_path):
    noisy_frame(LABELS).to_csv(tmp_path / "table.csv", index=False)
    np.save(tmp_path / "probs.npy", PRED_PROBS)
    return tmp_path


def diagnose(folder, *words):
    given = ("--pred-probs", "probs.npy", "--n-bootstrap", "20", "--workers", "0")
    return dilution("diagnose", "table.csv", *given, *words, cwd=folder)


@pytest.mark.trains
def test_a_review_in_the_output_folder_ends_in_a_clean_table(folder):
    result = diagnose(folder, "--fail-above", "50%")
    assert result.exit_code == 0, result.output
    assert "The noise rate is not above 50 %" in result.stdout
    path = folder / "diagnosis" / "label_issues.csv"
    issues = pd.read_csv(path, keep_default_na=False)
    issues["remark"] = ""
    issues.loc[:19, "verified_label"] = np.array(CLASSES)[TRUE[issues["index"][:20]]]
    issues.loc[3, "remark"] = "no doubt"
    issues.to_csv(path, index=False)
    refused(
        diagnose(folder), "diagnosis/label_issues.csv was edited", "Add --verified diagnosis/label_issues.csv"
    )

    words = ["--verified", "diagnosis/label_issues.csv", "--clean", "relabel", "--columns", "all"]
    result = diagnose(folder, *words, "--fail-above", "5%")
    assert result.exit_code == 1, result.output
    n_wrong = int((LABELS != TRUE)[issues["index"][:20]].sum())
    assert f"Of 20 verified labels, {n_wrong} were wrong and are replaced." in result.stdout
    assert result.stdout.splitlines()[-1].startswith("The noise rate is above 5 %")
    again = pd.read_csv(path, keep_default_na=False)
    assert (again["state"] != "").sum() == 20
    assert again.set_index("index")["remark"][issues["index"][3]] == "no doubt"
    assert {"heat", "load", "comment", "label"} <= set(again)
    cleaned = pd.read_csv(folder / "diagnosis" / "cleaned.csv")
    assert (cleaned["label"] != np.array(CLASSES)[TRUE]).mean() < (LABELS != TRUE).mean() / 2
    pd.testing.assert_frame_equal(cleaned.drop(columns="label"), noisy_frame(LABELS).drop(columns="label"))
    content = json.loads((folder / "diagnosis" / "diagnosis.json").read_text("utf-8"))
    assert content["cleaning"]["n_verified"] == 20
    assert len(pd.read_csv(folder / "diagnosis" / "cleaning.csv")) >= 20


@pytest.mark.trains
def test_a_limit_inside_of_the_interval_ends_with_3_after_all_files_are_written(folder):
    result = diagnose(folder, "--fail-above", f"{(LABELS != TRUE).mean():.4f}")
    assert result.exit_code == 3, result.output
    assert "Undecided whether the noise rate is above" in result.stdout
    assert (folder / "diagnosis" / "index.html").is_file()
    assert len(pd.read_csv(folder / "diagnosis" / "label_issues.csv")) == N


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fail-above", "5"], "--fail-above is '5'"),
        (["--clean", "delete"], "'delete' is not a policy of cleaning"),
        (["--confidence", "0.9"], "Add --clean drop"),
        (["--columns", "heet"], "Did you mean 'heat'?"),
    ],
)
def test_mistakes_are_refused_before_a_folder_is_made(folder, words, message):
    refused(diagnose(folder, *words), message)
    assert not (folder / "diagnosis").exists()


@pytest.mark.trains
def test_a_table_that_changes_meanwhile_is_not_cleaned_but_diagnosed(folder, monkeypatch):
    from dilution.diagnosis import diagnose as original

    def diagnose_and_change(*arguments, **settings):
        diagnosis = original(*arguments, **settings)
        (folder / "table.csv").write_text("heat,label\n1,ant\n")
        return diagnosis

    monkeypatch.setattr("dilution.diagnosis.diagnose", diagnose_and_change)
    refused(diagnose(folder, "--clean", "drop"), "was changed while it was diagnosed")
    assert len(pd.read_csv(folder / "diagnosis" / "label_issues.csv")) == N
    assert not (folder / "diagnosis" / "cleaned.csv").exists()


@pytest.mark.trains
def test_answers_of_a_review_that_are_not_used_are_named(folder):
    (folder / "diagnosis").mkdir()
    (folder / "diagnosis" / "verified_labels.csv").write_text("id,verified_label\nrow 2,ant\n")
    result = diagnose(folder)
    assert result.exit_code == 0, result.output
    assert (
        "note: diagnosis/verified_labels.csv has answers of a review, which are not used; add --verified "
        "diagnosis/verified_labels.csv" in result.stderr
    )
    result = diagnose(folder, "--verified", "diagnosis/verified_labels.csv")
    assert result.exit_code == 0, result.output
    assert "which are not used" not in result.stderr
    assert "Of 1 label that was looked up" in result.stdout
    assert (folder / "diagnosis" / "verified_labels.csv").read_text() == "id,verified_label\nrow 2,ant\n"
