"""What runs cost, before anything starts."""

import pytest

from dilution.data import load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.study import Run
from dilution.study.budget import Budget, Cost, Machine, _makespan, estimate_cost
from dilution.study.execution import Execution
from dilution.study.gpu_rates import gpu_rate
from dilution.study.grouping import operations_per_image
from dilution.training import TrainConfig, TrainTask
from dilution.training.pace import Pace, measure_pace

INLINE = Execution(workers=0, progress=False)


def run_of(**settings):
    return Run.of(**{"dataset": "digits", "n": 500, "alpha": 2, "model": "mlp1", "steps": 100} | settings)


def test_groups_start_when_their_cores_are_free():
    assert _makespan([(3, 1), (2, 1), (2, 1)], 2) == 4
    assert _makespan([(3, 1), (3, 1)], 1) == 6
    assert _makespan([(3, 2), (2, 1)], 2) == 5
    assert _makespan([], 2) == 0


def test_the_time_of_a_training_is_that_of_its_steps_evaluations_and_set_up():
    pace = Pace(step=0.1, evaluated_image=0.001, set_up=2.0)
    assert pace.seconds(models=3, steps=50, evaluated_images=1_000) == pytest.approx(3 * 2 + 50 * 0.1 + 3)


def test_measuring_a_pace_stops_at_the_end_of_a_short_training():
    data = load("digits")
    config = TrainConfig(steps=3, batch_size=16, n_evals=1)
    tasks = [
        TrainTask("mlp1", Dilution(data.train, 1, n=100), data.test, seed, 10, config) for seed in (0, 1)
    ]
    pace = measure_pace(tasks, "cpu", 5.0)
    assert 0 < pace.step < 5
    assert pace.evaluated_image == pytest.approx(pace.step / (3 * 2 * 16))


@pytest.mark.trains
def test_twice_the_steps_cost_more_and_estimators_are_counted_without_a_time():
    machine = Machine(INLINE)
    first = estimate_cost([run_of(steps=1_000)], machine)
    second = estimate_cost([run_of(steps=5_000)], machine)
    assert (first.examples, second.examples) == (128_000, 640_000)
    assert first.seconds < second.seconds < 5.1 * first.seconds  # measured once
    with_estimator = estimate_cost([run_of(steps=1_000), run_of(model="sklearn:knn", steps=None)], machine)
    assert with_estimator.not_predicted == 1
    assert with_estimator.examples == 128_000
    assert "The time of 1 run that fits an estimator is not predicted." in str(
        Budget({"a": with_estimator}, {"a": 0}, "this one")
    )


def test_a_gpu_without_known_rates_and_a_model_without_one_are_named():
    with pytest.raises(InputError, match=r"'b200' is not a GPU with known rates\..*There are: h200"):
        gpu_rate("b200", "conv4", "bfloat16")
    with pytest.raises(InputError, match="not a model with a known rate on h200"):
        gpu_rate("h200", "own:net", "bfloat16")
    rate = gpu_rate("H200", "conv4", "bfloat16")
    assert rate.examples_per_second(114e6, 32) == pytest.approx(1.49e6, rel=0.01)
    assert rate.examples_per_second(114e6, 8) == pytest.approx(1.15e6, rel=0.01)
    mlp2 = 3 * operations_per_image("mlp2", (1, 28, 28), 10)
    assert gpu_rate("H200", "mlp2", "bfloat16").examples_per_second(mlp2, 32) == pytest.approx(
        10.7e6, rel=0.01
    )


def test_rates_of_a_gpu_are_those_of_the_precision_and_the_budget_says_which():
    assert gpu_rate("h200", "conv4", "float32").examples_per_second(114e6, 32) == pytest.approx(
        163e3, rel=0.01
    )
    costs, notes = {}, {}
    for precision in ("bfloat16", "float32"):
        machine = Machine(INLINE, "h200")
        runs = [run_of(model=model, precision=precision, steps=5_000) for model in ("conv4", "resnet18")]
        costs[precision] = [estimate_cost([run], machine).seconds for run in runs]
        notes[precision] = machine.notes
        assert machine.title == f"one H200, by the rates of docs/researchers.md, in {precision}"
    assert all(slow > 1.1 * fast for slow, fast in zip(costs["float32"], costs["bfloat16"], strict=True))
    assert notes["bfloat16"] == (
        "The rate of resnet18 in bfloat16 is assumed: a tenth of the bfloat16 product.",
    )
    assert (
        "ConvNets in float32 (conv4) train by torch; precision 'bfloat16' (--precision bfloat16)"
        in notes["float32"][0]
    )
    assert notes["float32"][0] in str(Budget({}, {}, "h200", notes["float32"]))


def test_the_comparison_of_gradients_is_part_of_a_cost():
    machine = Machine(INLINE, "h200")
    runs = [run_of(n_val=50, model="conv4", seed=seed) for seed in range(4)]
    compared = [run.model_copy(update={"compare_gradients": True}) for run in runs]
    plain, both = estimate_cost(runs, machine), estimate_cost(compared, machine)
    assert both.examples - plain.examples == 4 * 2 * 450
    one = estimate_cost([run_of(n_val=50, model="conv4", steps=1, batch_size=450, n_evals=1)], machine)
    evaluated = 410 / 3  # training examples: 360 test images and 50 validation images
    step = (one.seconds - 0.05) / (450 + evaluated) * 450  # one example after the other, by one model
    assert both.seconds - plain.seconds == pytest.approx(4 * 2 * step, rel=0.01)


def test_costs_add_up_and_a_budget_shows_them_in_a_table():
    budget = Budget(
        {"fig1": Cost(2, 1_000, 90.0), "fig2": Cost(1, 500, 30.0)}, {"fig1": 3, "fig2": 0}, "here"
    )
    assert budget.total == Cost(3, 1_500, 120.0)
    assert budget.table["minutes"].tolist() == [1.5, 0.5]
    assert str(budget).splitlines() == [
        "study   runs  finished  examples  predicted",
        "fig1       2         3     1,000      2 min",
        "fig2       1         0       500       30 s",
        "in all     3         3     1,500      2 min",
        "Machine: here.",
    ]
    assert repr(budget) == "Budget(3 runs, 1,500 examples, 2 min)"
