"""The merging of two stores; contradictions are refused and nothing is added."""

import pytest
from typer.testing import CliRunner

from dilution.cli import app
from dilution.errors import InputError, StoreError
from dilution.study import Grid
from dilution.study.merging import merge
from dilution.study.store import Store

RUNS = list(Grid({"dataset": "digits", "n": 100, "model": "mlp1"}, {"alpha": [0, 1], "seed": [0, 1, 2]}))
KEYS = [run.key for run in RUNS]


def done(accuracy=0.5, seconds=1.0):
    result = {"test_acc_last": accuracy, "test_acc_at_best_clean_val": accuracy, "seconds": seconds}
    return {"state": "done", "result": result, "history": [{"step": 1, "test_acc": accuracy}]}


FAILED = {"state": "failed", "error": "no memory"}


def end(store, key, outcome, host="here"):
    store.start([key], host=host, versions={"torch": "2"}, at="2026-01-01T00:00:00.000+00:00")
    store.finish({key: outcome}, at="2026-01-01T00:01:00.000+00:00")


@pytest.fixture
def pair(tmp_path):
    with Store(tmp_path / "a.sqlite") as first, Store(tmp_path / "b.sqlite") as second:
        first.add("s", RUNS)
        second.add("s", RUNS)
        yield first, second


def states(store):
    return list(store.states(KEYS).values())


def test_each_run_has_the_result_of_the_store_where_it_ended(pair):
    first, second = pair
    end(first, KEYS[0], done(0.1))
    end(second, KEYS[1], done(0.2), host="there")
    end(first, KEYS[2], FAILED)
    end(second, KEYS[2], done(0.3))
    end(first, KEYS[3], done(0.4))
    end(second, KEYS[3], FAILED)
    end(second, KEYS[4], FAILED)
    assert merge(first, second) == 2
    assert states(first) == ["done", "done", "done", "done", "failed", "queued"]
    rows = {row["key"]: row for row in first.rows("s")}
    assert [rows[key]["result"].get("test_acc_at_best_clean_val") for key in KEYS[:4]] == [0.1, 0.2, 0.3, 0.4]
    assert rows[KEYS[1]]["host"] == "there"
    assert rows[KEYS[1]]["history"] == [{"step": 1, "test_acc": 0.2}]
    assert rows[KEYS[4]]["error"] == "no memory"
    assert states(second) == ["queued", "done", "done", "failed", "failed", "queued"]  # it is only read


def test_merging_again_changes_nothing(pair):
    first, second = pair
    end(second, KEYS[0], done())
    merge(first, second)
    before = list(first.rows("s"))
    assert merge(first, second) == 0
    assert list(first.rows("s")) == before


def test_a_study_has_the_runs_of_both_in_the_order_of_the_first(tmp_path):
    with Store(tmp_path / "a.sqlite") as first, Store(tmp_path / "b.sqlite") as second:
        first.add("s", [RUNS[2], RUNS[0]])
        second.add("s", RUNS[:4])
        second.add("other", RUNS[4:])
        second.keep_artifact("table", [1.5])
        merge(first, second)
        assert [row["key"] for row in first.rows("s")] == [KEYS[2], KEYS[0], KEYS[1], KEYS[3]]
        assert [row["key"] for row in first.rows("other")] == KEYS[4:]
        assert first.artifact("table") == [1.5]


def test_equal_results_at_other_times_do_not_contradict(pair):
    first, second = pair
    end(first, KEYS[0], done(seconds=1.0), host="here")
    end(second, KEYS[0], done(seconds=9.0), host="there")
    assert merge(first, second) == 0
    assert next(first.rows("s"))["host"] == "here"


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (done(0.6), "has test_acc_last 0.5 and 0.6"),
        ({"state": "diverged", "result": {}, "history": []}, "is done and diverged"),
    ],
)
def test_results_that_contradict_each_other_are_refused_and_nothing_is_added(pair, outcome, message):
    first, second = pair
    end(first, KEYS[3], done(0.5))
    end(second, KEYS[3], outcome)
    end(second, KEYS[0], done())
    with pytest.raises(StoreError, match=f"run {KEYS[3]} {message}.*--keep-first"):
        merge(first, second)
    assert states(first).count("done") == 1
    assert merge(first, second, keep_first=True) == 1
    assert list(first.rows("s"))[3]["result"]["test_acc_last"] == 0.5


def test_artifacts_that_contradict_each_other_are_refused_or_those_of_the_first_kept(pair):
    first, second = pair
    first.keep_artifact("table", [1.0])
    second.keep_artifact("table", [2.0])
    with pytest.raises(StoreError, match="table was measured twice"):
        merge(first, second)
    merge(first, second, keep_first=True)
    assert first.artifact("table") == [1.0]


FIGURE = "fig1/digits/demo"


@pytest.fixture
def figures(tmp_path):
    """Two stores with other runs of one figure."""
    with Store(tmp_path / "a.sqlite") as first, Store(tmp_path / "b.sqlite") as second:
        first.add(FIGURE, RUNS[:3])
        second.add(FIGURE, RUNS[3:])
        yield first, second


@pytest.mark.parametrize(("one", "two"), [(None, "advised"), ("advised", None), ("advised", "mine.toml")])
@pytest.mark.parametrize("keep_first", [False, True])
def test_runs_of_a_figure_with_different_recipes_are_not_joined(figures, one, two, keep_first):
    first, second = figures
    first.keep_artifact(f"recipe/{FIGURE}", one)
    second.keep_artifact(f"recipe/{FIGURE}", two)
    words = {None: "without a recipe", "advised": "with 'advised'", "mine.toml": "with 'mine.toml'"}
    with pytest.raises(
        StoreError, match=f"{words[one]} in .*a.sqlite and {words[two]} in .*Nothing was added"
    ):
        merge(first, second, keep_first=keep_first)
    assert first.members()[FIGURE] == KEYS[:3]
    assert first.artifact(f"recipe/{FIGURE}") == one


@pytest.mark.parametrize("recipe", [None, "advised"])
def test_runs_of_a_figure_with_the_same_recipe_are_joined(figures, recipe):
    first, second = figures
    for store in figures:
        store.keep_artifact(f"recipe/{FIGURE}", recipe)
    lines = []
    merge(first, second, log=lines.append)
    assert (sorted(first.members()[FIGURE]), lines) == (sorted(KEYS), [])


def test_a_figure_whose_recipe_one_store_does_not_know_yet_is_joined_with_a_note(figures):
    first, second = figures
    first.keep_artifact(f"recipe/{FIGURE}", None)
    lines = []
    merge(first, second, log=lines.append)
    assert [line.partition(";")[0] for line in lines] == [f"note: {FIGURE} gets the runs of both stores"]
    assert "without a recipe in" in lines[0]


def test_many_contradictions_are_counted(pair):
    first, second = pair
    for key in KEYS:
        end(first, key, done(0.5))
        end(second, key, done(0.6))
    with pytest.raises(StoreError, match="and 3 more"):
        merge(first, second)


def test_a_store_is_not_merged_with_itself(pair, tmp_path):
    first, _ = pair
    (tmp_path / "link.sqlite").symlink_to(first.path)
    with Store(tmp_path / "link.sqlite") as same, pytest.raises(InputError, match="both stores are"):
        merge(first, same)


def test_the_command_line_merges_and_prints_how_many(pair):
    first, second = pair
    end(second, KEYS[0], done())
    result = CliRunner().invoke(app, ["merge", str(first.path), str(second.path)])
    assert result.exit_code == 0
    assert result.output.startswith("1 run added from")
    assert states(first)[0] == "done"
