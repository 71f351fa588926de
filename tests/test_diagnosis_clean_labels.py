"""Clean labels: policies, and tables that come back with every other cell as it was."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from photographs import write_class_folders
from reviewed_tables import CLASSES, N, diagnose_table, noisy_frame, noisy_rows

from dilution.data import Arrays, UnsplitData, load_unsplit
from dilution.diagnosis.held_out_file import held_out_bytes, read_held_out
from dilution.diagnosis.outputs import Outputs
from dilution.diagnosis.page import write_diagnosis
from dilution.diagnosis.verified_class import WRONG_CLASS_UNKNOWN
from dilution.errors import DataError, InputError

PRED_PROBS, LABELS, TRUE = noisy_rows()
VERIFIED = {str(row): CLASSES[TRUE[row]] for row in range(0, N, 12)}
KNOWN = np.arange(N) % 12 == 0


@pytest.fixture(scope="module")
def frame():
    return noisy_frame(LABELS)


@pytest.fixture(scope="module")
def diagnosis(frame):
    return diagnose_table(frame, PRED_PROBS, verified=VERIFIED)


def write_cleaned(diagnosis, clean, folder):
    """Write clean data as ``write_diagnosis`` does, without its plot."""
    folder.mkdir(exist_ok=True)
    (folder / diagnosis.origin.cleaned_name).write_bytes(diagnosis.origin.cleaned(clean, folder))


def by_position(diagnosis):
    return diagnosis.label_issues.sort_values("index", ignore_index=True)


@pytest.mark.parametrize("confidence", [0.6, 0.9])
def test_drop_leaves_out_unverified_labels_above_the_confidence(diagnosis, frame, confidence):
    clean = diagnosis.clean("drop", confidence)
    issues = by_position(diagnosis)
    assert (clean.keep == ~((issues["p_wrong"] > confidence) & ~KNOWN)).all()
    assert (clean.weights == clean.keep).all()
    assert (clean.labels[KNOWN] == TRUE[KNOWN]).all()
    assert (clean.labels[~KNOWN] == LABELS[~KNOWN]).all()
    n_dropped = int((~clean.keep).sum())
    assert 0 < n_dropped < N / 2
    assert clean.sentences[0].startswith(f"{n_dropped} of {N} examples dropped")
    assert len(clean.table) == N - n_dropped
    expected = frame.assign(label=np.array(CLASSES)[clean.labels])[clean.keep]
    pd.testing.assert_frame_equal(clean.table, expected)


def test_relabel_gives_the_suggested_label_where_it_is_as_probable(diagnosis):
    clean = diagnosis.clean("relabel", 0.85)
    issues = by_position(diagnosis)
    doubtful = ~KNOWN & (issues["p_wrong"] > 0.85)
    changed = doubtful & (issues["p_suggested"] > 0.85)
    assert clean.keep.all()
    assert 0 < changed.sum() < doubtful.sum()
    suggested = issues["suggested_label"].map(CLASSES.index).to_numpy()
    assert (clean.labels == np.where(changed | KNOWN, suggested, LABELS)).all()
    assert any(f"{(doubtful & ~changed).sum()} further label" in sentence for sentence in clean.sentences)
    assert (clean.labels != TRUE).mean() < 0.5 * (LABELS != TRUE).mean()


@pytest.mark.parametrize("policy", ["drop", "relabel"])
def test_a_confidence_that_is_too_high_comes_with_one_that_changes_labels(diagnosis, policy):
    clean = diagnosis.clean(policy, 0.9999999)
    assert (clean.changes["action"] == "verified").all()
    (sentence,) = [sentence for sentence in clean.sentences if "confidence is too high" in sentence]
    lower = float(re.search(r"--confidence ([\d.]+) \(confidence=\1\)", sentence)[1])
    again = diagnosis.clean(policy, lower)
    n_changed = int((again.changes["action"] != "verified").sum())
    assert n_changed > 0
    assert f"{n_changed} would be with a lower one" in sentence
    assert not any("confidence is too high" in sentence for sentence in again.sentences)


def test_the_proposed_confidence_changes_the_last_label_issue(frame):
    verified = {str(row): CLASSES[TRUE[row]] for row in range(N)}
    for row in np.flatnonzero(LABELS != TRUE)[:40]:
        rest = {name: label for name, label in verified.items() if name != str(row)}
        left = diagnose_table(frame, PRED_PROBS, verified=rest)
        issue = by_position(left).iloc[row]
        (sentence,) = [
            s for s in left.clean("drop", 0.9999999).sentences if s.startswith("No label is changed")
        ]
        if not issue["is_issue"]:
            assert sentence == "No label is changed: there are no label issues but verified ones."
            continue
        lower = float(re.search(r"--confidence ([\d.]+)", sentence)[1])
        assert lower < issue["p_wrong"]
        assert not left.clean("drop", lower).keep.all()
        return
    pytest.fail("no label issue was tried")


def test_weight_gives_each_label_its_probability_to_be_right(diagnosis, frame):
    clean = diagnosis.clean("weight")
    issues = by_position(diagnosis)
    np.testing.assert_allclose(clean.weights, np.where(KNOWN, 1, 1 - issues["p_wrong"]))
    np.testing.assert_allclose(clean.table["label_weight"], clean.weights)
    assert list(clean.table) == [*frame, "label_weight"]
    above = diagnosis.clean("weight", 0.9)
    assert ((above.weights < 1) == ((issues["p_wrong"] > 0.9) & ~KNOWN)).all()


@pytest.mark.parametrize("policy", ["drop", "relabel", "weight"])
def test_every_change_is_listed_with_its_reason_and_counted(diagnosis, policy):
    clean = diagnosis.clean(policy)
    changes = clean.changes.set_index("index")
    touched = ~clean.keep | (clean.labels != LABELS) | (clean.weights != 1) | KNOWN
    assert set(changes.index) == set(clean.positions[touched])
    assert (changes["action"][KNOWN[changes.index]] == "verified").all()
    counts = clean.to_dict()
    assert counts["n_kept"] == clean.keep.sum()
    for action in ("verified", "dropped", "relabelled", "weighted"):
        assert counts[f"n_{action}"] == (changes["action"] == action).sum()
    others = changes[changes["action"] != "verified"]
    assert others["reason"].str.startswith("p_wrong ").all()
    assert (
        changes["new_label"] == np.where(clean.keep, np.array(CLASSES)[clean.labels], "")[changes.index]
    ).all()


@pytest.mark.parametrize("policy", ["drop", "relabel", "weight"])
def test_an_example_whose_label_is_wrong_without_another_class_is_dropped(tmp_path, frame, policy):
    path = tmp_path / "verified.csv"
    path.write_text("id,verified_label,verdict\n0,,wrong\n1,,wrong\n2," + CLASSES[LABELS[2]] + ",correct\n")
    diagnosis = diagnose_table(frame, PRED_PROBS, verified=path)
    issues = by_position(diagnosis)
    assert issues["state"][:3].tolist() == ["verified wrong", "verified wrong", "verified correct"]
    assert issues["p_wrong"][:3].tolist() == [1, 1, 0]
    assert issues["verified_label"][:3].tolist() == ["", "", CLASSES[LABELS[2]]]
    assert (diagnosis.n_verified, diagnosis.verified_noise_rate.value) == (3, pytest.approx(2 / 3))
    clean = diagnosis.clean(policy)
    assert clean.keep[:3].tolist() == [False, False, True]
    assert clean.changes["action"][:3].tolist() == ["dropped", "dropped", "verified"]
    assert (
        "2 labels were found wrong without another class, so that their examples are dropped."
        in clean.sentences
    )
    assert "Of 1 verified label, 0 were wrong and are replaced." in clean.sentences
    assert len(clean.table) == clean.keep.sum()


def test_a_label_of_which_a_reviewer_was_unsure_is_not_replaced(tmp_path, frame):
    before = diagnose_table(frame, PRED_PROBS)
    relabelled = before.clean("relabel", 0.6).changes["index"].tolist()
    path = tmp_path / "verified.csv"
    path.write_text("id,verified_label,verdict\n" + "".join(f"{row},,unsure\n" for row in relabelled[:2]))
    diagnosis = diagnose_table(frame, PRED_PROBS, verified=path)
    clean = diagnosis.clean("relabel", 0.6)
    assert clean.changes["index"].tolist() == relabelled[2:]
    assert "2 labels are as given because a reviewer could not tell." in clean.sentences
    assert (diagnosis.clean("drop", 0.6).keep == before.clean("drop", 0.6).keep).all()


def test_a_saved_diagnosis_knows_labels_that_are_wrong_without_another_class(tmp_path, frame):
    path = tmp_path / "verified.csv"
    path.write_text("id,verified_label,verdict\n0,,wrong\n1," + CLASSES[TRUE[1]] + ",\n")
    diagnosis = diagnose_table(frame, PRED_PROBS, verified=path)
    saved = tmp_path / "held_out.npz"
    saved.write_bytes(held_out_bytes(diagnosis))
    assert read_held_out(saved).verified[:3].tolist() == [WRONG_CLASS_UNKNOWN, TRUE[1], -1]


def test_without_an_estimate_only_verified_labels_are_applied(frame):
    shuffled = np.random.default_rng(0).permutation(PRED_PROBS)
    clean = diagnose_table(frame, shuffled, verified=VERIFIED).clean("drop", 0)
    assert clean.keep.all()
    assert (clean.labels == np.where(KNOWN, TRUE, LABELS)).all()
    assert "Nothing could be estimated, so only verified labels are applied." in clean.sentences


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("delete",), "'delete' is not a policy of cleaning"),
        (("drop", 90), r"confidence is 90; it is a probability in \[0, 1\)"),
        (("drop", 1.0), "confidence is 1.0"),
    ],
)
def test_a_wrong_policy_or_confidence_is_refused(diagnosis, arguments, message):
    with pytest.raises(InputError, match=message):
        diagnosis.clean(*arguments)


def test_a_class_of_which_nothing_is_left_is_named(frame):
    rare = frame.assign(label=np.where(np.arange(N) < 30, "cat", "ant"))
    probs = np.repeat([[0.98, 0.02]], N, axis=0)
    probs[:30] = np.where(np.arange(30)[:, None] < 2, [[0.2, 0.8]], [[0.9, 0.1]])
    diagnosis = diagnose_table(rare, probs)
    issues = diagnosis.label_issues.assign(p_wrong=0.1)
    issues.loc[issues["given_label"] == "cat", "p_wrong"] = 0.95
    diagnosis = replace(diagnosis, learned=True, label_issues=issues)
    assert "No example is left of cat." in diagnosis.clean("drop").sentences


TEXTS = {
    "comma": ("utf-8", ",", "\n", '{0},{1:.3f},"=a ""b"", {2}",{3}', ""),
    "semicolons, decimal commas, cp1252, CRLF": (
        "cp1252",
        ";",
        "\r\n",
        '{0};{1:.3f};"é; {2}";{3}',
        "#encoding=cp1252",
    ),
    "a byte order mark": ("utf-8-sig", ",", "\n", "{0},{1:.3f},é {2},{3}", ""),
    "UTF-16": ("utf-16", "\t", "\r\n", "{0}\t{1:.3f}\té {2}\t{3}", ""),
    "line breaks in cells": ("utf-8", ",", "\n", '{0},{1:.3f},"two\nlines {2}",{3}', ""),
    "blanks before quotes": ("utf-8", ",", "\n", '{0}, {1:.3f}, "x, {2}", {3}', ""),
}


def written_table(path, kind, labels):
    """Write a table; return its name as data, the text above the rows, and that of each row."""
    encoding, separator, end, form, options = TEXTS[kind]
    rows = []
    for row, label in enumerate(labels):
        text = form.format(f"{row:05d}", row / 7, row % 40, label)
        rows.append(text.replace(".", ",") if "decimal" in kind else text)
    header = separator.join(["code", "heat", "comment", "label"])
    above = end + header + end  # a blank line before the header
    lines = [row + end for row in rows]
    lines[2] += end  # and one behind the third row
    path.write_bytes((above + "".join(lines)).encode(encoding))
    drop = f"{options},drop=code" if options else "#drop=code"
    return f"{path}{drop}", above, lines


def read_records(path, kind):
    encoding, separator, *_ = TEXTS[kind]
    text = io.StringIO(path.read_bytes().decode(encoding), newline="")
    records = csv.reader(text, delimiter=separator, skipinitialspace="blanks" in kind)
    return [record for record in records if record]


@pytest.mark.parametrize("kind", TEXTS)
def test_a_csv_file_keeps_the_text_of_every_cell_that_is_not_changed(tmp_path, kind):
    names = np.array(CLASSES)[LABELS]
    labels = names.copy().astype(object)
    labels[[7, 8]] = ""  # two rows have no label
    data, above, lines = written_table(tmp_path / "table.csv", kind, labels)
    labelled = labels != ""
    given = tmp_path / "table.csv"
    diagnosis = diagnose_table(data, PRED_PROBS[labelled])

    dropped = diagnosis.clean("drop", 0.8)
    write_cleaned(diagnosis, dropped, tmp_path / "out")
    kept = np.ones(N, dtype=bool)
    kept[dropped.positions] = dropped.keep
    assert 0 < (~kept).sum() < N / 2
    expected = above + "".join(line for line, is_kept in zip(lines, kept, strict=True) if is_kept)
    assert (tmp_path / "out" / "cleaned.csv").read_bytes() == expected.encode(TEXTS[kind][0])
    assert any("2 rows without a label stay unchanged." in line for line in dropped.sentences)

    relabelled = diagnosis.clean("relabel", 0.8)
    write_cleaned(diagnosis, relabelled, tmp_path / "out")
    before, after = read_records(given, kind), read_records(tmp_path / "out" / "cleaned.csv", kind)
    changed = relabelled.positions[relabelled.labels != relabelled.given]
    assert [
        row for row, (old, new) in enumerate(zip(before[1:], after[1:], strict=True)) if old != new
    ] == list(changed)
    for row in changed:
        assert after[row + 1][:3] == before[row + 1][:3]
    for position, label in zip(relabelled.positions, relabelled.labels, strict=True):
        assert after[position + 1][3] == CLASSES[label]

    weighted = diagnosis.clean("weight")
    write_cleaned(diagnosis, weighted, tmp_path / "out")
    after = read_records(tmp_path / "out" / "cleaned.csv", kind)
    assert after[0] == [*before[0], "label_weight"]
    assert [record[:-1] for record in after] == before
    weights = np.zeros(N)
    weights[weighted.positions] = weighted.weights
    cells = [float(record[-1].replace(",", ".") if "decimal" in kind else record[-1]) for record in after[1:]]
    np.testing.assert_allclose(cells, weights, rtol=1e-5, atol=1e-12)


def test_a_label_is_written_as_the_table_spells_it(tmp_path):
    spelled = np.array(["'01'", '"02"', "03"], dtype=object)[LABELS]
    (tmp_path / "t.csv").write_text(
        "heat,label\n" + "".join(f"{row},{label}\n" for row, label in enumerate(spelled))
    )
    diagnosis = diagnose_table(str(tmp_path / "t.csv"), PRED_PROBS)
    clean = diagnosis.clean("relabel", 0.6)
    write_cleaned(diagnosis, clean, tmp_path / "out")
    lines = (tmp_path / "out" / "cleaned.csv").read_text().splitlines()[1:]
    assert {line.partition(",")[2] for line in lines} == {"'01'", '"02"', "03"}


def test_a_parquet_file_keeps_types_and_metadata(tmp_path):
    path = tmp_path / "table.parquet"
    stamps = pd.date_range("2020-01-01", periods=N, freq="h")
    table = pa.table(
        {
            "code": pa.array(range(N), pa.int16()),
            "day": pa.array(stamps),
            "label": pa.array(np.array(CLASSES)[LABELS]).dictionary_encode(),
        }
    ).replace_schema_metadata({"made by": "a stranger"})
    pq.write_table(table, path)
    diagnosis = diagnose_table(f"{path}#drop=day", PRED_PROBS)
    for policy in ("drop", "relabel", "weight"):
        clean = diagnosis.clean(policy, 0.7)
        write_cleaned(diagnosis, clean, tmp_path / "out")
        after = pq.read_table(tmp_path / "out" / "cleaned.parquet")
        assert after.schema.metadata == table.schema.metadata
        assert after.schema.field("code") == table.schema.field("code")
        assert after.column("label").to_pylist() == list(np.array(CLASSES)[clean.labels[clean.keep]])
        assert after.column("day").equals(table.column("day").filter(pa.array(clean.keep)))
        assert ("label_weight" in after.column_names) == (policy == "weight")


@pytest.mark.parametrize("kind", ["category", "int64", "bool"])
def test_a_frame_keeps_the_type_of_its_labels_and_its_index(kind):
    numbers = pd.Series(LABELS % 2, index=[f"r{row}" for row in range(N)])
    labels = numbers.map({0: "a", 1: "b"}).astype("category") if kind == "category" else numbers.astype(kind)
    probs = np.stack([PRED_PROBS[:, [0, 2]].sum(axis=1), PRED_PROBS[:, 1]], axis=1)
    frame = pd.DataFrame({"heat": np.arange(N)}, index=numbers.index).assign(label=labels)
    clean = diagnose_table(frame, probs).clean("relabel", 0.6)
    assert clean.table["label"].dtype == frame["label"].dtype
    assert clean.table.index.equals(frame.index)
    changed = clean.labels != clean.given
    assert changed.any()
    assert (clean.table["label"] != frame["label"]).to_numpy().tolist() == changed.tolist()


def test_a_diagnosis_stays_as_it_is_when_the_user_changes_the_data():
    probs = np.stack([PRED_PROBS[:, [0, 2]].sum(axis=1), PRED_PROBS[:, 1]], axis=1)
    frame = pd.DataFrame({"heat": np.arange(N)}).assign(label=LABELS % 2)
    diagnosis = diagnose_table(frame, probs)
    expected = diagnosis.clean("drop").table
    frame.loc[: N // 2, ["heat", "label"]] = -1
    pd.testing.assert_frame_equal(diagnosis.clean("drop").table, expected)

    arrays = Arrays(torch.arange(N, dtype=torch.float32)[:, None, None, None], torch.from_numpy(LABELS % 2))
    diagnosis = diagnose_table(arrays, probs)
    arrays.labels.fill_(0)
    assert diagnosis.labels.tolist() == (LABELS % 2).tolist()


def test_images_of_a_folder_become_a_list_of_paths_and_labels(tmp_path):
    write_class_folders(tmp_path / "photos", per_class=12)
    examples = load_unsplit(f"{tmp_path / 'photos'}#8")
    labels = examples.arrays.labels.numpy()
    probs = np.where(np.arange(2) == labels[:, None], 0.9, 0.1)
    diagnosis = diagnose_table(f"{tmp_path / 'photos'}#8", probs, verified={examples.names[0]: "dog"})
    diagnosis = replace(diagnosis, learned=False)  # of 24 images: so only the verified label is applied
    for policy in ("relabel", "weight"):
        clean = diagnosis.clean(policy)
        write_cleaned(diagnosis, clean, tmp_path / "out")
        table = pd.read_csv(tmp_path / "out" / "cleaned.csv")
        assert list(table) == ["path", "label", *(["label_weight"] if policy == "weight" else [])]
        assert table["label"].tolist() == ["dog", *["cat"] * 11, *["dog"] * 12]
        for name, path in zip(examples.names, table["path"], strict=True):
            assert (tmp_path / "out" / path).samefile(tmp_path / "photos" / name)
            assert not Path(path).is_absolute()
        again = load_unsplit(str(tmp_path / "out" / "cleaned.csv"))
        assert again.arrays.labels.tolist() == [1, *[0] * 11, *[1] * 12]


def test_a_list_of_images_keeps_its_columns_and_its_paths_lead_to_the_images(tmp_path):
    write_class_folders(tmp_path / "photos", per_class=12)
    names = [f"{name}/{number}.png" for name in ("cat", "dog") for number in range(12)]
    absolute = tmp_path / "photos" / names[1]
    listed = pd.DataFrame({"path": names, "label": ["cat"] * 12 + ["dog"] * 12, "who": "Ann; Bob"})
    listed.loc[1, "path"] = str(absolute)
    listed.loc[2, "path"] = "cat/missing.png"
    listed.to_csv(tmp_path / "photos" / "list.csv", index=False)
    data = str(tmp_path / "photos" / "list.csv")
    labels = np.delete(np.repeat([0, 1], 12), 2)
    diagnosis = diagnose_table(
        data, np.where(np.arange(2) == labels[:, None], 0.9, 0.1), verified={names[0]: "dog"}
    )
    clean = replace(diagnosis, learned=False).clean("relabel")
    assert "1 row without a label or a readable image stays unchanged." in clean.sentences
    write_cleaned(diagnosis, clean, tmp_path / "out")
    table = pd.read_csv(tmp_path / "out" / "cleaned.csv")
    assert table["label"].tolist() == ["dog", *listed["label"][1:]]
    assert table["who"].tolist() == listed["who"].tolist()
    assert table["path"][1] == str(absolute)
    for name, path in zip(names[3:], table["path"][3:], strict=True):
        assert (tmp_path / "out" / path).samefile(tmp_path / "photos" / name)
    again = load_unsplit(str(tmp_path / "out" / "cleaned.csv"))
    assert len(again.arrays) == 23
    assert int(again.arrays.labels.sum()) == 13


def test_other_data_become_a_list_of_positions_and_labels(tmp_path, diagnosis):
    arrays = load_unsplit("digits").arrays
    chosen = np.arange(N)
    digits = Arrays(arrays.images[:N], arrays.labels[:N] % 3, CLASSES)
    labels = digits.labels.numpy()
    probs = np.where(np.arange(3) == labels[:, None], 0.8, 0.1)
    diagnosis = diagnose_table(UnsplitData(digits), probs, verified={"4": CLASSES[(labels[4] + 1) % 3]})
    clean = diagnosis.clean("drop")
    assert clean.table is None
    write_cleaned(diagnosis, clean, tmp_path)
    table = pd.read_csv(tmp_path / "cleaned.csv")
    assert table["index"].tolist() == chosen[clean.keep].tolist()
    assert table["label"].tolist() == list(np.array(CLASSES)[clean.labels[clean.keep]])


def test_a_file_that_changed_during_the_diagnosis_is_not_cleaned(tmp_path, frame):
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)
    diagnosis = diagnose_table(str(path), PRED_PROBS)
    frame.head(N - 1).to_csv(path, index=False)
    with pytest.raises(DataError, match="was changed while it was diagnosed"):
        diagnosis.clean("drop")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_cleaned_is_refused_before_anything_trains(tmp_path, frame):
    path = tmp_path / "cleaned.csv"
    frame.assign(label_weight=1).to_csv(path, index=False)
    with pytest.raises(InputError, match="has a column 'label_weight' already"):
        Outputs.parse(str(path), None, "weight", None)
    with pytest.raises(InputError, match=r"has the data, and the clean data would replace it"):
        Outputs.parse(str(path), None, "drop", None).names(tmp_path)
    with pytest.raises(InputError, match="these data are no table"):
        Outputs.parse("digits", "all", None, None)
    with pytest.raises(InputError, match="Add --clean drop"):
        Outputs.parse(str(path), None, None, 0.9)
    outputs = Outputs.parse(str(path), "heat, comment", "drop", None)
    assert outputs.columns == ("heat", "comment")
    assert {"cleaned.csv", "cleaning.csv"} <= set(outputs.names(tmp_path / "out"))
    assert Outputs.parse(str(path), "all", None, None).columns == tuple(frame.assign(label_weight=1))
    with pytest.raises(InputError, match="has a column 'label_weight' already"):
        diagnose_table(frame.assign(label_weight=1), PRED_PROBS).clean("weight")


def test_cleaned_data_are_listed_on_the_page_and_in_the_json(tmp_path, diagnosis):
    clean = diagnosis.clean("relabel", 0.7)
    write_diagnosis(diagnosis, tmp_path, "dilution diagnose", clean=clean)
    page = (tmp_path / "index.html").read_text("utf-8")
    assert clean.sentences[0] in page
    content = json.loads((tmp_path / "diagnosis.json").read_text("utf-8"))
    assert content["cleaning"] == clean.to_dict()
    changes = pd.read_csv(tmp_path / "cleaning.csv", keep_default_na=False)
    assert len(changes) == len(clean.changes)
    frame = pd.read_parquet(tmp_path / "cleaned.parquet")
    pd.testing.assert_frame_equal(frame, clean.table)
    assert not (tmp_path / "cleaned.csv").exists()
