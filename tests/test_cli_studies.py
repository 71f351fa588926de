"""Commands on studies: reproduce, run, status, export, claims, import, merge, report."""

import json
import shutil
import sqlite3

import pandas as pd
import pytest
import torch
from commands import STUDY, dilution, refused, succeeded

from dilution.study.schema import checksum, renew_checksums
from dilution.study.store import Store

pytestmark = pytest.mark.trains


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory):
    """A folder with short.toml and the store of its four finished runs."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "short.toml").write_text(STUDY)
    printed = succeeded(dilution("run", "short.toml", "--workers", 0, cwd=folder))
    assert printed.count("done") == 4
    return folder


def test_a_study_resumes(study_folder, tmp_path):
    dilution("export", tmp_path / "before.csv", cwd=study_folder)
    again = dilution("run", "short.toml", "--workers", 0, cwd=study_folder)
    assert succeeded(again).count("done") == 4
    assert "4 of 4 runs are finished in the store" in again.stderr
    dilution("export", tmp_path / "after.csv", cwd=study_folder)
    assert (tmp_path / "before.csv").read_bytes() == (tmp_path / "after.csv").read_bytes()


def test_the_printed_table_has_the_key_the_varying_settings_and_the_accuracies(study_folder):
    header = succeeded(dilution("run", "short.toml", "--workers", 0, cwd=study_folder)).split("\n")[0]
    settings = ["key", "alpha", "seed", "state", "noise_rate_expected", "noise_rate_empirical"]
    accuracies = ["test_acc_at_best_clean_val", "test_acc_at_best_noisy_val", "test_acc_last"]
    assert header.split() == settings + accuracies


@pytest.mark.parametrize("device", ["gpu", *([] if torch.cuda.is_available() else ["cuda"])])
def test_a_device_that_does_not_exist_is_refused(study_folder, device):
    refused(dilution("run", "short.toml", "--device", device, cwd=study_folder), device, "cpu")


def test_precision_and_device_of_the_command_line_apply_to_all_runs(study_folder, tmp_path):
    options = ["--precision", "bfloat16", "--device", "auto", "--store", tmp_path / "options.sqlite"]
    succeeded(dilution("run", "short.toml", *options, "--workers", 0, cwd=study_folder))
    dilution("export", tmp_path / "runs.csv", "--store", tmp_path / "options.sqlite")
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert set(runs["precision"]) == {"bfloat16"}
    assert set(runs["device"]) == {torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"}


def test_the_loss_of_the_command_line_applies_to_all_runs_and_is_exported_and_imported(
    study_folder, tmp_path
):
    options = ["--loss", "gce( q = 0.3 )", "--store", tmp_path / "losses.sqlite"]
    succeeded(dilution("run", "short.toml", *options, "--workers", 0, cwd=study_folder))
    dilution("export", tmp_path / "runs.csv", "--store", tmp_path / "losses.sqlite")
    assert set(pd.read_csv(tmp_path / "runs.csv")["loss"]) == {"gce(q=0.3)"}
    imported = dilution("import", tmp_path / "runs.csv", "--store", tmp_path / "copy.sqlite")
    assert "4 runs added" in succeeded(imported)


def test_an_unknown_loss_is_refused_before_a_store_is_made(study_folder):
    result = dilution("run", "short.toml", "--loss", "gcee", "--store", "none.sqlite", cwd=study_folder)
    assert result.exit_code == 2
    assert "Did you mean 'gce'?" in result.output
    assert not (study_folder / "none.sqlite").exists()


def test_an_unknown_precision_is_refused_before_a_store_is_made(study_folder):
    result = dilution("run", "short.toml", "--precision", "half", "--store", "half.sqlite", cwd=study_folder)
    refused(result, "half", "bfloat16")
    assert not (study_folder / "half.sqlite").exists()


def test_status_counts_the_states(study_folder):
    assert succeeded(dilution("status", cwd=study_folder)) == "short: 4 done\n"


def test_status_reports_an_interrupted_study(study_folder, tmp_path):
    shutil.copy(study_folder / "results.sqlite", tmp_path)
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        connection.create_function("checksum", -1, checksum)
        connection.execute("UPDATE runs SET state = 'running' WHERE rowid = 1")
        connection.execute(renew_checksums("rowid = 1"))  # without, the run would be damaged
    connection.close()
    printed = succeeded(dilution("status", cwd=tmp_path))
    assert printed.startswith("short: 1 running, 3 done, interrupted (no process trains them; run")


@pytest.mark.usefixtures("svg_alone")
def test_status_export_and_the_page_name_the_code_that_trained_finished_runs(study_folder, tmp_path):
    shutil.copy(study_folder / "results.sqlite", tmp_path)
    with sqlite3.connect(tmp_path / "results.sqlite") as connection:
        connection.execute(
            "UPDATE runs SET versions = json_set(versions, '$.dilution', '0.1.0 (845bad8)') WHERE rowid < 4"
        )
    connection.close()
    note = "3 of 4 runs were trained by dilution 0.1.0 (845bad8); this is dilution "
    assert note in succeeded(dilution("status", cwd=tmp_path))
    exported = dilution("export", "runs.csv", cwd=tmp_path)
    assert succeeded(exported) == "4 runs: runs.csv\n"
    assert exported.stderr.startswith(note)
    succeeded(dilution("report", cwd=tmp_path))
    assert note in (tmp_path / "out" / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("t.csv", pd.read_csv),
        ("t.parquet", pd.read_parquet),
        ("t.jsonl", lambda path: pd.read_json(path, lines=True)),
    ],
)
def test_export_writes_one_row_per_run(study_folder, tmp_path, name, read):
    printed = succeeded(dilution("export", tmp_path / name, "--study", "short", cwd=study_folder))
    assert printed == f"4 runs: {tmp_path / name}\n"
    assert read(tmp_path / name)["state"].tolist() == ["done"] * 4


def test_an_exported_table_is_imported_once(study_folder, tmp_path):
    succeeded(dilution("export", tmp_path / "runs.csv", cwd=study_folder))
    assert succeeded(dilution("import", "runs.csv", cwd=tmp_path)) == "4 runs added: results.sqlite\n"
    assert succeeded(dilution("import", "runs.csv", cwd=tmp_path)) == "0 runs added: results.sqlite\n"


def test_imported_runs_of_a_study_are_reported_without_the_store_that_trained_them(study_folder, tmp_path):
    exported = succeeded(dilution("export", tmp_path / "runs.csv", cwd=study_folder))
    assert exported.startswith("4 runs")
    succeeded(dilution("import", "runs.csv", "--study", "theirs", cwd=tmp_path))
    with Store(tmp_path / "results.sqlite") as store:
        assert len(store.members()["theirs"]) == 4
    succeeded(dilution("report", "--out", "page", cwd=tmp_path))
    assert "theirs" in (tmp_path / "page" / "README.md").read_text("utf-8")
    first = pd.read_csv(tmp_path / "runs.csv").head(1)  # more runs go behind those that a study has
    first.to_csv(tmp_path / "one.csv", index=False)
    succeeded(dilution("import", "one.csv", "--study", "other", "--store", "s.sqlite", cwd=tmp_path))
    succeeded(dilution("import", "runs.csv", "--study", "other", "--store", "s.sqlite", cwd=tmp_path))
    with Store(tmp_path / "s.sqlite") as store:
        members = store.members()["other"]
    assert members[0] == first["key"].item()
    assert len(members) == 4


def test_a_study_of_imported_runs_has_a_name_on_one_line(study_folder, tmp_path):
    succeeded(dilution("export", tmp_path / "runs.csv", cwd=study_folder))
    result = dilution("import", "runs.csv", "--study", "two\nlines", cwd=tmp_path)
    refused(result, "it must be a name on one line")


def test_an_unknown_format_and_study_are_refused(study_folder):
    refused(dilution("export", "t.xlsx", cwd=study_folder), "'.xlsx' is not a format", ".csv")
    result = dilution("export", "t.csv", "--study", "shrt", cwd=study_folder)
    refused(result, "'shrt' is not a study in this store. Did you mean 'short'")


def test_report_writes_a_page(study_folder, tmp_path):
    printed = succeeded(dilution("report", "--out", tmp_path / "page", cwd=study_folder))
    assert printed == f"page: {tmp_path / 'page' / 'index.html'}\n"
    assert (tmp_path / "page" / "index.html").exists()


@pytest.mark.usefixtures("svg_alone")
def test_no_file_of_somebody_else_is_replaced(study_folder, tmp_path):
    for name in ("README.md", "mine.csv"):
        (tmp_path / name).write_text("mine")
    words = ("report", "--store", study_folder / "results.sqlite", "--out", ".")
    refused(dilution(*words, cwd=tmp_path), ". has README.md", "--overwrite")
    export = ("export", "mine.csv", "--store", study_folder / "results.sqlite")
    refused(
        dilution(*export, cwd=tmp_path), "mine.csv exists and is no exported table of runs", "--overwrite"
    )
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "README.md": "mine",
        "mine.csv": "mine",
    }
    for command in (words, export):
        succeeded(dilution(*command, "--overwrite", cwd=tmp_path))
        succeeded(dilution(*command, cwd=tmp_path))
    assert (tmp_path / "README.md").read_text("utf-8").startswith("# ")


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_exported_table_is_replaced_and_one_with_remarks_is_not(study_folder, tmp_path, suffix):
    words = ("export", tmp_path / f"runs.{suffix}")
    for _ in range(2):
        succeeded(dilution(*words, cwd=study_folder))
    (tmp_path / f"runs.{suffix}").write_bytes(b"a,b\n1,2\n")
    refused(dilution(*words, cwd=study_folder), "no exported table")


def test_a_failed_run_is_recorded_and_reported_and_sets_the_exit_code(tmp_path, monkeypatch):
    def failing(*_):
        raise MemoryError("too large")

    monkeypatch.setattr("dilution.study.runner.train_together", failing)
    (tmp_path / "s.toml").write_text(STUDY)
    result = dilution("run", "s.toml", "--store", "s.sqlite", "--workers", 0, cwd=tmp_path)
    assert result.exit_code == 1
    assert result.stdout.count("failed") == 4
    assert "perceptron, alpha 0, seed 0: failed: MemoryError: too large" in result.stderr
    assert "4 of 4 runs failed. Show why: dilution status --store s.sqlite" in result.stderr
    assert "4 failed" in succeeded(dilution("status", "--store", "s.sqlite", cwd=tmp_path))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("alpha = [-1.0]", ["alpha is -1.0; it must be"]),
        ("alpha = [nan]", ["alpha is nan"]),
        ('alpha = ["much"]', ["alpha is 'much'"]),
        ("alpha = [1.0]\nmodle = ['conv4']", ["'modle' is not a setting. Did you mean 'model'?"]),
        ("alpha = 1.0", ["must be a list"]),
        ("alpha = [1.0]\nnoise = ['structured']\ndelta = [1.4]", ["delta is 1.4"]),
    ],
)
def test_a_mistake_in_a_study_names_the_file_and_the_setting(tmp_path, line, words):
    head = STUDY.partition("[grid]")[0]
    (tmp_path / "bad.toml").write_text(f"{head}[grid]\n{line}\n")
    refused(dilution("run", "bad.toml", cwd=tmp_path), "bad.toml", *words)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"perceptron"', '"conv3"', ["'conv3' is not a model. Did you mean 'conv"]),
        ('"digits"', '"digit"', ["'digit' is not a data set. Did you mean 'digits'?"]),
        ("n = 100", "n = 5000", ["n is 5000", "1437"]),
        ("n = 100", "n = 100\nimage_source = 'fresh'", ["targets is 'pooled'", "Give targets='sampled'"]),
        (
            'n = 100\nmodel = "perceptron"\ntargets = "pooled"',
            'n = 1437\nmodel = "perceptron"\nimage_source = "fresh"',
            ["0 fresh images"],
        ),
        ('targets = "pooled"', "image_source = 'whitenoise'", ["Did you mean 'white_noise'"]),
        ("n = 100", "n = 100\nnoise = 'matrix'\nmatrix = [[1.0]]", ["matrix has 1 row"]),
        ("n = 100", "n = 100\nnoise = 'matrix'\nmatrix = [[0.5, 0.6], [0.5, 0.5]]", ["row 0", "1.1"]),
    ],
)
def test_an_impossible_run_is_refused_before_the_first_run_starts(tmp_path, old, new, words):
    assert old in STUDY
    (tmp_path / "s.toml").write_text(STUDY.replace(old, new))
    refused(dilution("run", "s.toml", "--workers", 0, cwd=tmp_path), *words)
    assert not (tmp_path / "results.sqlite").exists()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("reproduce fig99", ["'fig99' is not a figure", "Did you mean"]),
        ("reproduce fig1 --preset huge", ["'huge' is not a preset"]),
        ("reproduce fig1 --dataset mnst", ["Did you mean 'mnist'"]),
        ("reproduce fig1 --out file", ["file cannot be written to"]),
        ("run missing.toml", ["missing.toml cannot be read"]),
        ("status --store nowhere.sqlite", ["there is no store at nowhere.sqlite"]),
        ("export table.xlsx", ["there is no store"]),
        ("status --store new.sqlite", ["version 99", "pip install"]),
    ],
)
def test_a_mistake_gets_the_value_the_rule_and_the_remedy(tmp_path, line, words):
    (tmp_path / "file").write_text("not a folder")
    with sqlite3.connect(tmp_path / "new.sqlite") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    refused(dilution(*line.split(), cwd=tmp_path), *words)
    assert not (tmp_path / "results.sqlite").exists()


def test_reproduce_prints_the_page_and_claims_the_verdicts(tmp_path):
    printed = succeeded(dilution("reproduce", "fig4", "--out", "out", cwd=tmp_path))  # it trains nothing
    assert printed == "page: out/index.html\n"
    assert json.loads((tmp_path / "out" / "made_by.json").read_text())["command"].startswith(
        "dilution reproduce fig4"
    )
    refused(dilution("claims", cwd=tmp_path), "no figure of the paper")


def test_an_estimate_is_printed_and_nothing_is_written(tmp_path):
    printed = succeeded(dilution("reproduce", "fig4", "--estimate", "--workers", 0, cwd=tmp_path))
    assert printed.splitlines()[0].split() == ["study", "runs", "finished", "examples", "predicted"]
    assert "Machine: this one, measured (1 core)." in printed
    rated = succeeded(
        dilution("reproduce", "fig1", "--preset", "paper", "--estimate-for", "h200", cwd=tmp_path)
    )
    assert "Machine: one H200, by the rates of docs/researchers.md, in float32." in rated
    assert "ConvNets in float32 (conv4) train by torch; precision 'bfloat16' (--precision bfloat16)" in rated
    assert list(tmp_path.iterdir()) == []


def test_an_estimate_for_an_unknown_gpu_names_those_that_are_known(tmp_path):
    result = dilution("reproduce", "fig1", "--estimate-for", "tpu", cwd=tmp_path)
    refused(result, "'tpu' is not a GPU with known rates", "h200")
