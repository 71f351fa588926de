"""The paper preset: steps by a rule, learning rates by successive halving, a budget that can be paid."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.figures import FIGURES, estimate
from dilution.figures.base import FigureInputs
from dilution.figures.fig8 import searched_size
from dilution.figures.fig11 import _beyond_edges
from dilution.figures.paper_scale import LONGEST, PROVISIONAL_LR, SHORTEST, TRIAL_SEED, LrSearch, paper_steps
from dilution.figures.search import (
    check_trials,
    expected_rounds,
    further_runs,
    keep_plan,
    lr_edges,
    results,
    trial_scores,
)
from dilution.figures.section import _step_sensitivity, figure_section, judge_figure
from dilution.report.marks import Plot
from dilution.study import Run, budget, datasets, grouping
from dilution.study.budget import NO_COST, Machine, estimate_cost
from dilution.study.execution import Execution
from dilution.study.halving import Score
from dilution.study.results import table
from dilution.study.store import Store

MNIST, CIFAR = FigureInputs("mnist", 60_000), FigureInputs("cifar10", 50_000, "cifar100", shape=(3, 32, 32))
SEARCHED = [name for name, figure in FIGURES.items() if figure.presets["paper"].lr_search is not None]
LADDER = [SHORTEST * 2**doublings for doublings in range(5)]


@pytest.mark.parametrize(
    ("n", "alpha", "steps"),
    [(60_000, 0, 6_000), (60_000, 1, 12_000), (60_000, 2, 24_000), (60_000, 100, 48_000), (250, 0, 3_000)],
)
def test_the_steps_are_ten_passes_rounded_up_to_a_few_lengths(n, alpha, steps):
    assert paper_steps(n, alpha) == steps


@given(st.integers(2, 10**6), st.floats(0, 1_000), st.sampled_from(LADDER))
def test_steps_lie_on_the_ladder_and_never_fall_with_the_data(n, alpha, longest):
    steps = paper_steps(n, alpha, longest)
    assert steps in LADDER
    assert steps <= longest <= LONGEST
    assert steps <= paper_steps(2 * n, alpha, longest)
    assert steps <= paper_steps(n, 2 * alpha, longest)


def test_the_longest_training_sees_all_labels_at_the_largest_noise_level():
    assert paper_steps(60_000, 100) * 128 > 101 * 55_000


@pytest.mark.parametrize("name", [name for name in SEARCHED if name != "human_labels"])
def test_planned_runs_have_the_provisional_lr_and_a_length_of_the_rule(name):
    for run in FIGURES[name].plan(MNIST, "paper"):
        if run.model.startswith("sklearn:"):
            continue
        assert run.lr == PROVISIONAL_LR
        assert run.seed < TRIAL_SEED
        assert name == "fig10" or run.steps in LADDER


@pytest.mark.parametrize(("side", "model", "passes"), [(32, "resnet18", 30), (64, "resnet50", 90)])
def test_figure_3_learns_small_copies_of_photographs_by_a_smaller_network(side, model, passes):
    runs = FIGURES["fig3"].plan(FigureInputs("tiny.pack", 50_000, shape=(3, side, side)), "paper")
    assert {(run.model, run.steps) for run in runs} == {(model, round(passes * 50_000 / 256))}


def run_of(**settings):
    return Run.of(**{"dataset": "mnist", "n": 1_000, "model": "mlp1", "steps": 800, "lr": 0.1} | settings)


def play(search, planned, loss):
    """Return the rounds of a search whose trials reach an error, or a score, as a function of the run."""
    scores, rounds = {}, []
    while True:
        rounds.append(search.next_runs(planned, scores, 60_000))
        new = [run for run in rounds[-1] if run.key not in scores]
        if all(run.seed < TRIAL_SEED for run in new):
            return rounds
        reached = {run.key: loss(run) for run in new}
        scores |= {
            key: score if isinstance(score, Score) else Score(score, 0.0, score)
            for key, score in reached.items()
        }


@pytest.mark.parametrize(("deviation", "chosen"), [(0.002, 0.3), (0.016, 0.1), (0.1, 0.03)])
def test_accuracy_decides_and_the_loss_among_rates_that_it_cannot_tell_apart(deviation, chosen):
    """The error is lowest at 0.3; the loss grows with the rate."""

    def score(run):
        distance = abs(math.log(run.lr / 0.3)) / math.log(3)  # 1 at 0.1, 2 at 0.03
        error = 0.8 + 0.005 * distance if distance < 2.5 else 1.0
        # the mean of two seeds has `deviation`
        return Score(error, deviation * math.sqrt(2), run.lr)

    *_, finals = play(LrSearch(), [run_of(alpha=50)], score)
    assert {run.lr for run in finals} == {chosen}


@pytest.mark.parametrize("best", [0.0005, 0.01, 0.1, 1.0, 20.0])
def test_the_lr_that_is_chosen_lies_between_others_that_were_tried(best):
    planned = [run_of(alpha=4, seed=seed) for seed in range(5)]
    *trials, finals = play(LrSearch(), planned, lambda run: abs(math.log(run.lr / best)))
    assert {run.seed for part in trials for run in part} == {TRIAL_SEED, TRIAL_SEED + 1}
    tried = {run.lr for part in trials for run in part}
    (chosen,) = {run.lr for run in finals}
    assert min(tried) < chosen < max(tried)
    assert abs(math.log(chosen / best)) <= math.log(3.4) / 2
    assert [run.model_copy(update={"lr": 0.1}) for run in finals] == planned


def test_the_search_sees_no_seed_of_a_result_and_trains_less_than_its_results():
    planned = [run_of(alpha=4, seed=seed) for seed in range(5)]
    *trials, finals = play(LrSearch(), planned, lambda run: abs(math.log(run.lr / 0.1)))
    runs = [run for part in trials for run in part]
    assert not {run.seed for run in runs} & {run.seed for run in finals}
    assert sum(run.steps for run in runs) < sum(run.steps for run in finals)


def test_a_trial_that_diverged_is_not_chosen():
    *_, finals = play(LrSearch(), [run_of(alpha=1)], lambda run: math.inf if run.lr > 0.05 else -run.lr)
    assert finals[0].lr == 0.03


def test_points_with_one_reference_share_its_trials():
    planned = [run_of(alpha=alpha, n=n) for alpha in (0, 10) for n in (900, 1_000, 1_100)]
    shared = LrSearch(lambda *_: {"n": 1_000, "n_val": 100})
    rounds = play(shared, planned, lambda run: abs(math.log(run.lr / (0.1 if run.alpha else 0.3))))
    assert {run.n for part in rounds[:-1] for run in part} == {1_000}
    assert {run.alpha: run.lr for run in rounds[-1]} == {0: 0.3, 10: 0.1}
    assert len(rounds[0]) == 2 * 5 * 2  # noise levels, learning rates, seeds


@given(st.integers(31, 60_000), st.sampled_from([0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0]), st.data())
def test_a_rate_for_a_threshold_is_chosen_near_its_n_with_enough_validation_labels(n, alpha, draw):
    n_available = draw.draw(st.integers(n, 60_000))
    planned = run_of(n=n, alpha=alpha)
    trial = LrSearch(searched_size).searched(planned, n_available)
    n_val = trial.n_val
    assert trial.n <= n_available
    assert n_val == min(5_000, n_available - (trial.n - n_val))
    n_train, threshold = trial.n - n_val, min(240 * (1 + alpha), n_available)
    clean = n_train / 0.9 if n_train < 45_000 else n_train + 5_000  # of a run with its usual validation part
    assert trial.steps == paper_steps(round(clean), alpha)
    if n >= threshold:
        assert abs(math.log(clean / n)) <= math.log(8) + 0.01  # the largest n may lie up to a factor 8 above
        if 8 * clean <= n_available:
            assert abs(math.log(clean / n)) <= math.log(8) / 2 + 0.01
    else:
        assert clean == pytest.approx(threshold, rel=0.01)


@pytest.mark.parametrize("name", ["fig8", "fig9", "method_price"])
def test_trials_on_small_data_have_no_more_images_than_there_are(name):
    planned = FIGURES[name].plan(FigureInputs("digits", 1_437, shape=(1, 8, 8)), "paper")
    trials = FIGURES[name].presets["paper"].lr_search.next_runs(planned, {}, 1_437)
    assert max(run.n for run in trials) <= 1_437
    assert all(run.n_val < run.n for run in trials)


def test_an_estimator_has_no_lr_to_search():
    planned = [run_of(model="sklearn:knn", alpha=1)]
    assert LrSearch().next_runs(planned, {}, 60_000) == planned


def finish(store, runs, lr, *, known=True):
    """Finish queued runs with made-up results: the closer to the learning rate the better, if it is known."""
    outcomes = {}
    for run in runs:
        distance = abs(math.log(run.lr / lr))
        accuracy = max(0.0, 0.9 - 0.05 * distance + 0.001 * (run.seed % 7))
        measures = {"val_acc_noisy": 1 / (1 + distance), "val_acc_clean": accuracy, "n_available": 60_000}
        measures |= {"val_loss_noisy": 1 + distance}
        if not known:
            del measures["val_acc_noisy"]
        measures |= {"test_acc_at_best_clean_val": accuracy, "n_test": 10_000, "majority_share": 0.1}
        outcomes[run.key] = {"state": "done", "result": measures, "history": []}
    store.start([run.key for run in runs], host="h", versions={}, at="2026-01-01T00:00:00.000+00:00")
    store.finish(outcomes, at="2026-01-01T00:00:00.000+00:00")


def test_scores_are_of_noisy_labels_and_their_number():
    columns = {
        "key": ["added", "replaced", "unknown", "diverged"],
        "n": 1_000,
        "n_val": [100, 100, 100, None],
    }
    columns |= {"state": ["done", "done", "done", "diverged"], "alpha": [24.0, None, 24.0, 24.0]}
    columns |= {
        "label_mode": ["added", "replaced", "added", "added"],
        "val_loss_noisy": [2.0, 1.0, 2.0, math.nan],
    }
    scores = trial_scores(pd.DataFrame(columns | {"val_acc_noisy": [0.2, 0.5, math.nan, math.nan]}))
    assert scores["added"] == Score(0.8, pytest.approx(math.sqrt(0.16 / 2_500)), 2.0)
    assert scores["replaced"] == Score(0.5, pytest.approx(0.05), 1.0)
    assert scores["diverged"] == Score(math.inf, 0.0, math.inf)
    assert "unknown" not in scores


def test_a_search_by_trials_of_an_earlier_version_is_pending_in_a_report_and_refused_when_it_goes_on(
    tmp_path,
):
    figure, study = FIGURES["fig7"], "fig7/mnist/paper"
    with Store(tmp_path / "s.sqlite") as store:
        runs = keep_plan(figure, "paper", figure.plan(MNIST, "paper"), 60_000, store, study)
        with store.writer():
            store.add(study, runs)
            finish(store, runs, lr=0.1, known=False)
        requested = further_runs(figure, store, study)
        assert {run.key for run in requested} == {run.key for run in runs}
        assert judge_figure(figure, store, study)["verdict"].notna().all()
    remedy = "Use a new --store, and import into it that table without its rows of seeds from 1,000 on"
    with pytest.raises(InputError, match=f"{len(runs)} trials of learning rates, the first one .*{remedy}"):
        check_trials(runs, requested)
    check_trials(runs, [])


def test_a_figure_at_the_paper_preset_is_judged_once_its_rates_are_chosen_and_its_runs_have_ended(tmp_path):
    figure, study = FIGURES["fig7"], "fig7/mnist/paper"
    planned = figure.plan(MNIST, "paper")
    with Store(tmp_path / "s.sqlite") as store:
        runs = keep_plan(figure, "paper", planned, 60_000, store, study)
        assert {run.seed for run in runs} == {TRIAL_SEED, TRIAL_SEED + 1}
        rounds, new = 0, runs
        while new:
            with store.writer():
                store.add(study, runs)
                assert set(judge_figure(figure, store, study)["verdict"]) == {"not testable"}
                assert further_runs(figure, store, study) == []
                finish(store, new[1:], 0.3)
                assert further_runs(figure, store, study) == []
                finish(store, new[:1], 0.3)
            new = further_runs(figure, store, study)
            runs, rounds = [*runs, *new], rounds + 1
        judged = results(table(store, study))
        assert rounds == 3
        assert set(judged["lr"]) == {0.3}
        assert sorted(judged["seed"].unique()) == list(range(5))
        assert len(judged) == len(planned)
        verdicts = judge_figure(figure, store, study)
        assert (verdicts["runs"] == len(planned)).all()
        assert (verdicts["finished"] == len(planned)).all()


@pytest.mark.parametrize(("best", "is_edge"), [(0.3, False), (1e9, True)])
def test_a_learning_rate_at_an_edge_is_in_the_caption_and_in_the_verdicts(
    tmp_path, monkeypatch, best, is_edge
):
    monkeypatch.setattr("dilution.figures.section.publish", lambda *_: Plot("", ()))  # not looked at
    figure, study = FIGURES["fig7"], "fig7/mnist/paper"
    planned = figure.plan(MNIST, "paper")
    with Store(tmp_path / "s.sqlite") as store:
        runs = new = keep_plan(figure, "paper", planned, 60_000, store, study)
        while new:
            with store.writer():
                store.add(study, runs)
                finish(store, new, best)
            new = further_runs(figure, store, study)
            runs = [*runs, *new]
        edges = lr_edges(figure, store, study)
        caption = figure_section(figure, store, study, tmp_path).caption
        numbers = judge_figure(figure, store, study)["numbers"]
    assert bool(edges) == is_edge
    if not is_edge:
        assert not numbers.str.contains("at an edge").any()
        assert "searches chose" not in caption
        return
    highest = max(run.lr for run in runs)
    searches = len({LrSearch().searched(run, 60_000).key for run in planned})
    assert edges.startswith(
        f"{searches} of {searches} searches chose a learning rate at an edge of those tried"
    )
    assert f"the highest of 0.01 to {highest:g}: a better one may lie beyond" in edges
    assert edges in caption
    assert numbers.str.endswith(edges).all()


def test_a_figure_without_its_plan_requests_nothing(tmp_path):
    figure, study = FIGURES["fig7"], "fig7/mnist/paper"
    with Store(tmp_path / "s.sqlite") as store, store.writer():
        runs = figure.plan(MNIST, "paper")[:2]
        store.add(study, runs)
        finish(store, runs, 0.1)
        assert further_runs(figure, store, study) == []


@pytest.mark.parametrize(("best", "added"), [(0.1, set()), (0.01, {0.0033}), (1.0, {3.0})])
def test_the_learning_rates_of_figure_11_grow_beyond_an_edge_that_is_best(best, added):
    runs = FIGURES["fig11"].plan(MNIST, "paper")
    rows = [
        run.model_dump() | {"val_acc_clean": 0.9 - 0.1 * abs(math.log(run.lr / best)) + 0.001 * run.seed}
        for run in runs
    ]
    new = _beyond_edges(runs, pd.DataFrame(rows))
    assert {run.lr for run in new} == added
    assert len(new) == len(added) * 6 * 5  # noise levels and seeds
    assert not {run.key for run in new} & {run.key for run in runs}


def fake_data(shape, n_test=10_000):
    split = SimpleNamespace(shape=shape, classes=tuple("0123456789"))
    return SimpleNamespace(train=split, test=range(n_test))


@pytest.mark.trains
@pytest.mark.parametrize(
    ("inputs", "names", "minutes"),
    [
        (MNIST, ["fig1", "fig5", "fig7", "fig8", "fig9", "fig10", "fig11"], 65),
        (CIFAR, ["fig2", "fig6", "fig7"], 30),
    ],
    ids=["mnist", "cifar10"],
)
def test_the_paper_preset_fits_its_budget_on_an_h200(monkeypatch, inputs, names, minutes):
    for module in (budget, datasets, grouping):
        monkeypatch.setattr(module, "open_data", lambda *_: fake_data(inputs.shape))
    machine = Machine(Execution(), "h200")
    total, seen = NO_COST, set()
    for name in names:
        planned = FIGURES[name].plan(replace(inputs, precision="bfloat16"), "paper")
        for runs in expected_rounds(FIGURES[name], "paper", planned, inputs.n_available, {}):
            new = [run for run in runs if run.key not in seen]
            seen |= {run.key for run in new}
            total += estimate_cost(new, machine) if new else NO_COST
    assert 0.6 * minutes < total.seconds / 60 < minutes


def test_the_step_sensitivity_of_a_caption_names_the_point_that_changed_most():
    runs = pd.DataFrame(
        {
            "schedule": "constant",
            "model": ["conv4", "conv4", "mlp1"],
            "test_acc_at_half_steps": [0.90, 0.90, 0.70],
            "test_acc_at_best_clean_val": [0.91, 0.91, 0.78],
        }
    )
    text = _step_sensitivity(runs, "paper")
    assert "raised accuracy by 4.5 points on average" in text
    assert "by 8.0 points (model mlp1)" in text
    assert _step_sensitivity(runs, "demo") == ""
    assert _step_sensitivity(runs.assign(schedule="linear"), "paper") == ""


@pytest.mark.trains
def test_an_estimate_trains_nothing_and_counts_runs_examples_and_time(tmp_path):
    store = tmp_path / "s.sqlite"
    execution = Execution(workers=0, progress=False)
    budget = estimate(["fig10", "fig11"], store=store, execution=execution, seeds=1)
    assert not store.exists()
    frame = budget.table
    assert frame["study"].tolist() == ["fig10", "fig11"]
    runs = FIGURES["fig10"].plan(FigureInputs("digits", 1_437), "demo", 1)
    assert frame["runs"].tolist() == [len(runs), 4]  # half of those of Figure 11 are of Figure 10 too
    assert frame["finished"].tolist() == [0, 4]
    assert frame["examples"][0] == sum(run.steps * run.batch_size for run in runs)
    assert (frame["minutes"] > 0).all()
    assert "in all" in str(budget)
    with Store(store) as opened, opened.writer():
        opened.add("fig10/digits/demo", runs)
        finish(opened, runs, 0.1)
    assert estimate("fig10", store=store, execution=execution, seeds=1).total == NO_COST
