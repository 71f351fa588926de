"""Every training strategy: its rule in plain code, groups, resumption, selection; and those of the user."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from commands import dilution as command
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import dilution
from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.study import Execution, Grid, Run, Study
from dilution.study.budget import Machine
from dilution.study.grouping import RunGroup, group_runs
from dilution.study.prepare import prepare
from dilution.training import TrainConfig, TrainTask, train, train_together
from dilution.training.augment import Augmentation
from dilution.training.batches import Batch
from dilution.training.checkpoint import Checkpoint
from dilution.training.distributed import WHOLE_BATCH, Shard
from dilution.training.evaluation import Normalise
from dilution.training.losses import LOSSES, resolve_loss
from dilution.training.replica import Replica
from dilution.training.strategies import (
    STRATEGIES,
    AveragedNetworks,
    Examples,
    Network,
    StrategyContext,
    TrainingBatch,
    list_strategies,
    resolve_strategy,
)
from dilution.training.strategies.divide_mix import clean_probabilities
from dilution.training.trainer import Trainer, check_shardable
from dilution.utils.references import source_digest

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
TEXTS = {
    "plain": "plain",
    "co_teaching": "co_teaching(forget_rate=0.4, ramp_epochs=2)",
    "divide_mix": "divide_mix(lambda_u=5, ramp_epochs=2, warm_up=1)",
}
OWN = """
    import torch
    from torch import nn

    class Patient(nn.Module):
        '''Leaves out the examples with the largest losses at the start of each epoch.'''

        networks = 2

        def __init__(self, share=0.3, *, examples):
            super().__init__()
            self.share = share
            self.register_buffer("kept", torch.ones(examples))

        def start_epoch(self, networks, examples, epoch):
            losses = sum(examples.losses(network) for network in networks)
            self.kept.copy_((losses <= losses.quantile(1 - self.share)).float())

        def forward(self, networks, batch):
            weights = self.kept[batch.index] + 1e-3
            views = [batch.view(number) for number in range(len(networks))]
            losses = [batch.losses(network(view)) for network, view in zip(networks, views)]
            noise = torch.from_numpy(batch.random.random(len(weights))).to(weights)
            return sum((weights * (1 + 0.1 * noise) * each).sum() / weights.sum() for each in losses)

    def plain():
        return lambda networks, batch: batch.losses(networks[0](batch.images)).mean()

    class Twice(nn.Module):
        '''Trains both networks plainly; its loss is twice that of the first.'''

        networks = 2

        def forward(self, networks, batch):
            first, second = (batch.losses(network(batch.images)).mean() for network in networks)
            return first + second + (first - second).detach()
"""


@pytest.fixture
def text_of(module):
    """Return the text of a strategy by its name here: a built-in one, or one of the user."""

    def text(name):
        return TEXTS.get(name) or f"{module(OWN)}:Patient(share=0.4)"

    return text


every_strategy = pytest.mark.parametrize("name", [*TEXTS, "own"])


def tasks(strategy, model="mlp1", replicas=2, **settings):
    """Return trainings that differ in noise, subset and seed: 20 steps are 3 to 6 epochs."""
    digits = load("digits")
    config = TrainConfig(
        **{"strategy": strategy, "optimizer": "adam", "lr": 0.003, "steps": 20, "batch_size": 32}
        | {"n_evals": 2}
        | settings
    )
    sets = [Dilution(digits.train, 0.5 + seed, n=80, seed=seed) for seed in range(replicas)]
    same_length = [Dilution(digits.train, 0.5, n=80, seed=seed) for seed in range(replicas)]
    chosen = sets if config.steps is not None else same_length
    test = digits.test.subset(torch.arange(40))
    return [TrainTask(model, noisy, test, noisy.seed, 8, config) for noisy in chosen]


def weights(result):
    return torch.cat([part.flatten() for part in result.model.state_dict().values()])


def context(**changes):
    settings = {
        "shape": (1, 4, 4),
        "classes": 3,
        "examples": 40,
        "batch_size": 12,
        "epochs": 20.0,
        "noise_rate": 0.3,
    }
    return StrategyContext(**settings | {"loss": "cross_entropy", "device": CPU} | changes)


def networks(count=2, classes=3, seed=0):
    torch.manual_seed(seed)
    return [Network(nn.Sequential(nn.Flatten(), nn.Linear(16, classes))) for _ in range(count)]


def batch(size=12, epoch=0, step=0, classes=3, views=None, examples=40):
    generator = torch.Generator().manual_seed(step)
    images = torch.randn(size, 1, 4, 4, generator=generator)
    labels = torch.randint(classes, (size,), generator=generator)
    index = torch.randperm(examples, generator=generator)[:size]
    shown = {0: images} | (views or {})

    def losses(logits, labels):
        return F.cross_entropy(logits, labels, reduction="none")

    return TrainingBatch(images, labels, index, step, epoch, losses, lambda number: shown[number], key=7)


# --- settings ---


def test_every_registered_strategy_has_a_case_here():
    assert set(TEXTS) == set(STRATEGIES) == set(list_strategies()) == set(dilution.list_strategies())


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_text_names_a_strategy_and_only_what_differs_from_the_default(name):
    strategy = resolve_strategy(TEXTS[name])
    assert strategy.text == TrainConfig(strategy=strategy).strategy == resolve_strategy(strategy.text).text
    assert STRATEGIES[name]().text == name
    defaults = {key: field.default for key, field in STRATEGIES[name].model_fields.items()}
    assert STRATEGIES[name](**defaults).text == name


def test_equal_strategies_are_equal_settings_however_they_are_written():
    texts = ["co_teaching(ramp_epochs=5,forget_rate=0.2)", "co_teaching( forget_rate = .2, ramp_epochs=5.0 )"]
    assert {TrainConfig(strategy=text).strategy for text in texts} == {
        "co_teaching(forget_rate=0.2, ramp_epochs=5.0)"
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("coteaching", "Did you mean 'co_teaching'"),
        ("co_teaching(rate=0.2)", "'rate' is not a parameter of this strategy.*There are: exponent"),
        ("plain(q=1)", "no parameter 'q'.*Give strategy='plain'"),
        ("co_teaching(forget_rate=1)", "forget_rate is 1; it must be at least 0 and below 1"),
        ("co_teaching(ramp_epochs=0)", "above 0"),
        ("co_teaching(0.2)", "every parameter needs its name.*co_teaching\\(forget_rate=0.2\\)"),
        ("divide_mix(warm_up=2.5)", "warm_up is 2.5; it must be a valid integer"),
        ("divide_mix(threshold=1)", "below 1"),
        ("divide_mix(temperature=0)", "above 0"),
        ("divide_mix(alpha=1e999)", "finite"),
        (3, "strategy is 3; it must be a name, such as 'co_teaching'"),
        (nn.Linear(1, 1), "'module:factory' of a strategy of your own"),
    ],
)
def test_a_parameter_that_breaks_its_rule_is_refused_with_the_rule(text, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(strategy=text)


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "plain"])
@pytest.mark.parametrize(
    ("settings", "remedy"),
    [
        ({"targets": "pooled"}, {"targets": "sampled"}),
        ({"targets": "expected"}, {"targets": "sampled"}),
        ({"mixup": 0.2}, {"mixup": 0}),
        ({"loss": "elr"}, {"loss": "cross_entropy"}),
    ],
)
def test_what_does_not_go_with_a_strategy_is_refused_with_a_remedy(name, settings, remedy):
    with pytest.raises(InputError, match=f"strategy is '{name}' and .*(Give|Leave)") as caught:
        TrainConfig(strategy=name, **settings)
    assert TrainConfig(strategy=name, **settings | remedy).strategy == name
    assert TrainConfig(strategy="plain", **settings)
    ((setting, value),) = remedy.items()
    assert f"{setting}={value!r}" in str(caught.value) or f"Leave {setting} out" in str(caught.value)


def test_divide_mix_has_a_loss_of_its_own():
    with pytest.raises(InputError, match=r"the strategy has a loss of its own.*Leave loss out"):
        TrainConfig(strategy="divide_mix", loss="gce")
    assert TrainConfig(strategy="co_teaching", loss="gce")


@pytest.mark.parametrize("strategy", ["co_teaching", "divide_mix", "own:strategy"])
def test_processes_that_share_a_batch_are_refused(strategy):
    check_shardable(TrainConfig(strategy=strategy), WHOLE_BATCH)
    with pytest.raises(InputError, match=r"strategy is .*Leave parallel out"):
        check_shardable(TrainConfig(strategy=strategy), Shard(0, 2))


def test_too_few_epochs_are_refused_with_parameters_that_suit():
    co_teaching = resolve_strategy("co_teaching(exponent=2)")
    co_teaching.check(context(epochs=4))
    for text, epochs in [("co_teaching", 3.7), ("co_teaching(exponent=2)", 1.3), ("divide_mix", 10.0)]:
        with pytest.raises(InputError, match=r"Give strategy='(.*)', or more") as caught:
            resolve_strategy(text).check(context(epochs=epochs))
        remedy = re.search(r"Give strategy='(.*?)', or", str(caught.value))[1]
        resolve_strategy(remedy).check(context(epochs=epochs))
    resolve_strategy("divide_mix").check(context(epochs=10.5))


def test_an_estimator_refuses_a_strategy_that_it_would_not_use():
    with pytest.raises(InputError, match=r"strategy is 'co_teaching' and model is 'sklearn:knn'.*Leave"):
        Run.of(dataset="digits", n=50, alpha=1, model="sklearn:knn", strategy="co_teaching")


def test_the_table_of_the_documentation_has_every_strategy_with_its_published_parameters():
    page = (Path(__file__).parent.parent / "docs" / "strategies.md").read_text("utf-8")
    page = page.partition("## The strategies")[2].partition("\n## ")[0]
    for name, strategy in STRATEGIES.items():
        (row,) = re.findall(rf"^\| `{name}` \|(.*)$", page, re.MULTILINE)
        cells = [cell.strip() for cell in row.split("|")]
        assert cells[1] == str(strategy.networks)
        assert cells[4] == f"{strategy.cost:g}"
        for parameter, field in strategy.model_fields.items():
            given = "the run's own" if field.default is None else f"{field.default:g}"
            assert re.search(rf"`{parameter}`(:| =) {re.escape(given)}", cells[2]), (name, parameter)


# --- the rules of the strategies, against plain code ---


@pytest.mark.parametrize(("epoch", "kept"), [(0, 1.0), (1, 0.8), (2, 0.6), (3, 0.6), (100, 0.6)])
def test_co_teaching_keeps_fewer_examples_from_epoch_to_epoch(epoch, kept):
    strategy = resolve_strategy("co_teaching(forget_rate=0.4, ramp_epochs=2)")
    assert strategy.share_kept(epoch, 0.1) == pytest.approx(kept)
    assert resolve_strategy("co_teaching(ramp_epochs=2)").share_kept(epoch, 0.4) == pytest.approx(kept)


@given(st.floats(0, 0.99), st.floats(0.5, 50), st.floats(0.2, 3), st.integers(0, 300), st.integers(1, 60))
def test_co_teaching_trains_each_network_on_the_smallest_losses_of_the_other(rate, ramp, c, epoch, size):
    strategy = resolve_strategy(f"co_teaching(forget_rate={rate}, ramp_epochs={ramp}, exponent={c})")
    pair, shown = networks(), batch(min(size, 40), epoch)
    loss = strategy.of_replica(context())(pair, shown)
    with torch.no_grad():
        first, second = (
            F.cross_entropy(network(shown.images), shown.labels, reduction="none").tolist()
            for network in pair
        )
    count = max(1, round((1 - rate * min(epoch**c / ramp, 1)) * len(first)))
    by_second = sorted(range(len(second)), key=lambda place: second[place])[:count]
    by_first = sorted(range(len(first)), key=lambda place: first[place])[:count]
    expected = sum(first[place] for place in by_second) / count
    expected += sum(second[place] for place in by_first) / count
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-4)


def naive_divide_mix(strategy, pair, shown, clean, classes=3):
    """Return the loss of a step as the paper writes it, in float64 and one example after the other."""
    views = [shown.view(number) for number in range(strategy.views)]
    with torch.no_grad():
        p = [sum(network(view).double().softmax(dim=1) for view in views) / len(views) for network in pair]
    random, total = shown.random, 0.0
    for number, network in enumerate(pair):
        targets, labelled = [], []
        for place, (label, example) in enumerate(zip(shown.labels, shown.index, strict=True)):
            w = float(clean[number, example])
            target = (p[0][place] + p[1][place]) / 2
            if w > strategy.threshold:
                target = w * F.one_hot(label, classes) + (1 - w) * p[number][place]
            powers = target ** (1 / strategy.temperature)
            targets.append(powers / powers.sum())
            labelled.append(w > strategy.threshold)
        x, q = torch.cat(views), torch.stack(targets).repeat(len(views), 1)
        labelled = torch.tensor(labelled).repeat(len(views))
        beta = random.beta(strategy.alpha, strategy.alpha)
        weight = max(beta, 1 - beta)
        other = random.permutation(len(x))
        mixed = weight * x + (1 - weight) * x[other]
        q = weight * q + (1 - weight) * q[other]
        f = network(mixed).double().softmax(dim=1)
        total = total + sum((1 / classes) * torch.log((1 / classes) / f[:, k].mean()) for k in range(classes))
        if labelled.any():
            total = total - (q * f.log())[labelled].sum(dim=1).mean()
        if not labelled.all():
            ramp = min(1, (shown.epoch - strategy.warm_up) / strategy.ramp_epochs)
            total = total + strategy.lambda_u * ramp * ((q - f) ** 2)[~labelled].mean()
    return total


@pytest.mark.parametrize("clean", ["some", "all", "none"])
@pytest.mark.parametrize("views", [1, 2, 3])
@pytest.mark.parametrize("epoch", [2, 5, 40])
def test_a_step_of_divide_mix_is_that_of_its_formula(views, clean, epoch):
    strategy = resolve_strategy(f"divide_mix(warm_up=2, views={views}, ramp_epochs=8, threshold=0.4)")
    generator = torch.Generator().manual_seed(views)
    shown = batch(
        epoch=epoch, views={n: torch.randn(12, 1, 4, 4, generator=generator) for n in range(1, views)}
    )
    procedure = strategy.of_replica(context())
    procedure.clean.copy_(torch.rand(2, 40, generator=generator))
    if clean != "some":
        procedure.clean.fill_(1.0 if clean == "all" else 0.2)
    for number, network in enumerate(networks()):
        assert number < procedure.networks
        network.train()
    pair = networks()
    loss = procedure(pair, shown)
    again = replace(shown)  # the same random numbers once more
    expected = naive_divide_mix(strategy, pair, again, procedure.clean)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)
    expected_gradients = torch.autograd.grad(expected, [w for n in pair for w in n.parameters()])
    loss.backward()
    for weight, gradient in zip([w for n in pair for w in n.parameters()], expected_gradients, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-3, atol=1e-5)


def test_equal_views_are_predicted_once_by_each_network_of_divide_mix(monkeypatch):
    strategy = resolve_strategy("divide_mix(warm_up=2, views=3)")
    shown = batch(epoch=5)
    shown = replace(shown, augmented=lambda _: shown.images)
    procedure, pair, predicted, predict = strategy.of_replica(context()), networks(), [], Network.predict
    monkeypatch.setattr(Network, "predict", lambda self, x: predicted.append(self) or predict(self, x))
    loss = procedure(pair, shown)
    assert predicted == list(pair)
    expected = naive_divide_mix(strategy, pair, replace(shown), procedure.clean)
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-4)


@pytest.mark.parametrize("penalty", [0.0, 1.5])
def test_the_warm_up_of_divide_mix_trains_both_networks_by_cross_entropy(penalty):
    strategy = resolve_strategy(f"divide_mix(penalty={penalty})")
    pair, shown = networks(), batch(epoch=9)
    loss = strategy.of_replica(context())(pair, shown)
    expected = 0.0
    for network in pair:
        f = network(shown.images).detach().double().softmax(dim=1)
        entropy = -(f * f.log()).sum(dim=1).mean()
        expected += float(-f.log()[range(12), shown.labels].mean() - penalty * entropy)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)


def test_the_division_tells_small_losses_from_large_ones():
    generator = torch.Generator().manual_seed(0)
    losses = torch.cat([torch.rand(300, generator=generator) * 0.4, 2 + torch.rand(200, generator=generator)])
    w = clean_probabilities(losses)
    assert w.dtype == torch.float32
    assert bool((w[:300] > 0.9).all())
    assert bool((w[300:] < 0.1).all())
    assert torch.equal(clean_probabilities(losses), w)


def test_each_network_of_divide_mix_gets_the_division_by_the_losses_of_the_other_after_the_warm_up():
    procedure = resolve_strategy("divide_mix(warm_up=2)").of_replica(context())
    small, large = torch.linspace(0, 0.1, 20), torch.linspace(2, 2.1, 20)
    first, second = pair = networks()
    losses = {first: torch.cat([small, large]), second: torch.cat([large, small])}
    examples = SimpleNamespace(losses=losses.get)
    for epoch in (0, 1):
        procedure.start_epoch(pair, examples, epoch)
        assert bool((procedure.clean == 1).all())
    procedure.start_epoch(pair, examples, 2)
    is_small = torch.arange(40) < 20  # the losses of the first network
    assert torch.equal(procedure.clean > 0.5, torch.stack([~is_small, is_small]))


@pytest.mark.parametrize(
    "losses", [[1.0, 1.0, 1.0], [1.0, float("nan"), 2.0], [1.0, float("inf"), 2.0]], ids=str
)
def test_losses_that_cannot_be_divided_leave_all_labels(losses):
    assert clean_probabilities(torch.tensor(losses)).tolist() == [1.0, 1.0, 1.0]


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50))
def test_probabilities_of_correct_labels_are_probabilities(losses):
    w = clean_probabilities(torch.tensor(losses))
    assert bool(((w >= 0) & (w <= 1)).all())


def test_the_random_numbers_of_a_step_depend_on_seed_and_step_alone():
    draws = {
        (key, step): replace(batch(step=step), key=key).random.random() for key in (1, 2) for step in (0, 1)
    }
    assert len(set(draws.values())) == 4
    assert replace(batch(step=1), key=2).random.random() == draws[2, 1]


# --- what strategies see ---


@pytest.mark.parametrize("source", ["same", "fresh", "white_noise"])
def test_the_losses_of_all_examples_are_those_of_each(source):
    noisy = Dilution(load("digits").train, 1.5, n=60, image_source=source)
    examples = Examples.of(noisy, Normalise(noisy.data, noisy.clean_rows))
    torch.manual_seed(0)
    network = Network(nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Dropout(0.5)))
    index = torch.arange(len(examples))
    logits = network.model[:2](examples.images(index)).detach()  # without dropout, as in an evaluation
    assert len(examples) == 150
    torch.testing.assert_close(examples.predict(network), logits)
    expected = F.cross_entropy(logits, noisy.labels(index), reduction="none")
    torch.testing.assert_close(examples.losses(network), expected)
    assert network.model.training


def test_another_view_augments_the_same_images_in_another_way():
    (task,) = tasks("divide_mix(warm_up=0)", replicas=1, translate=2)
    replica = Replica(task, CPU, WHOLE_BATCH)
    parts = replica.strategy_replica()
    first = next(replica.batches(3))
    shown = parts.batch(replica.normalise(first.images), first.targets, 3)
    assert torch.equal(shown.view(0), shown.images)
    assert not torch.equal(shown.view(1), shown.images)
    assert not torch.equal(shown.view(1), shown.view(2))
    assert torch.equal(shown.view(1), shown.view(1))
    plain, _ = zip(*(row.sort() for row in (shown.view(0).flatten(1), shown.view(1).flatten(1))), strict=True)
    inner = (plain[0] == plain[1]).double().mean()
    assert float(inner) > 0.5  # moved, and the pixels left are the same ones
    (plain_task,) = tasks("divide_mix(warm_up=0)", replicas=1)
    unmoved = Replica(plain_task, CPU, WHOLE_BATCH).strategy_replica()
    bare = unmoved.batch(shown.images, first.targets, 3)
    assert torch.equal(bare.view(1), bare.images)


@pytest.mark.parametrize("settings", [{"translate": 2}, {"hflip": True}, {"translate": 1, "hflip": True}, {}])
def test_a_batch_augmented_alone_is_that_of_the_stream(settings):
    images = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8)
    augmentation = Augmentation(TrainConfig(batch_size=8, **settings), (1, 8, 8), seed=3)
    for step, streamed in enumerate(augmentation.apply([Batch(images, torch.zeros(8))] * 3)):
        assert torch.equal(augmentation.apply_to(images, step), streamed.images)


def test_the_prediction_of_two_networks_is_the_mean_of_their_probabilities():
    first, second = nn.Linear(4, 3), nn.Linear(4, 3)
    x = 30 * torch.randn(20, 4)
    mean = (first(x).softmax(dim=1) + second(x).softmax(dim=1)) / 2
    torch.testing.assert_close(
        AveragedNetworks([first, second])(x).softmax(dim=1), mean, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("text", [name for name, loss in LOSSES.items() if loss.is_linear])
def test_losses_of_examples_have_the_mean_of_the_loss_and_its_gradient(text):
    noisy = Dilution(load("digits").train, 1.0, n=50)
    (task,) = tasks("plain", replicas=1)
    facts = Replica(replace(task, noisy=noisy), CPU, WHOLE_BATCH).loss_context(1)
    logits = torch.randn(9, 10, requires_grad=True)
    labels = torch.arange(9)
    losses = resolve_loss(text).of_examples(facts)(logits, labels)
    (gradient,) = torch.autograd.grad(losses.mean(), logits)
    expected, expected_gradient = resolve_loss(text).of_replica(facts)(logits.detach(), labels)
    assert losses.shape == (9,)
    torch.testing.assert_close(losses.mean().detach(), expected)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("text", ["forward", "forward(T=[[0.5, 0.5, 0], [0, 0.9, 0.1], [0.1, 0, 0.9]])"])
def test_forward_correction_of_examples_has_a_gradient_however_unlikely_the_label(text):
    data = load("digits").train
    three = Arrays(data.images[:60], torch.arange(60) % 3, ("a", "b", "c"))
    (task,) = tasks("plain", replicas=1)
    facts = Replica(replace(task, noisy=Dilution(three, 0.0)), CPU, WHOLE_BATCH).loss_context(1)
    logits = torch.tensor([[40.0, 0.0, -60.0], [0.0, 80.0, -20.0]], requires_grad=True)
    labels = torch.tensor([2, 0])
    losses = resolve_loss(text).of_examples(facts)(logits, labels)
    table = torch.from_numpy(resolve_loss(text).transition(facts))
    noisy = (logits.detach().double().softmax(dim=1) @ table).gather(1, labels[:, None])[:, 0]
    torch.testing.assert_close(losses.detach().double(), -noisy.log(), rtol=1e-5, atol=1e-6)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    for row, label in enumerate(labels.tolist()):
        exact = logits.detach()[row].double().requires_grad_()
        (-((exact.softmax(dim=0) @ table)[label]).log()).backward()
        torch.testing.assert_close(gradient[row].double(), exact.grad, rtol=1e-4, atol=1e-6)
    assert float(gradient.abs().amax(dim=1).min()) > 0.1


def test_forward_correction_of_examples_teaches_nothing_by_a_label_that_no_class_is_mistaken_for():
    (task,) = tasks("plain", replicas=1)
    facts = Replica(task, CPU, WHOLE_BATCH).loss_context(1)
    table = np.eye(10)
    table[3] = np.eye(10)[4]
    losses = resolve_loss(f"forward(T={table.tolist()})").of_examples(facts)
    logits = torch.randn(2, 10, requires_grad=True)
    (gradient,) = torch.autograd.grad(losses(logits, torch.tensor([3, 4])).sum(), logits)
    assert gradient.isfinite().all()
    assert float(gradient[0].abs().max()) < 1e-5 < float(gradient[1].abs().max())


def test_a_loss_with_a_memory_has_no_losses_of_examples():
    (task,) = tasks("plain", replicas=1)
    facts = Replica(task, CPU, WHOLE_BATCH).loss_context(1)
    with pytest.raises(InputError, match="depends on more than logits and one label"):
        resolve_loss("elr").of_examples(facts)


# --- trainings ---


@pytest.mark.trains
@pytest.mark.parametrize("model", ["mlp1", "conv2"])
@pytest.mark.parametrize(
    "settings", [{}, {"loss": "gce(q=0.5)"}, {"ema_decay": 0.8, "translate": 1}], ids=str
)
def test_a_plain_strategy_of_ones_own_trains_as_the_plain_loop(module, model, settings):
    own = train_together(tasks(f"{module(OWN)}:plain", model, **settings))
    for result, other in zip(own, train_together(tasks("plain", model, **settings)), strict=True):
        torch.testing.assert_close(weights(result), weights(other), rtol=1e-3, atol=1e-4)
        losses = other.history["train_loss"].tolist()
        assert result.history["train_loss"].tolist() == pytest.approx(losses, rel=1e-4)


@pytest.mark.trains
def test_the_training_loss_of_several_networks_is_their_mean(module):
    (pair,) = train_together(tasks(f"{module(OWN)}:Twice", replicas=1))
    (plain,) = train_together(tasks("plain", replicas=1))
    losses = plain.history["train_loss"].tolist()
    assert pair.history["train_loss"].tolist() == pytest.approx(losses, rel=1e-4)


@pytest.mark.trains
@pytest.mark.parametrize("loss", ["cross_entropy", "phuber"])
def test_co_teaching_that_leaves_nothing_out_trains_each_network_plainly(loss):
    (pair,) = train_together(tasks("co_teaching(forget_rate=0, ramp_epochs=1)", replicas=1, loss=loss))
    (plain,) = train_together(tasks("plain", replicas=1, loss=loss))
    first, second = (torch.cat([w.flatten() for w in model.parameters()]) for model in pair.model.models)
    torch.testing.assert_close(first.detach(), weights(plain), rtol=1e-3, atol=1e-4)
    assert not torch.allclose(first, second, atol=0.01)


@pytest.mark.trains
@every_strategy
def test_a_training_depends_on_its_seed_alone(text_of, name):
    text = text_of(name)
    (first,), (again,) = (train_together(tasks(text, replicas=1)) for _ in range(2))
    assert torch.equal(weights(first), weights(again))
    (task,) = tasks(text, replicas=1)
    (other,) = train_together([replace(task, seed=1)])
    assert not torch.equal(weights(first), weights(other))


@pytest.mark.trains
@every_strategy
def test_a_run_has_the_same_bits_alone_and_in_any_group(text_of, name):
    group = tasks(text_of(name), replicas=3)
    together = train_together(group)
    turned = train_together(group[::-1])[::-1]
    for task, result, other in zip(group, together, turned, strict=True):
        (alone,) = train_together([task])
        assert torch.equal(weights(alone), weights(result))
        assert torch.equal(weights(other), weights(result))
        pd.testing.assert_frame_equal(alone.history, result.history, check_exact=True)


class Interrupting(Checkpoint):
    """Saves at every evaluation; the process dies after the second time."""

    def __init__(self, path):
        super().__init__(path, "a training", 0)
        self.saves = 0

    def save(self, state):
        super().save(state)
        self.saves += 1
        if self.saves == 2:
            raise KeyboardInterrupt


DROPOUT = """
    from torch import nn

    def net(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.BatchNorm1d(20), nn.Dropout(0.3),
                             nn.Linear(20, classes))
"""


@pytest.mark.trains
@pytest.mark.parametrize(
    "settings",
    [
        {"ema_decay": 0.9, "translate": 1, "optimizer": "sgd", "schedule": "cosine"},
        {"precision": "bfloat16"},  # with Adam and without averages
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["mlp1", "own"])
@every_strategy
def test_a_training_that_was_killed_resumes_to_the_same_bits(
    text_of, module, tmp_path, name, model, settings
):
    text, network = text_of(name), f"{module(DROPOUT)}:net" if model == "own" else model

    def several():
        return tasks(text, network, steps=15, n_evals=5, **settings)

    whole = train_together(several())
    with pytest.raises(KeyboardInterrupt):
        train_together(several(), checkpoint=Interrupting(tmp_path / "a.pt"))
    saved = Checkpoint(tmp_path / "a.pt", "a training").load()
    assert 0 < saved["step"] < 15
    again = train_together(several(), checkpoint=Checkpoint(tmp_path / "a.pt", "a training"))
    for result, other in zip(again, whole, strict=True):
        assert result.state == "done"
        pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)
        assert torch.equal(weights(result), weights(other))


@pytest.mark.trains
def test_a_resumed_training_without_its_division_would_have_other_weights(tmp_path):
    """So that the test above cannot pass by a state that has no effect."""

    def divided():
        return tasks("divide_mix(warm_up=1, lambda_u=5, ramp_epochs=2)", replicas=1, n_evals=4)

    with pytest.raises(KeyboardInterrupt):
        train_together(divided(), checkpoint=Interrupting(tmp_path / "a.pt"))
    checkpoint = Checkpoint(tmp_path / "a.pt", "a training")
    saved = checkpoint.load()
    (procedure,) = [name for name in saved["ensemble"]["procedures"] if name.endswith("clean")]
    clean = saved["ensemble"]["procedures"][procedure]
    assert not (clean == 1).all()  # it was saved after a division
    saved["ensemble"]["procedures"][procedure] = torch.ones_like(clean)
    checkpoint.save(saved)
    (result,), (other,) = train_together(divided(), checkpoint=checkpoint), train_together(divided())
    assert not torch.equal(weights(result), weights(other))


@pytest.mark.trains
@every_strategy
def test_a_training_that_diverges_is_recorded_and_harms_no_other(text_of, name):
    first, second = tasks(text_of(name))
    wild = replace(second, config=second.config.model_copy(update={"lr": 1e20}))
    results = train_together([first, wild])
    assert [result.state for result in results] == ["done", "diverged"]
    (alone,) = train_together([first])
    assert torch.equal(weights(results[0]), weights(alone))


@pytest.mark.trains
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize("model", ["mlp1", "conv2"])
@every_strategy
def test_a_gpu_trains_by_every_strategy_as_the_cpu_does(text_of, name, model):
    text = text_of(name)
    on_gpu, again = (train_together(tasks(text, model, translate=1), "cuda") for _ in range(2))
    for result, other in zip(on_gpu, train_together(tasks(text, model, translate=1)), strict=True):
        expected = other.history["train_loss"].tolist()
        assert result.history["train_loss"].tolist() == pytest.approx(expected, rel=2e-2)
    for result, other in zip(on_gpu, again, strict=True):
        assert torch.equal(weights(result), weights(other))


@pytest.mark.trains
def test_the_reported_accuracy_of_two_networks_is_that_of_their_mean_prediction():
    (task,) = tasks("co_teaching(ramp_epochs=2)", replicas=1, steps=60)
    (result,) = train_together([replace(task, keep="best_noisy_val", compare_gradients=True)])
    assert isinstance(result.model, AveragedNetworks)
    test = task.test
    predicted = result.predict(test)
    best = result.history.loc[result.history["val_loss_noisy"].idxmin()]
    assert float((predicted.argmax(dim=1) == test.labels).double().mean()) == best["test_acc"]
    parts = [replace(result, model=model).predict(test) for model in result.model.models]
    torch.testing.assert_close(predicted, sum(parts) / 2, rtol=1e-4, atol=1e-6)
    assert result.gradients is not None
    assert 0 < result.gradients.cosine <= 1


def patterns(n=480, classes=3, rate=0.4, seed=0):
    """Return images of well separated classes, of which a share has a wrong label."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % classes
    images = torch.randn(classes, 1, 4, 4, generator=generator)[labels]
    images = images + 0.2 * torch.randn(n, 1, 4, 4, generator=generator)
    arrays = Arrays(images, labels, tuple("abc"[:classes]))
    return Dilution(arrays, eta=rate, label_mode="replaced", n=n, seed=seed), arrays


@pytest.mark.trains
@pytest.mark.parametrize("name", ["co_teaching(ramp_epochs=3)", "divide_mix(warm_up=3, lambda_u=1)"])
def test_the_selection_finds_the_wrong_labels_of_an_easy_problem(name):
    noisy, arrays = patterns()
    config = TrainConfig(strategy=name, optimizer="adam", lr=0.003, epochs=12, batch_size=32, n_evals=1)
    trainer = Trainer([TrainTask("mlp1", noisy, arrays, 0, 48, config)], CPU, None, WHOLE_BATCH)
    trainer.run()
    (replica,) = trainer._ensemble._replicas
    training, _ = noisy.hold_out(48)
    index = torch.arange(len(training))
    is_right = training.labels(index) == training.true_labels(index)
    if name.startswith("divide_mix"):
        selected = [w > 0.5 for w in replica.procedure.clean]
    else:
        losses = [replica.examples.losses(network) for network in replica.networks]
        selected = [loss <= loss.quantile(float(is_right.double().mean())) for loss in losses]
    for chosen in selected:
        assert float(is_right[chosen].double().mean()) > 0.95
        assert float(chosen[is_right].double().mean()) > 0.95
    assert float(is_right.double().mean()) < 0.7


@pytest.mark.trains
def test_on_an_easy_problem_the_strategies_beat_plain_training():
    noisy, arrays = patterns(rate=0.5)
    settings = {"optimizer": "adam", "lr": 0.003, "epochs": 20, "batch_size": 32, "n_evals": 1, "n_val": 48}
    last = {
        name: train("mlp1", noisy, test=arrays, strategy=name, **settings).history["test_acc"].iloc[-1]
        for name in ("plain", "co_teaching(ramp_epochs=3)", "divide_mix(warm_up=3, lambda_u=1)")
    }
    plain = last.pop("plain")
    assert plain < 0.8
    assert min(last.values()) > 0.95


# --- studies and commands ---


@pytest.mark.trains
def test_strategies_are_an_axis_of_a_grid(tmp_path):
    base = {"dataset": "digits", "n": 120, "alpha": 1.0, "model": "mlp1", "epochs": 3, "n_evals": 1}
    axes = {"strategy": ["plain", "co_teaching( ramp_epochs = 2 )", "divide_mix(warm_up=1)"], "seed": [0, 1]}
    study = Study.of("strategies", list(Grid(base, axes)))
    execution = Execution(workers=0, progress=False)
    table = dilution.run(study, store=tmp_path / "s.sqlite", execution=execution)
    assert set(table["strategy"]) == {"plain", "co_teaching(ramp_epochs=2.0)", "divide_mix(warm_up=1)"}
    assert (table["state"] == "done").all()
    again = dilution.run(
        study, store=tmp_path / "s.sqlite", strategy="co_teaching(ramp_epochs=2)", execution=execution
    )
    assert set(again["strategy"]) == {"co_teaching(ramp_epochs=2.0)"}
    assert again["key"].isin(table["key"]).all()


def test_runs_by_a_strategy_train_one_by_one_and_cost_what_their_passes_cost():
    base = {"dataset": "digits", "n": 120, "alpha": 1.0, "model": "mlp1", "epochs": 30}
    runs = [
        Run.of(**base, strategy=strategy, seed=seed)
        for strategy in ("plain", "co_teaching", "divide_mix")
        for seed in range(4)
    ]
    groups = group_runs(runs, None, study=runs, cores=2)
    by_strategy = {
        strategy: [group for group in groups if group.runs[0].strategy == strategy]
        for strategy in ("plain", "co_teaching", "divide_mix")
    }
    assert [len(groups) for groups in by_strategy.values()] == [2, 4, 4]
    plain = by_strategy["plain"][0].cost / 2
    assert by_strategy["co_teaching"][0].cost == pytest.approx(2 * plain)
    assert by_strategy["divide_mix"][0].cost == pytest.approx(6 * plain)


def test_the_time_of_a_strategy_on_a_gpu_that_is_not_there_is_assumed_by_its_passes():
    base = {"dataset": "digits", "n": 600, "model": "mlp2", "noise": "symmetric(rate=0.4)", "n_evals": 1}
    machine = Machine(Execution(workers=0), gpu="h200")
    seconds = {
        strategy: machine.seconds(RunGroup([Run.of(**base, epochs=300, strategy=strategy)]))
        for strategy in ("plain", "co_teaching", "divide_mix")
    }
    assert 1.9 < seconds["co_teaching"] / seconds["plain"] < 2.1
    assert 5 < seconds["divide_mix"] / seconds["plain"] < 6.1
    assert [note.split()[4] for note in machine.notes] == ["co_teaching", "divide_mix"]


def test_too_few_epochs_are_refused_before_a_study_starts():
    run = Run.of(dataset="digits", n=120, alpha=1.0, model="mlp1", epochs=5, strategy="divide_mix")
    with pytest.raises(InputError, match=r"Give strategy='divide_mix\(warm_up=1\)'"):
        prepare([run], None)
    longer = Run.of(**run.model_dump() | {"epochs": 12.0})
    assert [prepared.epochs for prepared in prepare([longer], None)] == [12.0]
    with pytest.raises(InputError, match="Give strategy="):
        prepare([longer, run], None)


def test_strategies_are_listed_with_their_parameters():
    shown = command("list", "strategies").stdout
    for name in STRATEGIES:
        assert re.search(rf"^{name} +{STRATEGIES[name].networks} ", shown, re.MULTILINE)
    assert "forget_rate, ramp_epochs=10.0, exponent=1.0" in shown


# --- strategies of the user ---


def test_the_file_of_a_strategy_belongs_to_the_identity_of_a_run(module):
    text = f"{module(OWN)}:Patient(share=0.2)"
    run = Run.of(dataset="digits", n=50, alpha=1, model="mlp1", strategy=text)
    (prepared,) = prepare([run], None)
    assert prepared.fingerprint == source_digest(text.partition("(")[0], "strategy")
    assert prepared.key != run.key
    assert Run.of(**run.model_dump() | {"strategy": text.replace("0.2", "0.4")}).key != run.key


def test_a_factory_gets_what_it_names_of_the_training(module):
    name = module("""
        seen = []

        def factory(scale, classes, examples, epochs, noise_rate):
            seen.append((scale, classes, examples, epochs, noise_rate))
            return lambda networks, batch: scale * batch.losses(networks[0](batch.images)).mean()
    """)
    (task,) = tasks(f"{name}:factory(scale=2)", replicas=1)
    Replica(task, CPU, WHOLE_BATCH).strategy_replica()
    scale, classes, examples, epochs, noise_rate = sys.modules[name].seen[-1]
    assert (scale, classes, examples) == (2, 10, 108)
    assert epochs == pytest.approx(20 * 32 / 108)
    assert noise_rate == pytest.approx(task.noisy.expected_noise_summary().noise_rate_expected)


SMALL = {"dataset": "digits", "n": 50, "alpha": 1, "model": "mlp1", "batch_size": 12}
BROKEN = {
    "vector": ("lambda n, b: b.losses(n[0](b.images))", r"returned shape \(12,\).*such as the mean"),
    "number": ("lambda n, b: 1.0", "returned float; it must return a scalar"),
    "detached": ("lambda n, b: n[0].predict(b.images).mean()", "no gradient by the networks' weights"),
    "empty": ("lambda n, b: b.losses(n[0](b.images))[:0].mean()", "whose loss is nan.*empty selection"),
    "raises": ("lambda n, b: b.labels @ n", r"called as strategy\(networks, batch\) it raised TypeError"),
    "arguments": ("lambda n: n", "it raised TypeError"),
    "none": ("None", "whose factory returned a NoneType; it must return the strategy"),
    "weights": ("nn.Linear(3, 1)", "a module with weights of its own.*register_buffer"),
    "idle": ("Named(2, lambda n, b: b.losses(n[1](b.images)).mean())", "does not depend on network 0 of 2"),
    "networks": (
        "Named(0, lambda n, b: 0)",
        "attribute networks is 0; it must be a whole number from 1 to 8",
    ),
    "start": ("Starting()", "whose start_epoch belongs to no nn.Module"),
    "attribute": ("Keeping()", "its attribute seen is no buffer.*register_buffer"),
    "shared": ("SHARED", "two calls of the factory returned the same module"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_strategy_that_breaks_a_rule_is_refused_before_the_first_step(module, kind):
    source, message = BROKEN[kind]
    name = module(f"""
        import torch
        from torch import nn

        def step(networks, batch):
            return batch.losses(networks[0](batch.images)).mean()

        class Named:
            def __init__(self, networks, function):
                self.networks, self.function = networks, function

            def __call__(self, networks, batch):
                return self.function(networks, batch)

        class Starting:
            def start_epoch(self, networks, examples, epoch):
                self.losses = examples.losses(networks[0])

            def __call__(self, networks, batch):
                return step(networks, batch)

        class Keeping(nn.Module):
            def forward(self, networks, batch):
                self.seen = batch.labels
                return step(networks, batch)

        class Shared(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("steps", torch.zeros(()))

            def forward(self, networks, batch):
                return step(networks, batch)

        SHARED = Shared()

        def factory():
            return {source}
    """)
    strategy = resolve_strategy(f"{name}:factory")
    with pytest.raises(InputError, match=message) as caught:
        strategy.check(context())
    assert f"{name}:factory" in str(caught.value)
    with pytest.raises(InputError, match=message):
        prepare([Run.of(**SMALL, strategy=strategy.text)], None)


def test_a_loss_that_a_strategy_does_not_use_is_refused(module):
    name = module("""
        from torch.nn import functional as F

        def factory():
            return lambda networks, batch: F.cross_entropy(networks[0](batch.images), batch.labels)
    """)
    resolve_strategy(f"{name}:factory").check(context())
    with pytest.raises(InputError, match=r"loss is 'gce', and the strategy does not call batch.losses"):
        resolve_strategy(f"{name}:factory").check(context(loss="gce"))


def test_a_loss_of_ones_own_must_say_that_it_depends_on_one_label(module):
    name = module("""
        from torch.nn import functional as F

        def loss():
            def losses(logits, labels):
                return F.cross_entropy(logits, labels, reduction="none")
            return losses

        def linear():
            losses = loss()
            losses.linear = True
            return losses
    """)
    run = {"dataset": "digits", "n": 50, "alpha": 1, "model": "mlp1", "strategy": "co_teaching"}
    with pytest.raises(InputError, match="Set linear = True on what the factory returns"):
        prepare([Run.of(**run, loss=f"{name}:loss")], None)
    prepare([Run.of(**run, loss=f"{name}:linear")], None)


def test_a_strategy_in_place_of_its_factory_is_explained(module):
    name = module(
        "def strategy(networks, batch):\n    return batch.losses(networks[0](batch.images)).mean()\n"
    )
    with pytest.raises(InputError, match="It is a factory, which returns the strategy"):
        resolve_strategy(f"{name}:strategy").check(context())


def test_a_configuration_is_read_without_importing_its_strategy():
    assert TrainConfig(strategy="no_such_module:s(q=1)").strategy == "no_such_module:s(q=1)"
    with pytest.raises(InputError, match="no_such_module"):
        prepare([Run.of(dataset="digits", n=50, alpha=1, model="mlp1", strategy="no_such_module:s")], None)


def test_numbers_of_steps_and_epochs_are_those_of_the_stream(module):
    """An epoch begins with the batch whose first example is of it."""
    name = module("""
        import torch
        from torch import nn

        epochs, steps = [], []

        class Recorder(nn.Module):
            def start_epoch(self, networks, examples, epoch):
                epochs.append((len(steps), epoch, len(examples)))

            def forward(self, networks, batch):
                steps.append((batch.step, batch.epoch))
                return batch.losses(networks[0](batch.images)).mean()
    """)
    (task,) = tasks(f"{name}:Recorder", replicas=1, steps=9)
    trainer = Trainer([task], CPU, None, WHOLE_BATCH)
    seen = sys.modules[name]
    seen.epochs.clear()
    seen.steps.clear()
    trainer.run()
    assert [step for step, _ in seen.steps] == list(range(9))
    expected = [step * 32 // 108 for step in range(9)]
    assert [epoch for _, epoch in seen.steps] == expected
    starts = [step for step in range(9) if step == 0 or expected[step] != expected[step - 1]]
    assert seen.epochs == [(step, expected[step], 108) for step in starts]


def test_the_noise_rate_of_a_context_is_that_expected():
    noisy = Dilution(load("digits").train, eta=0.37, label_mode="replaced", n=100)
    facts = StrategyContext.of(noisy, batch_size=9, epochs=3.0, loss="cross_entropy", device=CPU)
    assert (facts.classes, facts.examples, facts.shape) == (10, 100, (1, 8, 8))
    assert facts.noise_rate == pytest.approx(0.37)
    assert np.isclose(1 - np.trace(noisy.overall) / 10, 0.37, atol=0.01)


@pytest.mark.parametrize("wrong", ["exponent=0.001", "exponent=1000", "ramp_epochs=1e300"])
def test_powers_of_co_teaching_that_overflow_are_refused(wrong):
    with pytest.raises(InputError, match=r" is .*; it must be .*at most 1"):
        resolve_strategy(f"co_teaching({wrong})")
    longest = resolve_strategy("co_teaching(exponent=0.1, ramp_epochs=1e6)")
    with pytest.raises(InputError, match="or more epochs"):
        longest.check(context(epochs=20))


def test_the_check_of_an_own_strategy_tries_no_epoch_that_never_comes(module):
    name = module("""
        import math
        from torch import nn

        class Scheduled(nn.Module):
            def __init__(self, *, epochs):
                super().__init__()
                self.rates = [0.1] * math.ceil(epochs)

            def forward(self, networks, batch):
                return (1 - self.rates[batch.epoch]) * batch.losses(networks[0](batch.images)).mean()
    """)
    for epochs in (0.5, 4.0, 4.2):
        resolve_strategy(f"{name}:Scheduled").check(context(epochs=epochs))
