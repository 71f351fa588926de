"""From figure names to page, figures and tables."""

import json

import pandas as pd
import pytest

import dilution
from dilution.errors import InputError, StoreError
from dilution.figures import FIGURES, judged, report, reproduce
from dilution.figures.base import PRESETS, Figure, Material
from dilution.study.executors import workers
from dilution.study.grid import Grid, Study
from dilution.study.progress import Progress
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.utils.version import code_version

QUIET = Progress(quiet=True)
MNIST = Material("mnist", 60_000)


@pytest.fixture
def short(monkeypatch):
    """Figures at demo scale with a few steps a run: the pipeline is under test, not the accuracy."""
    full = Figure.plan

    def plan(self, material, scale, seeds=None):
        few = {"epochs": None, "steps": 3, "n": 200, "n_evals": 1, "n_val": 20}
        return [run.model_copy(update=few) for run in full(self, material, scale, seeds)]

    monkeypatch.setattr(Figure, "plan", plan)


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("scale", PRESETS)
def test_every_figure_plans_sound_runs_at_every_scale(name, scale):
    runs = FIGURES[name].plan(MNIST, scale)
    assert len({run.key for run in runs}) == len(runs)
    assert FIGURES[name].at(scale).differs
    seeds = {run.seed for run in runs}
    wanted = 1 if name == "fig9" else 5 if scale == "paper" else 3  # a search goes on from one run
    assert seeds == (set() if name == "fig4" else set(range(wanted)))


@pytest.mark.parametrize("name", FIGURES)
def test_seeds_can_be_chosen(name):
    runs = FIGURES[name].plan(Material("digits", 1437), "demo", 2)
    assert {run.seed for run in runs} == (set() if name == "fig4" else {0, 1})


def test_paper_scale_takes_one_label_at_a_time():
    for each in FIGURES.values():
        orders = {run.targets for run in each.plan(MNIST, "paper")}
        assert orders <= ({"sampled", "expected"} if each.name == "fig10" else {"sampled"})


def test_reproduce_writes_page_figures_tables_and_verdicts(tmp_path, short):
    made = reproduce(
        ["fig4", "fig5"],
        store=tmp_path / "s.sqlite",
        out=tmp_path / "out",
        workers=0,
        seeds=2,
        progress=QUIET,
    )
    written = {path.name for path in (tmp_path / "out").iterdir()}
    for name in ("fig4", "fig5"):
        assert {f"{name}.png", f"{name}.svg", f"{name}.pdf", f"{name}.csv"} <= written
    assert {"index.html", "claims.csv", "made_by.json", "fig5-runs.csv"} <= written
    page = made.page.read_text("utf-8")
    assert all(claim.sentence in page for claim in FIGURES["fig5"].claims)
    runs = pd.read_csv(tmp_path / "out" / "fig5-runs.csv")
    assert (runs["state"] == "done").all()
    assert len(runs) == 2 * (1 + 3 * 4)
    made_by = json.loads((tmp_path / "out" / "made_by.json").read_text("utf-8"))
    command = "dilution reproduce fig4 fig5 --dataset digits --preset demo --seeds 2 "
    assert made_by["command"] == f"{command}--store {tmp_path / 's.sqlite'} --out {tmp_path / 'out'}"
    assert made_by["fig5 took"].startswith(f"{len(runs)} runs, ")
    assert f"trained by dilution {code_version()}, torch " in made_by["fig5 took"]


def test_reproduce_again_repeats_nothing(tmp_path, short):
    def call():
        return reproduce(
            ["fig5"], store=tmp_path / "s.sqlite", out=tmp_path, workers=0, seeds=1, progress=QUIET
        )

    first, second = call(), call()
    pd.testing.assert_frame_equal(first.runs, second.runs)
    pd.testing.assert_frame_equal(first.claims, second.claims)


def test_figures_share_the_store_but_not_their_runs_tables(tmp_path, short):
    made = reproduce(
        ["fig1", "fig5"], store=tmp_path / "s.sqlite", out=tmp_path, workers=0, seeds=1, progress=QUIET
    )
    assert set(made.claims["figure"]) == {"fig1", "fig5"}
    assert len(pd.read_csv(tmp_path / "fig1-runs.csv")) == 25


@pytest.mark.parametrize(
    ("names", "options", "hint"),
    [
        (["fig12"], {}, "Did you mean 'fig2'?"),
        (["fig1"], {"scale": "papr"}, "Did you mean 'paper'?"),
        (["fig1"], {"dataset": "digit"}, "Did you mean 'digits'?"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(tmp_path, names, options, hint):
    with pytest.raises(InputError, match=hint.replace("?", r"\?")):
        reproduce(names, store=tmp_path / "s.sqlite", out=tmp_path, **options)


def test_claims_come_from_the_store_alone(tmp_path, short):
    made = reproduce(
        ["fig4", "fig5"], store=tmp_path / "s.sqlite", out=tmp_path, workers=0, seeds=2, progress=QUIET
    )
    found = judged(tmp_path / "s.sqlite")
    assert set(found["study"]) == {"fig5/digits/demo"}  # figure 4 makes no claim
    assert set(found["runs"]) == {26}
    pd.testing.assert_frame_equal(found[made.claims.columns], made.claims)
    Store(tmp_path / "empty.sqlite").close()
    with pytest.raises(StoreError, match="no figure"):
        judged(tmp_path / "empty.sqlite")


def test_a_search_goes_on_until_it_has_ended(tmp_path):
    made = reproduce(
        "fig9", store=tmp_path / "s.sqlite", out=tmp_path, workers=0, progress=QUIET, dataset="digits"
    )
    assert made.runs.groupby("alpha")["seed"].nunique().min() >= 6
    again = report(tmp_path / "s.sqlite", out=tmp_path)
    pd.testing.assert_frame_equal(again.claims, made.claims)
    points = pd.read_csv(tmp_path / "fig9.csv")
    assert set(points["how"]) == {"search"}
    assert (points["low"] <= points["mean"]).all()
    assert (points["mean"] <= points["high"]).all()


def test_report_needs_a_store_with_a_study(tmp_path):
    with pytest.raises(StoreError, match="no store"):
        report(tmp_path / "missing.sqlite", out=tmp_path)
    Store(tmp_path / "empty.sqlite").close()
    with pytest.raises(StoreError, match="holds no study"):
        report(tmp_path / "empty.sqlite", out=tmp_path)


def test_report_draws_figures_and_studies_of_ones_own_without_training(tmp_path, short):
    store = tmp_path / "s.sqlite"
    reproduce(["fig5"], store=store, out=tmp_path / "first", workers=0, seeds=1, progress=QUIET)
    base = {"dataset": "digits", "n": 100, "model": "perceptron", "targets": "pooled", "steps": 2}
    own = Study.of("<b>mine</b>", Grid(base, {"alpha": [0.0, 1.0], "seed": [0, 1]}))
    with Store(store) as opened:
        run_study(own, opened, workers=0, progress=QUIET)
    made = report(store, out=tmp_path / "again")
    page = made.page.read_text("utf-8")
    assert "&lt;b&gt;mine" in page
    assert "<b>mine" not in page
    assert (tmp_path / "again" / "fig5.svg").read_bytes() == (tmp_path / "first" / "fig5.svg").read_bytes()


def test_a_report_follows_the_paper_and_keeps_the_same_figure_of_two_data_sets_apart(tmp_path):
    with Store(tmp_path / "s.sqlite") as opened:
        opened.add("fig11/digits/demo", FIGURES["fig11"].plan(Material("digits", 1437), "demo", 1))
        opened.add("fig4/digits/demo", [])
    made = report(tmp_path / "s.sqlite", out=tmp_path / "one")
    page = made.page.read_text("utf-8")
    assert "<title>Deep learning under massive label noise: digits, demo scale</title>" in page
    assert page.index(FIGURES["fig4"].title) < page.index(FIGURES["fig11"].title)
    with Store(tmp_path / "s.sqlite") as opened:
        opened.add("fig11/mnist/laptop", FIGURES["fig11"].plan(MNIST, "laptop", 1))
    report(tmp_path / "s.sqlite", out=tmp_path / "two")
    for file, dataset in (("fig11-digits-demo", "digits"), ("fig11-mnist-laptop", "mnist")):
        runs = pd.read_csv(tmp_path / "two" / f"{file}-runs.csv")
        assert set(runs["dataset"]) == {dataset}
    assert "<title>Results in s.sqlite</title>" in (tmp_path / "two" / "index.html").read_text("utf-8")


def test_report_of_an_unfinished_figure_says_so(tmp_path, short):
    runs = FIGURES["fig5"].plan(Material("digits", 1437), "demo", 1)
    with Store(tmp_path / "s.sqlite") as opened:
        opened.add("fig5/digits/demo", runs)
    made = report(tmp_path / "s.sqlite", out=tmp_path)
    assert set(made.claims["verdict"]) == {"not testable at this scale"}
    assert "of 13 runs 13 queued" in made.page.read_text("utf-8")


def test_the_public_names_are_what_they_say():
    for name in dilution.__all__:
        assert getattr(dilution, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'dilute'"):
        _ = dilution.dilute


def test_the_markdown_report_shows_figures_and_verdicts_and_escapes(tmp_path, short):
    reproduce(["fig5"], store=tmp_path / "s.sqlite", out=tmp_path, workers=0, seeds=1, progress=QUIET)
    text = (tmp_path / "README.md").read_text("utf-8")
    assert "](fig5.png)" in text
    assert all(claim.sentence in text for claim in FIGURES["fig5"].claims)
    assert "<" not in text.replace("&lt;", "")


def test_an_unknown_scale_is_refused_for_a_figure_without_runs_too(tmp_path):
    with pytest.raises(InputError, match=r"'laptp' is not a scale\. Did you mean 'laptop'"):
        reproduce(["fig4"], scale="laptp", store=tmp_path / "s.sqlite", out=tmp_path, progress=QUIET)


def test_a_misspelt_figure_beside_all_is_refused(tmp_path):
    with pytest.raises(InputError, match="'fgi1' is not a figure"):
        reproduce(["all", "fgi1"], store=tmp_path / "s.sqlite", out=tmp_path, progress=QUIET)


def test_report_shows_a_figure_without_runs(tmp_path):
    reproduce(["fig4"], store=tmp_path / "s.sqlite", out=tmp_path / "first", progress=QUIET)
    report(tmp_path / "s.sqlite", out=tmp_path / "again")
    first, again = ((tmp_path / folder / "fig4.csv").read_text("utf-8") for folder in ("first", "again"))
    assert first == again


def test_points_whose_runs_all_failed_leave_a_page_that_says_so(tmp_path, short, monkeypatch):
    whole = workers.execute

    def failing(runs, *rest):
        failed = {"state": "failed", "error": "no memory"}
        pairs = zip(runs, whole(runs, *rest), strict=True)
        return [failed if run.noise == "uniform" else outcome for run, outcome in pairs]

    monkeypatch.setattr(workers, "execute", failing)
    made = reproduce(["fig5"], store=tmp_path / "s.sqlite", out=tmp_path, workers=0, seeds=1, progress=QUIET)
    assert set(made.claims["verdict"]) == {"not testable at this scale"}
    assert "of 13 runs 12 done, 1 failed" in made.page.read_text("utf-8")


@pytest.mark.parametrize("size", [800, 1000, 1001])
def test_figure_1_keeps_its_experiments_apart_on_small_data(size):
    runs = FIGURES["fig1"].plan(Material("own.npz", size), "laptop")
    by = [(run.model, run.alpha, run.targets, run.n, run.seed) for run in runs]
    assert len(set(by)) == len(by)
