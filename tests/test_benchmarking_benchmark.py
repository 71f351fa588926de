"""A benchmark from names to page: its runs, its files, resuming, own methods, failures."""

import json
import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import dilution, refused, succeeded

import dilution as package
from dilution.benchmarking import estimate_benchmark
from dilution.benchmarking import plan as plan_module
from dilution.benchmarking.memorisation import memorisation, memorisation_section
from dilution.benchmarking.methods import METHODS
from dilution.benchmarking.noises import BenchmarkNoise
from dilution.benchmarking.page import FILES
from dilution.benchmarking.plan import plan_benchmark
from dilution.benchmarking.presets import PRESETS, Setup, setup
from dilution.benchmarking.sections import cost_section
from dilution.benchmarking.transitions import draw_transitions
from dilution.errors import InputError, StoreError
from dilution.report.figure_style import FigureStyle, using_style
from dilution.report.marks import Plot
from dilution.study.execution import Execution
from dilution.training.config import default_n_val
from dilution.utils.output_folder import MARKER

INLINE = Execution(workers=0, progress=False)
FEW = {"methods": "gce,early_stopping,elr", "noises": "symmetric-50,alpha-5,pair_flip(rate=0.3)", "seeds": 2}
SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32), "rows": (20, 1, 1)}


def short_setup(preset, shape, n_available, model=None):
    full = setup(preset, shape, n_available, model)
    return Setup({**full.settings, "n": 200, "steps": 8, "n_evals": 2}, full.description)


@pytest.fixture(scope="module")
def short():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan_module, "setup", short_setup)
        yield


@contextmanager
def no_plots():
    """Write no plots, where none is looked at."""
    with pytest.MonkeyPatch.context() as patch:
        for module in ("page", "sections", "memorisation"):
            patch.setattr(f"dilution.benchmarking.{module}.publish", lambda *_: Plot("", ()))
        yield


@pytest.fixture
def unwritten():
    with no_plots():
        yield


@pytest.fixture(scope="module")
def benchmarked(tmp_path_factory, short):
    """Return a folder with a benchmark in `s.sqlite` and `out`, and its result."""
    folder = tmp_path_factory.mktemp("benchmark")
    result = package.benchmark(store=folder / "s.sqlite", out=folder / "out", execution=INLINE, **FEW)
    return folder, result


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", SHAPES)
def test_every_preset_has_sound_settings_for_every_kind_of_data(preset, kind):
    shared = setup(preset, SHAPES[kind], 50_000)
    run = package.Run.of(dataset="x.npz", alpha=0, **shared.settings)
    assert run.steps is not None  # one budget for all noises
    assert run.targets == "sampled"  # so that every method can be trained
    assert f"{run.n:,} images" in shared.description
    assert setup(preset, SHAPES[kind], 50_000, "conv4").settings["model"] == "conv4"
    assert setup(preset, SHAPES[kind], 500).settings["n"] == 500


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", ["mnist", "cifar10"])
def test_with_one_label_per_image_the_training_is_long_enough_for_every_method(preset, kind):
    settings = setup(preset, SHAPES[kind], 50_000).settings
    labels = settings["n"] - default_n_val(settings["n"])
    passes = settings["steps"] * settings["batch_size"] / labels
    assert {name for name, method in METHODS.items() if method.least_epochs > passes} == set()


def test_the_paper_preset_of_cifar10_is_the_fast_network_with_its_recipe():
    settings = setup("paper", (3, 32, 32), 50_000).settings
    assert settings["model"] == "fastcifar"
    assert (settings["optimizer"], settings["hflip"], settings["translate"]) == ("sgd", True, 2)
    assert settings["n"] == 50_000


def test_a_plan_has_every_method_at_every_noise_with_every_seed_on_the_same_examples():
    plan = plan_benchmark("digits", "demo", seeds=3)
    assert len(plan.planned) == len(plan.methods) * len(plan.noises) * 3
    with_runs = len(plan.methods) - 1  # early stopping shares those of cross entropy
    assert len(plan.keys) == with_runs * len(plan.noises) * 3
    by_noise = plan.planned.assign(run=plan.runs).groupby("noise")["run"]
    for _, runs in by_noise:
        same = {
            (run.n, run.n_val, run.noise, run.alpha, run.steps, run.batch_size, run.model) for run in runs
        }
        assert len(same) == 1
    assert {run.seed for run in plan.runs} == {0, 1, 2}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seeds": 1}, "seeds is 1; intervals and paired differences need 2 or more. Give --seeds 5"),
        ({"seeds": True}, "seeds is True"),
        ({"preset": "papr"}, "'papr' is not a preset. Did you mean 'paper'?"),
        ({"dataset": "digts"}, "Did you mean 'digits'?"),
        ({"model": "mlp3"}, "'mlp3' is not a model"),
        (
            {"model": "sklearn:knn"},
            "an estimator that takes no optimizer steps; methods are ways to take them",
        ),
        ({"methods": "gec"}, "Did you mean 'gce'?"),
        ({"noises": "cifar10n-worse"}, "which digits does not have"),
        ({"noises": "asymmetric(rate=0.4, flips='cifar10')"}, "the map 'cifar10' flips class"),
        ({"precision": "float16"}, "'float16' is not a precision"),
        ({"methods": {"mine": {"mixup": 0.2, "targets": "poled"}}}, "Did you mean 'pooled'?"),
    ],
    ids=str,
)
def test_wrong_settings_are_refused_before_anything_is_trained(settings, message, tmp_path):
    with pytest.raises(package.DilutionError) as caught:
        package.benchmark(
            settings.pop("dataset", "digits"), store=tmp_path / "s.sqlite", out=tmp_path / "out", **settings
        )
    assert message in str(caught.value)
    assert not (tmp_path / "s.sqlite").exists()


@pytest.mark.trains
def test_a_benchmark_writes_page_plots_and_tables(benchmarked):
    folder, result = benchmarked
    files = {path.name for path in (folder / "out").iterdir()}
    assert files == {*FILES, MARKER}
    points = pd.read_csv(folder / "out" / "accuracies.csv")
    last = points[points["measure"] == "last"]
    assert len(last) == 4 * 3
    assert (last["seeds"] == 2).all()
    assert (last["low"] < last["high"]).all()
    assert len(pd.read_csv(folder / "out" / "runs.csv")) == 4 * 3 * 2
    rates = pd.read_csv(folder / "out" / "noise.csv").set_index("noise")
    assert rates.loc["pair_flip(rate=0.3)", "delivered"] == pytest.approx(0.3, abs=0.08)
    transitions = pd.read_csv(folder / "out" / "transitions.csv")
    assert len(transitions) == 3 * 100
    flipped = transitions[(transitions["noise"] == "pair_flip(rate=0.3)") & (transitions["expected"] == 0.3)]
    assert (flipped["noisy"] == (flipped["true"] + 1) % 10).all()
    assert flipped["delivered"].mean() == pytest.approx(0.3, abs=0.08)
    page = result.page.read_text("utf-8")
    markdown = (folder / "out" / "README.md").read_text("utf-8")
    assert all(finding in page for finding in result.findings)
    assert "| early stopping |" in markdown
    assert markdown.index(result.answer.split(" (")[0]) < markdown.index("## last-step")
    for text in (page, markdown):
        assert "Oracle, no result" in text
        assert "pair_flip(rate=0.3)" in text
    assert "What is predicted for wrongly labelled training images" in page
    made_by = json.loads((folder / "out" / "made_by.json").read_text("utf-8"))
    assert made_by["command"].startswith("dilution.benchmark(methods='gce,early_stopping,elr'")
    assert made_by["runs of benchmark"].startswith("18 runs; ")
    shown = "Benchmark('digits', demo: 4 methods × 3 noises, 18 runs. After the last step the most"
    assert repr(result).startswith(shown)


def test_pooled_labels_are_the_same_as_cross_entropy_where_an_image_has_one_label():
    planned = plan_benchmark("digits", "demo", "pooled,early_stopping", "clean,symmetric-50,alpha-5").planned
    same_as = planned.groupby(["noise", "method"])["same_as"].unique().str[0].to_dict()
    pooled = {noise: name for (noise, method), name in same_as.items() if method == "pooled"}
    assert pooled == {"clean": "cross_entropy", "symmetric-50": "cross_entropy", "alpha-5": ""}
    assert {name for (_, method), name in same_as.items() if method != "pooled"} == {""}


@pytest.mark.trains
def test_methods_that_are_the_same_are_not_ranked(short, unwritten, tmp_path):
    settings = {"seeds": 2, "store": tmp_path / "s.sqlite", "out": tmp_path / "out", "execution": INLINE}
    alone = package.benchmark(methods="pooled", noises="symmetric-50", **settings)
    assert alone.ranks == {}
    assert alone.findings[-1].startswith("The methods are not ranked: ")
    assert alone.findings[0] == (
        "After the last step the most accurate method is cross entropy with symmetric 50 %."
    )
    assert alone.notes == ()
    ranked = package.benchmark(methods="pooled,gce", noises="symmetric-50", **settings)
    assert set(ranked.ranks["last"].mean_ranks.index) == {"cross_entropy", "gce"}
    (note,) = ranked.notes
    assert note == "Not ranked: pooled labels, the same as cross entropy at all noises of the ranks."
    last = ranked.accuracies[ranked.accuracies["measure"] == "last"].set_index("method")["mean"]
    assert last["pooled"] == last["cross_entropy"]


@pytest.mark.trains
def test_the_matrices_of_noises_are_drawn_in_any_width_and_number_with_missing_rows(benchmarked):
    _, result = benchmarked
    table = pd.DataFrame(
        [
            (f"noise {k}", a, b, 0.5, None if k == 0 and a == "x" else 0.5)
            for k in range(6)
            for a in "xy"
            for b in "xy"
        ],
        columns=["noise", "true", "noisy", "expected", "delivered"],
    )
    several = BenchmarkNoise("", "a noise with a name that is too long", {}, "")
    noises = tuple(replace(several, name=f"noise {k}") for k in range(6))
    shown = replace(result, transitions=table, noises=noises)
    wide = draw_transitions(shown)
    visible = [axis for axis in wide.axes if axis.get_visible()]
    assert [axis.images[0].get_array().shape for axis in visible] == [(2, 2)] * 6
    assert visible[0].images[0].get_array().mask[0].all()
    assert [bool(axis.get_ylabel()) for axis in visible] == [True, False, False, False, False, True]
    assert [bool(axis.get_xlabel()) for axis in visible] == [False, True, True, True, True, True]
    with using_style(FigureStyle(width="84mm")):
        narrow = draw_transitions(shown)
    assert narrow.get_figwidth() == pytest.approx(84 / 25.4)
    columns = narrow.axes[0].get_subplotspec().get_gridspec().ncols
    labelled = [bool(axis.get_ylabel()) for axis in narrow.axes if axis.get_visible()]
    assert labelled == [place % columns == 0 for place in range(6)]
    assert draw_transitions(replace(result, transitions=table.iloc[:0])) is None


@pytest.mark.trains
def test_memorisation_is_the_mean_of_the_runs_of_each_method_that_does_not_stop_early(benchmarked):
    folder, result = benchmarked
    points = pd.read_csv(folder / "out" / "memorisation.csv")
    pd.testing.assert_frame_equal(points, memorisation(result))
    noises = ["symmetric-50", "alpha-5", "pair_flip(rate=0.3)"]
    expected = [
        (share, noise, method)
        for share in ("memorised", "recovered")
        for noise in noises
        for method in ("cross_entropy", "gce", "elr")
    ]
    assert list(points[["share", "noise", "method"]].itertuples(index=False, name=None)) == expected
    runs = result.runs.set_index(["noise", "method"])
    for row in points.itertuples():
        values = runs.loc[(row.noise, row.method), f"{row.share}_last"].to_numpy(dtype=float)
        assert len(values) == row.seeds == 2
        assert row.mean == pytest.approx(values.mean())
        half = 12.706 * max(values.std(ddof=1), 1 / (1_000 * math.sqrt(12))) / math.sqrt(2)
        assert (row.low, row.high) == pytest.approx((row.mean - half, row.mean + half), rel=1e-3)


@pytest.mark.trains
def test_the_sentences_on_memorisation_name_the_noise_at_which_cross_entropy_memorises_the_most(
    benchmarked, tmp_path
):
    _, result = benchmarked
    shares = {("alpha-5", "cross_entropy"): (0.6, 0.3), ("alpha-5", "gce"): (0.5, 0.2)}
    shares |= {("alpha-5", "elr"): (0.1, 0.8), ("symmetric-50", "gce"): (0.9, 0.1)}
    keys = list(zip(result.runs["noise"], result.runs["method"], strict=True))
    for place, share in enumerate(("memorised", "recovered")):
        values = [shares.get(key, (0.2, 0.2))[place] for key in keys]
        result = replace(result, runs=result.runs.assign(**{f"{share}_last": values}))
    with no_plots():
        section = memorisation_section(result, memorisation(result), tmp_path)
    assert section.summary.startswith("With α = 5 cross entropy predicts 60.0 % [")
    assert "on average more than with any other noise, and the true class of 30.0 % [" in section.summary
    assert "Of the methods there, ELR predicts the fewest, 10.0 % [" in section.summary
    assert "not told apart" not in section.summary
    near = result.runs["memorised_last"].where(result.runs["method"] != "gce", 0.1001)
    tied = replace(result, runs=result.runs.assign(memorised_last=near))
    with no_plots():
        text = memorisation_section(tied, memorisation(tied), tmp_path).summary
    assert text.endswith("%, not told apart from GCE.") or "], not told apart from GCE." in text
    alone = replace(result, runs=result.runs[result.runs["seed"] == 0])
    with no_plots():
        text = memorisation_section(alone, memorisation(alone), tmp_path).summary
    assert "cross entropy predicts 60.0 % of the wrong labels" in text
    assert "nan" not in text
    cells = section.points.set_index("method")
    assert cells.loc["ELR", "α = 5"] == "10.0 / 80.0"
    assert cells.loc["GCE", "symmetric 50 %"] == "90.0 / 10.0"
    assert "early stopping" not in cells.index


@pytest.mark.trains
@pytest.mark.parametrize(
    ("seconds", "said"),
    [([350.4, 350.4], "350 s."), ([0.512, 12.34], "0.51 to 12 s. ELR takes"), ([99.6], "100 s.")],
)
def test_the_cost_is_said_in_plain_numbers(benchmarked, seconds, said):
    _, result = benchmarked
    costs = pd.DataFrame(
        {
            "method": ["cross_entropy", "elr"][: len(set(seconds))],
            "seconds": sorted(set(seconds)),
            **dict.fromkeys(
                ("times_reference", "times_least", "times_most"), [1.0, 24.1][: len(set(seconds))]
            ),
            "models_together": 1.0,
            "device": "cpu",
        }
    )
    summary = cost_section(replace(result, costs=costs)).summary
    assert summary.startswith(f"A training takes {said}")
    assert "Cross entropy takes" not in summary


@pytest.mark.trains
def test_without_wrong_labels_there_is_no_section_on_memorisation(benchmarked):
    _, result = benchmarked
    unknown = result.runs.assign(memorised_last=math.nan, recovered_last=math.nan)
    points = memorisation(replace(result, runs=unknown))
    assert points.empty
    assert list(points) == ["share", "noise", "method", "mean", "low", "high", "seeds"]


@pytest.mark.trains
@pytest.mark.usefixtures("unwritten")
def test_finished_runs_are_not_repeated_and_another_method_adds_its_own(benchmarked, short, tmp_path):
    folder, first = benchmarked
    budget = estimate_benchmark(store=folder / "s.sqlite", execution=INLINE, **FEW)
    assert (budget.total.runs, list(budget.finished.values())) == (0, [18])
    added = {**FEW, "methods": "gce,mae"}
    again = package.benchmark(store=folder / "s.sqlite", out=tmp_path / "out", execution=INLINE, **added)
    assert [method.name for method in again.methods] == ["cross_entropy", "gce", "mae"]
    pd.testing.assert_frame_equal(
        again.accuracies[again.accuracies["method"] == "gce"].reset_index(drop=True),
        first.accuracies[first.accuracies["method"] == "gce"].reset_index(drop=True),
    )


@pytest.mark.trains
@pytest.mark.usefixtures("unwritten")
@pytest.mark.parametrize("of_before", [False, True], ids=["today", "before"])
def test_runs_are_imported_into_another_store_and_not_trained_again(benchmarked, short, tmp_path, of_before):
    folder, first = benchmarked
    runs = pd.read_csv(folder / "out" / "runs.csv", dtype=str, keep_default_na=False)
    assert set(runs["noise_name"]) == {"symmetric-50", "alpha-5", "pair_flip(rate=0.3)"}
    assert set(runs["noise"]) == {"symmetric(include_true=True, rate=0.5)", "uniform", "pair_flip(rate=0.3)"}
    if of_before:
        runs = runs.rename(columns={"noise": "noise_setting", "noise_name": "noise"})
    runs.to_csv(tmp_path / "runs.csv", index=False)
    printed = succeeded(dilution("import", "runs.csv", "--store", "s.sqlite", cwd=tmp_path))
    assert printed == "18 runs added: s.sqlite\n"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dilution.study.scheduler.group_runs", None)  # without which nothing trains
        again = package.benchmark(store=tmp_path / "s.sqlite", out=tmp_path / "out", execution=INLINE, **FEW)
    pd.testing.assert_frame_equal(again.accuracies, first.accuracies)
    pd.testing.assert_frame_equal(again.differences, first.differences)


@pytest.mark.trains
@pytest.mark.usefixtures("unwritten")
def test_a_loss_of_ones_own_stands_beside_the_others(short, module, tmp_path):
    name = module("""
        def factory(q=0.7):
            def loss(logits, labels):
                f_y = logits.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
                return (1 - f_y**q) / q
            loss.linear = True
            return loss
        """)
    own = f"{name}:factory(q=0.5)"
    result = package.benchmark(
        methods=["gce(q=0.5)", own], noises=["symmetric-50"], seeds=2, store=tmp_path / "s.sqlite",
        out=tmp_path / "out", execution=INLINE,
    )  # fmt: skip
    means = result.accuracies[result.accuracies["measure"] == "last"].set_index("method")["mean"]
    assert means[own] == pytest.approx(means["gce(q=0.5)"], abs=0.02)


@pytest.mark.trains
@pytest.mark.usefixtures("unwritten")
def test_failed_runs_are_named_and_a_benchmark_without_a_finished_run_is_refused(short, module, tmp_path):
    name = module("""
        from torch import nn

        class Untrainable(nn.Sequential):
            def __init__(self, shape, classes):
                super().__init__(nn.Flatten(), nn.Linear(64, classes))

            def forward(self, images):
                assert len(images) == 2, "two images at most"  # as many as the check of a model
                return super().forward(images)

        def fails():
            def loss(logits, labels):
                if len(labels) > 20:  # more than its check before the training
                    raise RuntimeError("no such loss")
                return logits.logsumexp(dim=1) - logits.gather(1, labels[:, None]).squeeze(1)
            loss.linear = True
            return loss
        """)
    settings = {"noises": ["symmetric-50"], "seeds": 2, "execution": INLINE}
    own = f"{name}:fails"
    result = package.benchmark(methods=[own], store=tmp_path / "s.sqlite", out=tmp_path / "out", **settings)
    assert set(result.accuracies["method"]) == {"cross_entropy"}
    assert any(note.startswith(f"2 runs failed and are left out: {own}") for note in result.notes)
    assert "not ranked" in result.findings[-1]
    with pytest.raises(
        StoreError, match=r"none of 2 runs .* has finished; the first one failed: .*two images"
    ):
        package.benchmark(
            methods=["cross_entropy"], model=f"{name}:Untrainable", store=tmp_path / "t.sqlite",
            out=tmp_path / "other", **settings,
        )  # fmt: skip


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_the_command_prints_the_answer_and_the_page_and_can_estimate(short, tmp_path):
    labels = package.load("digits").train.labels.numpy()
    np.save(tmp_path / "flipped.npy", np.where(np.arange(len(labels)) % 5 == 0, (labels + 1) % 10, labels))
    noises = "alpha-5,flipped.npy"
    words = ["benchmark", "digits", "--methods", "gce", "--noises", noises, "--seeds", 2, "--workers", 0]
    printed = succeeded(dilution(*words, "--estimate", cwd=tmp_path))
    assert "benchmark/digits/demo" in printed
    assert not (tmp_path / "results.sqlite").exists()
    with no_plots():
        printed = succeeded(dilution(*words, cwd=tmp_path))
    assert printed.startswith("After the last step the most accurate method is ")
    assert printed.endswith("page: benchmark/index.html\n")
    made_by = json.loads((tmp_path / "benchmark" / "made_by.json").read_text("utf-8"))
    assert made_by["command"] == (
        "dilution benchmark digits --methods gce --noises alpha-5,flipped.npy --seeds 2 --workers 0"
    )
    delivered = pd.read_csv(tmp_path / "benchmark" / "noise.csv").set_index("noise")["delivered"]
    assert delivered["flipped.npy"] == pytest.approx(0.2, abs=0.05)
    styled = dilution(
        *words, "--out", "paper", "--labels", "cross entropy=CE,mae=MAE", "--dpi", 300, cwd=tmp_path
    )
    assert "the label 'mae' is in no figure" in styled.stderr
    assert "'cross entropy' is in no figure" not in styled.stderr
    assert "CE" in (tmp_path / "paper" / "last-step.svg").read_text("utf-8")
    (tmp_path / "benchmark" / "index.html").write_text("mine", "utf-8")
    refused(dilution(*words, cwd=tmp_path), "index.html, which dilution has not written")


def test_a_wrong_name_is_one_line_on_the_command_line(tmp_path):
    refused(dilution("benchmark", "digits", "--methods", "gec", cwd=tmp_path), "Did you mean 'gce'?")
    with pytest.raises(InputError):
        plan_benchmark("digits", "demo", "gec")


def test_methods_whose_phases_do_not_fit_are_left_out_with_a_note(short):
    methods = "gce,co_teaching,divide_mix"  # `short` trains for 2.8 passes over one label per image
    plan = plan_benchmark("digits", "demo", methods, "symmetric-50,alpha-5", seeds=2)
    planned = {noise: set(part["method"]) for noise, part in plan.planned.groupby("noise")}
    assert planned["symmetric-50"] == {"cross_entropy", "gce", "co_teaching"}
    assert planned["alpha-5"] == {"cross_entropy", "gce"}
    assert [note.partition(":")[0] for note in plan.notes] == [
        "DivideMix is left out at symmetric 50 %",
        "co-teaching (rate known) is left out at α = 5",
        "DivideMix is left out at α = 5",
    ]
    assert "a training passes 2.8 times over its labels" in plan.notes[0]
