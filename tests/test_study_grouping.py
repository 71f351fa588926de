"""Run groups: which runs can train together, and the rule that groups them."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dilution.models import build_model
from dilution.study import Run
from dilution.study.grouping import (
    GPU_GROUP_SIZE,
    STACK_SIZE,
    RunGroup,
    by_group_key,
    expected_steps,
    group_key,
    group_runs,
    operations_per_image,
    split,
)

BASE = {"dataset": "digits", "n": 200, "model": "mlp2", "targets": "pooled", "epochs": 400, "alpha": 1}


def small(**changes):
    return Run.of(**BASE | changes)


def seeds(count, **changes):
    return [small(seed=seed, **changes) for seed in range(count)]


def grouped(runs, cores=2, study=None, **settings):
    groups = group_runs(runs, None, study=study or runs, cores=cores, **settings)
    assert sorted(run.key for group in groups for run in group.runs) == sorted(run.key for run in runs)
    return groups


def sizes(groups):
    return [len(group.runs) for group in groups]


def test_runs_that_differ_in_noise_seed_and_learning_rate_have_one_group_key():
    runs = [small(), small(seed=1), small(alpha=20), small(lr=0.3), small(noise="structured", delta=0.5)]
    assert len(by_group_key(runs)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"model": "mlp1"},
        {"batch_size": 64},
        {"epochs": 401},
        {"optimizer": "adam"},
        {"schedule": "cosine"},
        {"ema_decay": 0.9},
        {"n_evals": 3},
        {"n": 300},
        {"targets": "expected"},
    ],
)
def test_runs_that_differ_in_a_setting_of_the_ensemble_do_not(change):
    assert group_key(small(**change)) != group_key(small())


def test_with_sampled_targets_the_noise_level_determines_the_number_of_steps():
    one, three = small(targets="sampled"), small(targets="sampled", alpha=3)
    assert (expected_steps(one), expected_steps(three)) == (round(400 * 360 / 128), round(400 * 720 / 128))
    assert group_key(one) != group_key(three)
    by_rate = [small(targets="sampled", alpha=None, eta=0.3, seed=seed) for seed in range(2)]
    assert group_key(by_rate[0]) != group_key(by_rate[1])  # rounding may differ between seeds
    fixed = [run.model_copy(update={"epochs": None, "steps": 9}) for run in by_rate]
    assert len(by_group_key(fixed)) == 1


@given(st.integers(1, 60), st.integers(1, 60))
def test_splitting_keeps_every_run_in_order_and_sizes_even(count, parts):
    runs = [small().model_copy(update={"seed": seed}) for seed in range(count)]
    divided = split(runs, parts)
    assert [run for part in divided for run in part] == runs
    part_sizes = [len(part) for part in divided]
    assert len(divided) == min(count, parts)
    assert max(part_sizes) - min(part_sizes) <= 1


@pytest.mark.parametrize(
    ("runs", "cores", "expected"),
    [
        (1, 1, [1]),
        (3, 1, [3]),
        (9, 1, [4, 5]),
        (8, 2, [4, 4]),
        (12, 8, [1, 1, 2, 2, 2, 2, 1, 1]),
        (40, 2, [7, 6, 7, 7, 6, 7]),
        (100, 8, [6, 6, 6, 7] * 4),
    ],
)
def test_mlps_are_stacked_and_every_core_gets_its_part(runs, cores, expected):
    groups = grouped(seeds(runs), cores)
    assert sorted(sizes(groups)) == sorted(expected)
    assert max(sizes(groups)) <= STACK_SIZE
    assert len(groups) % min(cores, runs) == 0
    assert {group.threads for group in groups} == {1}


@pytest.mark.parametrize("model", ["conv2", "resnet18_w16"])
def test_other_models_train_alone_on_cores_and_together_on_a_gpu(model):
    runs = seeds(40, model=model)
    assert sizes(grouped(runs)) == [1] * 40
    on_a_gpu = grouped(runs, cores=1, device="cuda")
    assert sizes(on_a_gpu) == [20, 20]
    assert max(sizes(on_a_gpu)) <= GPU_GROUP_SIZE
    assert {(group.threads, group.device) for group in on_a_gpu} == {(1, "cuda")}


@pytest.mark.parametrize(
    ("runs", "cores", "threads"), [(1, 2, 2), (1, 8, 8), (3, 16, 5), (7, 8, 1), (8, 8, 1), (9, 8, 1)]
)
def test_fewer_runs_than_cores_share_the_cores(runs, cores, threads):
    assert {group.threads for group in grouped(seeds(runs), cores)} == {threads}
    assert {group.threads for group in grouped(seeds(runs), cores, shares_cores=False)} == {1}


@pytest.mark.parametrize(
    ("runs", "cores", "threads"),
    [(3, 2, 2), (4, 2, 1), (9, 8, 2), (12, 8, 2), (13, 8, 1), (8, 8, 1), (2, 1, 1)],
)
def test_a_few_more_convnets_than_cores_train_with_two_threads(runs, cores, threads):
    assert {group.threads for group in grouped(seeds(runs, model="conv2"), cores)} == {threads}


def test_the_rest_of_a_study_trains_with_as_many_threads_as_without_an_interruption():
    runs = seeds(6)
    (group,) = grouped(runs[-1:], study=runs)
    assert group.threads == 1
    (group,) = grouped(runs[-1:])
    assert group.threads == 2


def test_expensive_groups_come_first():
    changes = [
        {"epochs": 1},
        {"model": "conv4", "epochs": 9},
        {"epochs": 900},
        {"model": "conv4", "epochs": 90},
    ]
    groups = grouped([small(**change) for change in changes], cores=1)
    assert [(group.runs[0].model, group.runs[0].epochs) for group in groups] == [
        ("conv4", 90),
        ("mlp2", 900),
        ("conv4", 9),
        ("mlp2", 1),
    ]
    costs = [group.cost for group in groups]
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] > 0


def test_the_cost_of_a_model_counts_its_products():
    from torch.utils.flop_counter import FlopCounterMode

    for model in ("perceptron", "mlp2", "conv2", "conv4"):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            build_model(model, (1, 28, 28), 10, seed=0)(torch.zeros(1, 1, 28, 28))
        assert operations_per_image(model, (1, 28, 28), 10) == counter.get_total_flops()


def test_an_estimator_is_fitted_alone_with_one_thread():
    groups = grouped([*seeds(2, model="sklearn:logistic"), small()], cores=8)
    assert sizes(groups) == [1, 1, 1]
    assert sorted(group.threads for group in groups) == [1, 1, 2]


def test_grouping_draws_no_random_number_from_the_global_generator(module):
    name = module("""
        import torch

        class Net(torch.nn.Module):
            def __init__(self, shape, classes):
                super().__init__()
                self.layer = torch.nn.Linear(64, classes)

            def forward(self, images):
                return self.layer(images.flatten(1) + torch.rand(64))
        """)
    before = torch.random.get_rng_state()
    grouped([small(model=f"{name}:Net", fingerprint="x")])
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_part_of_a_group_has_its_part_of_the_cost():
    group = RunGroup(seeds(4), threads=2, cost=8.0)
    assert [single.cost for single in group.single_runs()] == [2.0] * 4
    assert group.subset(group.runs[:3]).cost == 6.0
    assert group.subset(group.runs[:3]).threads == 2
