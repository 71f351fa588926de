"""Notes: what is left out, merged, converted or guessed reaches terminal, page, Python result and JSON."""

import html
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution as command
from commands import succeeded

import dilution
from dilution.advice import file_names as advice_files
from dilution.advice import gradient_sums
from dilution.advice.search import Search
from dilution.cli.studies import _print_note
from dilution.data import Arrays, DataSet, UnsplitData, load_unsplit, write_pack
from dilution.diagnosis import file_names as diagnosis_files
from dilution.figures import report, reproduce
from dilution.figures.base import Figure
from dilution.planning import file_names as planning_files
from dilution.planning import pilot
from dilution.planning.pilot import PilotScope
from dilution.planning.plan import _left_out
from dilution.report.json_file import plain
from dilution.report.marks import Plot
from dilution.report.section import study_section
from dilution.study import Execution
from dilution.study.data_notes import data_notes
from dilution.study.deadline import Deadline
from dilution.study.importing import import_table
from dilution.study.merging import merge
from dilution.study.results import table
from dilution.study.store import Store
from dilution.utils.notes import MAX_PRINTED, printed_notes
from dilution.utils.output_folder import MARKER

INLINE = Execution(workers=0, progress=False)
TABLE = "t.csv#label,drop=scratch"
EXAMPLES, BLANK_LABELS = 420, 3
STUDY = f"""
name = "short"
[base]
dataset = "{TABLE}"
n = 100
model = "perceptron"
targets = "pooled"
steps = 2
batch_size = 50
[grid]
alpha = [0.0, 1.0]
"""


def noted_table(copies=1):
    """Return a table with six kinds of notes; several columns have those of columns."""
    random = np.random.default_rng(0)
    true = np.arange(EXAMPLES) % 3
    columns = {"": np.arange(EXAMPLES)}  # an index without a name
    for number in range(copies):
        gaps = true + random.normal(0, 0.6, EXAMPLES)
        gaps[[3 + number, 9]] = np.nan
        columns |= {
            f"gaps{number}": gaps,
            f"colour{number}": random.choice(["red", "blue"], EXAMPLES),
            f"gone{number}": np.full(EXAMPLES, np.nan),
        }
    columns |= {"b": random.normal(0, 0.6, EXAMPLES) - true, "scratch": 1.5 * true}
    columns["label"] = np.array(["x", "y", "z"], dtype=object)[true]
    columns["label"][5 : 5 + BLANK_LABELS] = ""
    return pd.DataFrame(columns)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notes")
    noted_table().to_csv(folder / "t.csv", index=False)
    (folder / "s.toml").write_text(STUDY)
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    """Enter the folder of the table; return the notes on it, split and unsplit."""
    monkeypatch.chdir(folder)
    return dilution.load(TABLE).notes, load_unsplit(TABLE).notes


@pytest.fixture
def unwritten(monkeypatch):
    """Write no plots of figures and studies, for tests that look at none."""
    for module in ("dilution.figures.section", "dilution.report.section"):
        monkeypatch.setattr(f"{module}.publish", lambda *_: Plot("", ()))


def names_of_files(folder):
    return {path.name for path in folder.iterdir()}


def lines_of_notes(text):
    return [line.removeprefix("note: ") for line in text.splitlines() if line.startswith("note: ")]


def assert_on_page(notes, page):
    text = html.unescape(Path(page).read_text("utf-8"))
    listed = text[text.index("<h3>Notes on the data</h3>") :]
    for note in notes:
        assert f"<li>{note}</li>" in listed


def with_name(notes):
    return [f"{TABLE}: {note}" for note in notes]


def test_the_table_has_a_note_of_each_kind(here):
    notes, unsplit = here
    assert len(notes) >= 6
    for words in (
        "'scratch' is dropped",
        "'Unnamed: 0'",
        "3 rows have no label",
        "'gone0'",
        "'gaps0'",
        "'colour0'",
    ):
        for kind in (notes, unsplit):
            assert sum(words in note for note in kind) == 1, words


def test_there_is_one_note_per_kind_whatever_the_number_of_columns(tmp_path):
    counts = []
    for copies in (2, 5):
        noted_table(copies).to_csv(tmp_path / f"{copies}.csv", index=False)
        notes = dilution.load(tmp_path / f"{copies}.csv").notes
        counts.append(len(notes))
        for column in ("gaps0", "colour0", "gone0"):
            assert sum(f"{copies} columns" in note and column in note for note in notes) == 1
    assert counts[0] == counts[1]


@pytest.mark.trains
def test_notes_of_a_diagnosis_are_on_terminal_page_result_and_json(here, tmp_path):
    _, notes = here
    options = (
        "--model",
        "sklearn:logistic",
        "--folds",
        2,
        "--repeats",
        1,
        "--n-bootstrap",
        20,
        "--workers",
        0,
    )
    result = command("diagnose", TABLE, "--out", tmp_path, *options)
    succeeded(result)
    assert lines_of_notes(result.stderr) == list(notes)
    assert_on_page(notes, tmp_path / "index.html")
    assert names_of_files(tmp_path) == {
        *diagnosis_files.FILES,
        MARKER,
    }  # as claimed before the work
    written = json.loads((tmp_path / "diagnosis.json").read_text("utf-8"))
    assert (written["schema_version"], written["kind"], written["notes"]) == (1, "diagnosis", list(notes))
    diagnosis = dilution.diagnose(
        TABLE, model="sklearn:logistic", folds=2, repeats=1, n_bootstrap=20, execution=INLINE
    )
    assert diagnosis.notes == notes
    assert diagnosis.to_dict() == written
    assert written["n_labels"] == EXAMPLES - BLANK_LABELS
    assert written["noise_rate"]["value"] == diagnosis.noise_rate.value
    assert [row["class"] for row in written["per_class"]] == ["x", "y", "z"]
    nothing = replace(diagnosis, learned=False).to_dict()
    assert nothing["per_class"] == []
    assert nothing["noise_pattern"] is None
    assert nothing["noise_rate"]["value"] is None


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_notes_of_a_plan_are_on_terminal_page_result_and_json(here, tmp_path, monkeypatch):
    notes, _ = here
    monkeypatch.setattr(pilot, "_MIN_STEPS", 60)
    words = ("--target", 0.8, "--alpha", 1, "--model", "mlp1", "--pilot-n", 300, "--max-runs", 20)
    store = tmp_path.with_suffix(".sqlite")
    result = command("plan", TABLE, *words, "--store", store, "--out", tmp_path, "--workers", 0)
    succeeded(result)
    own = "runs of the pilot use at most 300 of 333 training examples"
    assert lines_of_notes(result.stderr) == [*with_name(notes), own]
    assert_on_page([*notes, own], tmp_path / "index.html")
    assert names_of_files(tmp_path) == {
        *planning_files.FILES,
        MARKER,
    }  # as claimed before the work
    written = json.loads((tmp_path / "plan.json").read_text("utf-8"))
    assert (written["schema_version"], written["kind"], written["notes"]) == (1, "plan", [*notes, own])
    again = dilution.plan(
        TABLE, target=0.8, alpha=1, model="mlp1", pilot_n=300, max_runs=20, store=store, execution=INLINE
    )
    assert again.notes == (*notes, own)
    assert again.to_dict() == written
    assert written["label_values"] == plain(again.label_values)
    assert written["expected_accuracy"] == {"value": None, "low": None, "high": None} | {
        "refusal": "There are no labels."
    }


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_notes_of_an_advice_are_on_terminal_page_result_and_json(here, tmp_path, monkeypatch):
    notes, _ = here
    monkeypatch.setattr(gradient_sums, "BATCHES", 2 * gradient_sums.BLOCKS)
    words = ("--alpha", 1, "--model", "mlp1", "--epochs", 1)
    store = tmp_path.with_suffix(".sqlite")
    result = command("advise", TABLE, *words, "--store", store, "--out", tmp_path, "--workers", 0)
    succeeded(result)
    shown = lines_of_notes(result.stderr)
    assert shown[: len(notes)] == with_name(notes)
    assert len(shown) == len(set(shown))  # the search is many studies
    assert_on_page(notes, tmp_path / "index.html")
    assert names_of_files(tmp_path) == {*advice_files.FILES, MARKER}  # as claimed before the work
    written = json.loads((tmp_path / "advice.json").read_text("utf-8"))
    assert (written["schema_version"], written["kind"], written["notes"]) == (1, "advice", list(notes))
    again = dilution.advise(TABLE, alpha=1, model="mlp1", epochs=1, store=store, execution=INLINE)
    assert again.notes == notes
    assert written["recipe"] == plain(again.recipe)
    assert written["accuracy"] == plain(again.accuracy.to_dict())


@pytest.fixture(scope="module")
def study_folder(folder, tmp_path_factory):
    """Return a folder with a store in which the study is finished, and what the command printed."""
    out = tmp_path_factory.mktemp("study")
    result = command("run", "s.toml", "--store", out / "s.sqlite", "--workers", 0, cwd=folder)
    succeeded(result)
    return out, result


@pytest.mark.trains
def test_notes_of_a_study_are_on_the_terminal_even_if_its_runs_are_finished(here, study_folder):
    notes, _ = here
    out, first = study_folder
    again = command("run", "s.toml", "--store", out / "s.sqlite", "--workers", 0)
    for result in (first, again):
        assert lines_of_notes(result.stderr) == with_name(notes)


@pytest.mark.trains
@pytest.mark.usefixtures("unwritten")
def test_notes_of_a_study_are_in_its_table_and_on_its_page(here, study_folder):
    notes, _ = here
    out, _ = study_folder
    runs = dilution.run("s.toml", store=out / "s.sqlite", execution=INLINE)
    assert runs.attrs["notes"] == with_name(notes)
    written = report(out / "s.sqlite", out=out / "page")
    assert written.notes == tuple(with_name(notes))
    assert_on_page(with_name(notes), written.page)
    markdown = (out / "page" / "README.md").read_text("utf-8")
    assert all(f"- {note}\n" in markdown for note in with_name(notes))
    assert json.loads((out / "page" / "made_by.json").read_text("utf-8"))["notes"] == with_name(notes)


@pytest.mark.trains
@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize("words", [("report",), ("export", "runs.parquet")], ids=lambda words: words[0])
def test_commands_on_a_store_print_the_notes_on_its_data(here, study_folder, words):
    notes, _ = here
    out, _ = study_folder
    assert lines_of_notes(command(*words, "--store", "s.sqlite", cwd=out).stderr) == with_name(notes)


@pytest.mark.trains
def test_an_exported_table_has_the_notes(here, study_folder, tmp_path):
    notes, _ = here
    succeeded(command("export", tmp_path / "runs.parquet", "--store", study_folder[0] / "s.sqlite"))
    assert pd.read_parquet(tmp_path / "runs.parquet").attrs["notes"] == with_name(notes)


@pytest.mark.trains
def test_show_run_prints_the_notes(here, study_folder):
    notes, _ = here
    out, _ = study_folder
    with Store(out / "s.sqlite") as store:
        key = table(store)["key"].iloc[0]
    printed = succeeded(command("show", "run", key, "--store", out / "s.sqlite"))
    for note in with_name(notes):
        assert sum(line.endswith(f"  {note}") for line in printed.splitlines()) == 1


@pytest.mark.trains
@pytest.mark.usefixtures("unwritten")
def test_notes_of_a_reproduction_are_on_terminal_page_and_result(here, tmp_path, monkeypatch):
    notes, _ = here
    full_plan = Figure.plan

    def short_plan(self, inputs, preset, seeds=None):
        few = {"epochs": None, "steps": 3, "n": 100, "n_evals": 1, "n_val": 20, "model": "mlp1"}
        return [run.model_copy(update=few) for run in full_plan(self, inputs, preset, seeds)][:2]

    monkeypatch.setattr(Figure, "plan", short_plan)
    words = ("--dataset", TABLE, "--store", tmp_path / "s.sqlite", "--out", tmp_path, "--workers", 0)
    result = command("reproduce", "fig1", *words)
    succeeded(result)
    assert lines_of_notes(result.stderr)[: len(notes)] == with_name(notes)
    assert_on_page(with_name(notes), tmp_path / "index.html")
    again = reproduce(
        "fig1", dataset=TABLE, store=tmp_path / "s.sqlite", out=tmp_path / "again", execution=INLINE
    )
    assert again.notes == tuple(with_name(notes))


def test_data_check_prints_the_notes(here):
    notes, _ = here
    printed = succeeded(command("data", "check", TABLE))
    assert lines_of_notes(printed) == list(notes)


def test_many_notes_are_cut_on_the_terminal_with_a_count():
    notes = [f"kind {number}" for number in range(MAX_PRINTED + 5)]
    lines = printed_notes(notes)
    assert len(lines) == MAX_PRINTED + 1
    assert lines[0] == "note: kind 0"
    assert lines[-1].startswith("note: and 5 more notes")
    assert len(printed_notes(notes[:MAX_PRINTED])) == MAX_PRINTED


# --- what the product itself leaves out ---


@pytest.fixture
def two_splits():
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.integers(0, 256, (60, 1, 4, 4), dtype=np.uint8))
    arrays = Arrays(images, torch.arange(60) % 2)
    rows = torch.arange(60)
    return DataSet("mine", arrays.subset(rows[:50]), arrays.subset(rows[50:]), ("as read",))


def test_a_test_split_that_is_not_diagnosed_is_noted(two_splits, tmp_path, module):
    left_out = "10 examples of the test split are left out"
    train, test = two_splits.train, two_splits.test
    np.savez(
        tmp_path / "own.npz",
        images=train.images.numpy(),
        labels=train.labels.numpy(),
        test_images=test.images.numpy(),
        test_labels=test.labels.numpy(),
    )
    write_pack(tmp_path / "own.pack", [train], [test], two_splits.notes)
    name = module("""
        import torch
        from dilution.data import Arrays, DataSet

        def make():
            arrays = Arrays(torch.zeros(60, 1, 4, 4, dtype=torch.uint8), torch.arange(60) % 2)
            train, test = arrays.subset(torch.arange(50)), arrays.subset(torch.arange(50, 60))
            return DataSet("m", train, test, ("as read",))
    """)
    assert load_unsplit(tmp_path / "own.npz").notes == (left_out,)
    assert load_unsplit(tmp_path / "own.pack").notes == ("as read", left_out)
    assert load_unsplit(f"{name}:make").notes == ("as read", left_out)
    assert load_unsplit("digits").notes == (
        f"{len(dilution.load('digits').test)} examples of the test split are left out",
    )
    assert UnsplitData.without_test_split(train, None).notes == ()


@pytest.mark.trains
def test_rows_that_are_not_imported_are_noted(study_folder, tmp_path, capsys):
    out, _ = study_folder
    with Store(out / "s.sqlite") as store:
        runs = table(store)
    unfinished = runs.iloc[[0]].assign(state="failed")
    pd.concat([runs, unfinished, runs.iloc[[1]]]).to_json(
        tmp_path / "r.jsonl", orient="records", lines=True, double_precision=15
    )
    lines = []
    with Store(tmp_path / "new.sqlite") as store:
        assert import_table(tmp_path / "r.jsonl", store, lines.append) == 2
        assert [line.split(" ", 2)[:2] for line in lines] == [["note:", "1"], ["note:", "1"]]
        assert "not finished and not added" in lines[0]
        assert "repeated" in lines[1]
        lines.clear()
        assert import_table(tmp_path / "r.jsonl", store, lines.append) == 0
        assert any("2 rows are finished in the store already" in line for line in lines)
    _print_note(lines[0])
    assert capsys.readouterr().err == f"{lines[0]}\n"


@pytest.mark.trains
def test_runs_that_a_merge_leaves_out_are_noted_and_notes_are_no_contradiction(study_folder, tmp_path):
    out, _ = study_folder
    (tmp_path / "s.sqlite").write_bytes((out / "s.sqlite").read_bytes())
    lines = []
    with Store(tmp_path / "s.sqlite") as into, Store(out / "s.sqlite") as other:
        settings = [row["spec"] for row in into.rows()]
        assert data_notes(into, settings) == data_notes(other, settings) != []
        (name,) = [name for name, _ in into.artifacts() if name.startswith("notes/")]
        with into.writer():
            into.keep_artifact(name, ["words of another version"])
        assert merge(into, other, log=lines.append) == 0
    assert lines == [f"note: 2 of 2 finished runs are finished in {tmp_path / 's.sqlite'} already"]


def test_pilot_runs_that_diverged_are_noted():
    scope = PilotScope("mine", "mlp1", 300, (0.0, 1.0))
    runs = pd.DataFrame(
        {
            "state": ["done", "diverged", "done"],
            "n": 1200,
            "alpha": 2.0,
            "seed": [0, 7, 2],
            "n_available": 300,
        }
    )
    assert _left_out(runs, scope) == [
        "1 of 3 pilot run diverged and is left out of the law, the first with n = 1,200, α = 2, seed 7"
    ]
    assert _left_out(runs.assign(state="done"), scope) == []


def test_search_runs_that_diverged_are_noted(tmp_path):
    with Store(tmp_path / "s.sqlite") as store:
        search = Search("mine", store, store.path, INLINE, Deadline.of(INLINE))
        runs = pd.DataFrame({"key": ["a", "b"], "state": ["diverged", "done"], "lr": 0.5, "seed": [3, 4]})
        search.tables += [runs, runs]  # a run that two rounds share counts once
        (note,) = search.left_out()
        assert note.startswith("1 of 2 search run diverged; its loss counts as infinite")
        assert note.endswith("learning rate 0.5, seed 3")
        search.tables = [runs.assign(state="done")]
        assert search.left_out() == []


def test_points_that_the_plot_of_a_study_leaves_out_are_counted_in_its_caption(tmp_path):
    runs = pd.DataFrame(
        {
            "state": "done",
            "model": "mlp1",
            "noise": ["uniform", "uniform", "observed"],
            "alpha": [0.0, 1.0, None],
            "seed": 0,
            "test_acc_at_best_clean_val": 0.5,
        }
    )
    assert "Points without alpha, which the table has: 1." in study_section("mine", runs, tmp_path).caption
    many = pd.concat([runs[:2].assign(model=f"mlp{number}") for number in range(20)])
    section = study_section("mine", many, tmp_path)
    assert "No plot: 20 lines" in section.caption
    assert section.svg == ""


def test_numbers_that_json_cannot_hold_become_null():
    frame = pd.DataFrame({"a": [1, 2], "b": [np.inf, 0.5]})
    value = {"nan": np.float64("nan"), "rows": frame, "pair": (np.int64(1), -np.inf), 3: "text"}
    assert plain(value) == {
        "nan": None,
        "rows": [{"a": 1, "b": None}, {"a": 2, "b": 0.5}],
        "pair": [1, None],
        "3": "text",
    }
    json.dumps(plain(value), allow_nan=False)
