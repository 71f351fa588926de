"""Schedules of the learning rate: values computed by hand, warm-up, parameters, and functions of the user."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.errors import InputError
from dilution.study import Run
from dilution.study.prepare import prepare
from dilution.training import TrainConfig, list_schedules
from dilution.training.schedules import SCHEDULES, Step, resolve_schedule
from dilution.utils.references import source_digest


def factors(schedule, steps):
    factor = resolve_schedule(schedule).of_training(steps)
    return [factor(step) for step in range(steps)]


@pytest.mark.parametrize(
    ("schedule", "step", "factor"),
    [
        ("constant", 0, 1),
        ("constant", 99, 1),
        ("linear", 0, 1),
        ("linear", 30, 1),
        ("linear", 65, 0.5),
        ("linear", 99, 1 / 70),
        ("linear(decay=1)", 0, 1),
        ("linear(decay=1)", 75, 0.25),
        ("cosine", 0, 1),
        ("cosine", 25, 0.5 * (1 + 0.5**0.5)),
        ("cosine", 50, 0.5),
        ("step", 33, 1),
        ("step", 34, 0.1),
        ("step", 67, 0.01),
        ("step", 89, 0.001),
        ("step(drops=[0.5, 0.75], factor=0.2)", 49, 1),
        ("step(drops=[0.5, 0.75], factor=0.2)", 50, 0.2),
        ("step(drops=[0.5, 0.75], factor=0.2)", 75, 0.04),
        ("constant(warmup=0.2)", 0, 1 / 21),
        ("constant(warmup=0.2)", 19, 20 / 21),
        ("constant(warmup=0.2)", 20, 1),
        ("cosine(warmup=0.2)", 9, 10 / 21),
        ("cosine(warmup=0.2)", 20, 1),
        ("cosine(warmup=0.2)", 60, 0.5),
        ("linear(decay=1, warmup=0.2)", 60, 0.5),
        ("step(warmup=0.2)", 34, 0.1),  # drops are shares of all steps
    ],
)
def test_the_lr_factor_has_the_value_computed_by_hand(schedule, step, factor):
    assert factors(schedule, 100)[step] == pytest.approx(factor)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 3, 50])
def test_lr_factors_start_at_one_never_rise_and_stay_positive(schedule, steps):
    values = factors(schedule, steps)
    assert values[0] == 1
    assert values == sorted(values, reverse=True)
    assert values[-1] > 0


@given(st.sampled_from(list(SCHEDULES)), st.floats(0, 1, exclude_max=True), st.integers(1, 200))
def test_factors_rise_in_the_warm_up_to_one_and_fall_after_it(name, warmup, steps):
    values = factors(f"{name}(warmup={warmup!r})", steps)
    rising = min(round(warmup * steps), steps - 1)
    assert values[:rising] == sorted(set(values[:rising]))
    assert all(0 < value <= 1 for value in values)
    assert values[rising:] == sorted(values[rising:], reverse=True)
    if name != "step":
        assert values[rising] == 1


@given(st.integers(1, 10**15))
def test_default_drops_are_after_exactly_a_third_two_thirds_and_eight_ninths(steps):
    factor = resolve_schedule("step").of_training(steps)
    for ninths in (3, 6, 8):
        first = -(-ninths * steps // 9)  # the first step with 9 step ≥ ninths steps
        drops = sum(first * 9 >= part * steps for part in (3, 6, 8))
        assert factor(first) == math.prod([0.1] * drops)
        before = sum((first - 1) * 9 >= part * steps for part in (3, 6, 8))
        assert factor(first - 1) == math.prod([0.1] * before)


def test_parameters_are_canonical_and_defaults_left_out():
    config = TrainConfig(schedule="step( factor = 0.5,drops=[0.5, 0.75] )")
    assert config.schedule == "step(drops=[0.5, 0.75], factor=0.5)"
    assert TrainConfig(schedule="cosine(warmup=0)").schedule == "cosine"
    assert TrainConfig(schedule=Step(drops=(0.5,))).schedule == "step(drops=[0.5])"
    assert set(list_schedules()) == set(SCHEDULES)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("cosin", "'cosin' is not a schedule. Did you mean 'cosine'"),
        ("cosine(warmup=1)", "warmup is 1.*below 1"),
        ("cosine(warmup=-0.1)", "warmup is -0.1.*at least 0"),
        ("cosine(warm=0.1)", "'warm' is not a parameter of this schedule. Did you mean 'warmup'"),
        ("linear(decay=0)", "decay is 0.*above 0"),
        (
            "step(drops=[])",
            r"drops is \[\]; it must be a list of one or more shares .* schedule='step\(drops=",
        ),
        ("step(drops=0.5)", "drops is 0.5; it must be a list of one or more shares"),
        ("step(drops=[0.75, 0.5])", r"drops is \[0.75, 0.5\]; they must be in ascending order"),
        ("step(drops=[0.5, 1.5])", "1.5.*less than 1"),
        ("step(factor=2)", "factor is 2.*below 1"),
        ("step(0.5)", "every parameter needs its name"),
        (3, "schedule is 3; it must be a name, such as 'cosine'"),
    ],
)
def test_a_bad_schedule_gives_value_rule_and_remedy(schedule, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(schedule=schedule)


def test_a_function_of_ones_own_is_a_schedule_with_parameters(module):
    name = module("""
        def polynomial(step, steps, power=1):
            return (1 - step / steps) ** power
    """)
    assert factors(f"{name}:polynomial", 4) == [1, 0.75, 0.5, 0.25]
    assert factors(f"{name}:polynomial(power=2)", 4) == [1, 0.5625, 0.25, 0.0625]
    run = Run.of(dataset="digits", n=50, alpha=1, model="mlp1", schedule=f"{name}:polynomial(power=2)")
    (prepared,) = prepare([run], None)
    assert prepared.fingerprint == source_digest(f"{name}:polynomial", "schedule")
    assert prepared.key != run.key


BROKEN = {
    "none": ("None", "returned None for step 0. Rule: .*finite"),
    "nan": ("float('nan')", "returned nan"),
    "negative": ("-1.0", "returned -1.0"),
    "huge": ("10**400", "returned 1000.* for step 0. Rule: .*finite"),
    "text": ("'1'", "returned '1'"),
    "truth": ("True", "returned True"),
    "raises": ("1 / (steps - step - 1)", r"called as factor\(\d+, \d+\) it raised ZeroDivisionError"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_schedule_that_breaks_its_rule_is_refused_before_the_first_step(module, kind):
    source, message = BROKEN[kind]
    name = module(f"""
        def factor(step, steps):
            return {source}
    """)
    with pytest.raises(InputError, match=message):
        prepare([Run.of(dataset="digits", n=50, alpha=1, model="mlp1", schedule=f"{name}:factor")], None)
