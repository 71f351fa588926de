"""Tables of results and their export."""

import csv
import json
import math
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from dilution.errors import DilutionError, InputError
from dilution.study import Execution, Run, Study
from dilution.study.exporting import export_table
from dilution.study.results import histories, table
from dilution.study.scheduler import run_study
from dilution.study.store import Store

pytestmark = pytest.mark.trains

BASE = {"dataset": "digits", "n": 60, "model": "perceptron", "steps": 4, "n_evals": 2, "batch_size": 8}
RUNS = [
    Run.of(**BASE, alpha=1 / 3),
    Run.of(**BASE, eta=0.3, image_source="white_noise"),
    Run.of(**BASE, eta=0.95),
    Run.of(**BASE, alpha=2, noise="matrix", matrix=[[0.1] * 10] * 10),
    Run.of(**BASE, alpha=3),
]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    with Store(tmp_path_factory.mktemp("table") / "s.sqlite") as opened:
        run_study(Study.of("s", RUNS[:4]), opened, Execution(executor="inline", progress=False))
        opened.add("later", [RUNS[4], RUNS[0]])
        yield opened


def documented_columns():
    """Return the columns that the architecture page lists in its first column."""
    page = (Path(__file__).parent.parent / "docs" / "architecture.md").read_text()
    rows = page.split("## The table of results")[1].split("\n## ")[0].splitlines()
    cells = [row.split("|")[1] for row in rows if row.startswith("| `")]
    return {name for cell in cells for part in re.findall("`(.+?)`", cell) for name in part.split(", ")}


def test_the_table_has_every_documented_column(store):
    documented = documented_columns()
    assert {"key", "state", "test_acc_at_best_clean_val", "diverged_at", "error", "finished"} < documented
    assert documented <= set(table(store).columns)


def test_the_table_has_settings_and_measures(store):
    rows = table(store, "s")
    assert rows["key"].tolist() == [run.key for run in RUNS[:4]]
    assert rows["state"].tolist() == ["done", "done", "failed", "done"]
    assert rows["model"].tolist() == ["perceptron"] * 4
    first = rows.iloc[0]
    assert (first["alpha"], first["alpha_expected"], first["n_val"]) == (1 / 3, 1 / 3, 6)
    assert first["alpha_empirical"] == pytest.approx(18 / 54)
    assert first["noise_rate_expected"] == pytest.approx(0.9 * (1 / 3) / (4 / 3))
    second = rows.iloc[1]
    assert pd.isna(second["alpha"])
    assert second["noise_rate_expected"] == pytest.approx(0.3)
    assert second["alpha_expected"] == pytest.approx(0.5)


def test_a_table_can_be_of_a_study_or_of_some_runs_or_of_all(store):
    assert table(store, "later")["key"].tolist() == [RUNS[4].key, RUNS[0].key]
    assert table(store, runs=RUNS[1:3])["key"].tolist() == [RUNS[1].key, RUNS[2].key]
    assert table(store, "later", runs=RUNS[:1])["key"].tolist() == [RUNS[0].key]
    assert len(table(store)) == 5
    assert table(store, "nobody").empty
    assert table(store, "nobody").columns.equals(table(store).columns)


def test_a_run_not_yet_trained_has_no_measures(store):
    row = table(store, runs=[RUNS[4]]).iloc[0]
    assert row["state"] == "queued"
    assert row[["test_acc_last", "seconds", "started", "finished", "error"]].isna().all()


def test_numeric_columns_are_numeric_even_without_values(store):
    for rows in (table(store), table(store, runs=[RUNS[4]])):
        for name in ("alpha", "eta", "delta", "epochs", "steps", "test_acc_last", "diverged_at", "seconds"):
            assert pd.api.types.is_float_dtype(rows[name]) or pd.api.types.is_integer_dtype(rows[name])


def test_histories_have_every_evaluation(store):
    evaluations = histories(store, "s")
    validation = ["val_acc_clean", "val_loss_noisy", "val_acc_noisy"]
    columns = [
        "step",
        "train_loss",
        *validation,
        "test_acc",
        "test_acc_top5",
        "memorised",
        "recovered",
        "key",
    ]
    assert list(evaluations.columns) == columns
    done = [RUNS[position].key for position in (0, 1, 3)]
    assert evaluations["key"].tolist() == [key for key in done for _ in range(2)]
    assert evaluations["step"].tolist() == [2, 4] * 3
    last = evaluations[evaluations["key"] == done[0]]["test_acc"].iloc[-1]
    assert last == table(store, runs=RUNS[:1])["test_acc_last"].iloc[0]


def test_runs_that_were_trained_before_it_was_measured_have_the_choice_by_accuracy_from_their_history(
    tmp_path,
):
    run, part = Run.of(**BASE, alpha=1), Run.of(**BASE, alpha=1, test_part=20)
    line = {"train_loss": 1.0, "val_acc_clean": 0.5, "val_loss_noisy": 1.0, "test_acc_top5": 1.0}
    history = [
        line | {"step": step, "val_acc_noisy": agreeing, "test_acc": test}
        for step, agreeing, test in ((2, 0.2, 0.5), (3, 0.4, 0.6), (4, 0.4, 0.9))
    ]
    other = Run.of(**BASE, alpha=2)
    with Store(tmp_path / "s.sqlite") as opened, opened.writer():
        opened.add("s", [run, part, other])
        time, versions = "2026-01-01T00:00:00.000+00:00", {"torch": "2"}
        opened.start([run.key, part.key, other.key], host="h", versions=versions, at=time)
        result = {"test_acc_at_best_clean_val": 0.5, "seconds": 1.0}
        outcome = {"state": "done", "result": result, "history": history}
        bare = outcome | {"history": [{"step": 1, "val_acc_noisy": 0.5}]}  # of somebody else's store
        opened.finish({run.key: outcome, part.key: outcome, other.key: bare}, at=time)
        rows = table(opened, "s").set_index("key")
    measures = ["test_acc_at_best_noisy_acc", "step_at_best_noisy_acc"]
    assert rows.loc[run.key, measures].tolist() == [0.6, 3]
    assert rows.loc[part.key, measures].isna().all()  # its history measures a part of the test split
    assert rows.loc[other.key, measures].isna().all()
    assert rows["val_acc_noisy"].tolist() == pytest.approx([0.4, 0.4, math.nan], nan_ok=True)


def test_no_evaluation_gives_an_empty_table_with_columns(store):
    assert list(histories(store, "nobody").columns) == ["key", "step"]


def test_csv_comes_back_as_it_was(store, tmp_path):
    rows = table(store)
    with export_table(rows, tmp_path / "t.csv").open(newline="") as file:
        again = list(csv.DictReader(file))
    assert list(again[0]) == list(rows.columns)
    for record, (_, row) in zip(again, rows.iterrows(), strict=True):
        for name in rows.columns:
            if pd.api.types.is_float_dtype(rows[name]):
                assert float(record[name] or "nan") == row[name] or pd.isna(row[name])
            else:
                assert record[name] == (
                    "" if row[name] is None or pd.isna(row[name]) is True else str(row[name])
                )


def test_parquet_comes_back_as_it_was(store, tmp_path):
    rows = table(store)
    again = pd.read_parquet(export_table(rows, tmp_path / "deep" / "t.parquet"))
    assert list(again.columns) == list(rows.columns)
    same = [name for name in rows.columns if name != "matrix"]
    pd.testing.assert_frame_equal(again[same], rows[same], check_dtype=False, check_exact=True)
    assert again["matrix"].isna().tolist() == [True, True, True, False, True]
    assert json.loads(again["matrix"].iloc[3]) == [[0.1] * 10] * 10


def test_json_lines_come_back_as_they_were(store, tmp_path):
    rows = table(store)
    lines = export_table(rows, tmp_path / "t.jsonl").read_text().splitlines()

    def strict(name):
        raise ValueError(f"{name} is not JSON")

    again = [json.loads(line, parse_constant=strict) for line in lines]
    assert [list(record) for record in again] == [list(rows.columns)] * len(rows)
    for record, (_, row) in zip(again, rows.iterrows(), strict=True):
        for name in rows.columns:
            value = record[name]
            assert pd.isna(row[name]) if value is None else value == row[name], name
    assert again[3]["matrix"] == [[0.1] * 10] * 10


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_an_empty_table_can_be_exported(store, tmp_path, ending):
    assert export_table(table(store, "nobody"), tmp_path / f"t{ending}").exists()


@pytest.mark.parametrize(
    ("name", "suggestion"), [("t.xlsx", ".csv"), ("t.json", ".jsonl"), ("table", ".parquet")]
)
def test_an_unknown_suffix_is_refused_with_the_known_ones(store, tmp_path, name, suggestion):
    with pytest.raises(InputError, match=f"is not a format to export to.*{re.escape(suggestion)}"):
        export_table(table(store), tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_no_part(store, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DilutionError, match="could not be written"):
        export_table(table(store), tmp_path / "file" / "t.csv")
    assert (tmp_path / "file").read_text() == "in the way"


FOREIGN = {
    "number": b"5\n",
    "null": b"null\n",
    "list": b'[["a"],{}]\n',
    "deep": b"[" * 900_000,
    "digits": b"9" * 5000,
    "empty": b"",
    "zeros": bytes(100),
    "quotes": b'"' * 100,
}


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_no_foreign_file_is_replaced_whatever_its_first_line(store, tmp_path, ending, content):
    path = tmp_path / f"t{ending}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is no exported table of runs"):
        export_table(table(store), path)
    assert path.read_bytes() == content
    export_table(table(store), path, overwrite=True)
    export_table(table(store), path)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_an_exported_table_with_a_column_of_the_user_is_not_replaced(store, tmp_path, ending):
    path = export_table(table(store), tmp_path / f"t{ending}")
    export_table(table(store).assign(checked="by me"), path, overwrite=True)
    content = path.read_bytes()
    with pytest.raises(InputError, match="or has other columns than this one"):
        export_table(table(store), path)
    assert path.read_bytes() == content


def test_a_table_is_replaced_whose_header_is_in_quotes(store, tmp_path):
    rows = table(store)
    rows.loc[0, "error"] = "two\rlines"
    path = export_table(rows, tmp_path / "t.csv")
    assert path.read_bytes().startswith(b'"key"')
    export_table(rows, path)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_a_folder_or_pipe_in_the_place_of_a_table_is_never_replaced(store, tmp_path, make, overwrite):
    make(tmp_path / "t.csv")
    with pytest.raises(InputError, match="only files are replaced"):
        export_table(table(store), tmp_path / "t.csv", overwrite=overwrite)
    assert not (tmp_path / "t.csv").is_file()
