"""Trainings by any loss: as in a plain loop, the same in any group, resumed bit for bit, and unbiased."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

import dilution
from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution, matrix
from dilution.study import Execution, Grid, Run, Study
from dilution.training import BatchSampler, TrainConfig, TrainTask, train, train_together
from dilution.training.checkpoint import Checkpoint
from dilution.training.ensemble import make_ensemble
from dilution.training.evaluation import Normalise
from dilution.training.losses import LOSSES, LossContext, resolve_loss
from dilution.training.optimizers import make_optimizer

pytestmark = [pytest.mark.trains, pytest.mark.usefixtures("one_thread")]

STEPS = 20
TEXTS = [*LOSSES, "gce(q=0.2)", "sce(alpha=1, beta=0.1)", "elr(beta=0.9, lam=7)"]


@cache
def small_digits():
    """Return digits of 4×4 pixels for training, and 40 of them for tests."""
    digits = load("digits")
    return tuple(
        Arrays(part.images[:, :, ::2, ::2].contiguous(), part.labels, part.classes)
        for part in (digits.train, digits.test.subset(torch.arange(40)))
    )


def tasks(loss, model="mlp2", replicas=3, **settings):
    """Return trainings that differ in noise, subset and seed; 20 steps are several epochs."""
    training, test = small_digits()
    config = TrainConfig(
        **{"loss": loss, "optimizer": "sgd", "lr": 0.02, "steps": STEPS, "batch_size": 32, "n_evals": 2}
        | settings
    )
    sets = [Dilution(training, 0.5 + seed, n=120, seed=seed) for seed in range(replicas)]
    return [TrainTask(model, noisy, test, noisy.seed, 12, config) for noisy in sets]


def weights(result):
    return torch.cat([part.flatten() for part in result.model.state_dict().values()])


def plain_loss(text, logits, labels, index, averages, transition):
    """Return the mean loss of a batch as its paper writes it, for autograd."""
    loss = resolve_loss(text)
    f = logits.softmax(dim=1)
    f_y = f.gather(1, labels[:, None]).squeeze(1)
    cross_entropy = F.cross_entropy(logits, labels, reduction="none")
    entropy = -(f * f.log()).sum(dim=1)
    match loss.name:
        case "cross_entropy":
            losses = cross_entropy
        case "label_smoothing":
            losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=loss.epsilon)
        case "mae":
            losses = (f - F.one_hot(labels, f.shape[1])).abs().sum(dim=1)
        case "gce":
            losses = (1 - f_y**loss.q) / loss.q
        case "sce":
            losses = loss.alpha * cross_entropy - loss.beta * loss.A * (1 - f_y)
        case "bootstrap_soft":
            losses = loss.beta * cross_entropy + (1 - loss.beta) * entropy
        case "bootstrap_hard":
            predicted = F.cross_entropy(logits, logits.argmax(dim=1), reduction="none")
            losses = loss.beta * cross_entropy + (1 - loss.beta) * predicted
        case "forward":
            losses = F.nll_loss((f @ transition).log(), labels, reduction="none")
        case "backward":
            losses = -(logits.log_softmax(dim=1) @ transition.inverse().T).gather(1, labels[:, None])
        case "phuber":
            losses = torch.where(f_y > 1 / loss.tau, cross_entropy, np.log(loss.tau) + 1 - loss.tau * f_y)
        case "elr":
            cut = f.clamp(1e-4, 1 - 1e-4)
            new = cut.detach() / cut.detach().sum(dim=1, keepdim=True)
            averages[index] = loss.beta * averages[index] + (1 - loss.beta) * new
            losses = cross_entropy + loss.lam * (1 - (averages[index] * cut).sum(dim=1)).log()
    return losses.mean()


def plain_loop(task):
    """Return the weights after a plain loop, and the loss of each step."""
    config, noisy = task.config, task.noisy
    training, _ = noisy.hold_out(task.n_val)
    model = build_model(task.model, noisy.data.shape, noisy.classes, seed=task.seed)
    normalise = Normalise(noisy.data, training.clean_rows)
    optimizer = make_optimizer(model.parameters(), config)
    averages = torch.zeros(len(training), noisy.classes)
    transition = torch.from_numpy(training.overall).float()
    sampler = BatchSampler(training, "sampled", config.batch_size, seed=task.seed, numbered=True)
    losses = []
    for batch in sampler.batches(config.steps):
        labels, index = batch.targets.unbind(dim=1)
        loss = plain_loss(config.loss, model(normalise(batch.images)), labels, index, averages, transition)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return torch.cat([part.flatten() for part in model.state_dict().values()]), losses


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
def test_replicas_equal_the_plain_loop(model, text):
    # the inverse of T multiplies gradients, and large steps amplify rounding, which differs by processor
    replicas = 3 if model == "mlp2" else 2
    group = tasks(text, model, replicas, lr=0.005 if text == "backward" else 0.02)
    for task, result in zip(group, train_together(group), strict=True):
        expected, losses = plain_loop(task)
        torch.testing.assert_close(weights(result), expected, rtol=1e-3, atol=2e-4)
        means = [sum(losses[:10]) / 10, sum(losses[10:]) / 10]
        assert result.history["train_loss"].tolist() == pytest.approx(means, rel=1e-4)


@pytest.mark.parametrize("text", TEXTS)
def test_a_run_has_the_same_bits_in_any_group(text):
    group = tasks(text, optimizer="adam", lr=0.003, steps=12)
    together = train_together(group)
    turned = train_together(group[::-1])[::-1]
    for task, result, other in zip(group, together, turned, strict=True):
        (alone,) = train_together([task])
        assert torch.equal(weights(alone), weights(result))
        assert torch.equal(weights(other), weights(result))


@pytest.mark.parametrize("text", ["elr", "gce", "backward"])
def test_a_batch_in_slices_has_the_loss_and_the_gradients_of_the_whole_batch(text):
    """64 images of 28×28 go through a ConvNet in two slices; each slice has the numbers of its examples."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(1, 64, 1, 28, 28, generator=generator)
    labels = torch.randint(10, (64,), generator=generator)
    targets = torch.stack([labels, torch.randperm(100, generator=generator)[:64]], dim=1)[None]
    targets = targets if resolve_loss(text).takes_index else labels[None]
    mixed = 0.6 * np.eye(10) + 0.04
    context = LossContext(tuple("abcdefghij"), 100, mixed, takes_weights=False, device=torch.device("cpu"))
    computed = []
    for slicing in (True, False):
        model = build_model("conv2", (1, 28, 28), 10, seed=0)
        ensemble = make_ensemble([model])
        assert ensemble._can_slice
        ensemble._can_slice = slicing
        loss = resolve_loss(text).of_group([context])
        losses = [ensemble.differentiate(images, targets, loss) for _ in range(2)]
        gradients = torch.cat([weight.grad.flatten() for weight in ensemble.replica_parameters(0)])
        computed.append((torch.stack(losses), gradients))
    torch.testing.assert_close(computed[0], computed[1], rtol=1e-4, atol=1e-6)


def test_a_training_that_diverges_by_another_loss_is_recorded_and_harms_no_other():
    first, second = tasks("gce", replicas=2)
    wild = replace(second, config=second.config.model_copy(update={"lr": 1e20}))
    results = train_together([first, wild])
    assert [result.state for result in results] == ["done", "diverged"]
    (alone,) = train_together([first])
    assert torch.equal(weights(results[0]), weights(alone))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
@pytest.mark.parametrize("text", LOSSES)
def test_a_gpu_trains_by_every_loss_as_the_cpu_does(text, model):
    on_cpu = train_together(tasks(text, model))
    on_gpu = train_together(tasks(text, model), "cuda")
    for result, other in zip(on_gpu, on_cpu, strict=True):
        expected = other.history["train_loss"].tolist()
        assert result.history["train_loss"].tolist() == pytest.approx(expected, rel=1e-2)
    again = train_together(tasks(text, model), "cuda")
    for result, other in zip(again, on_gpu, strict=True):
        assert torch.equal(weights(result), weights(other))


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


OWN = """
import torch
from torch import nn

class Remembers(nn.Module):
    '''Cross entropy, weighted less for examples that were shown often: its state is a buffer.'''

    def __init__(self, decay=0.5, *, examples):
        super().__init__()
        self.decay = decay
        self.register_buffer("shown", torch.zeros(examples))

    def forward(self, logits, labels, index):
        self.shown[index] += 1
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        return losses * self.decay ** self.shown[index]
"""


@pytest.mark.parametrize("model", ["mlp2", "conv2"])
@pytest.mark.parametrize("text", ["elr", "own:Remembers(decay=0.7)", "forward", "gce"])
def test_the_state_of_a_loss_survives_a_kill(tmp_path, module, model, text):
    text = text.replace("own:", f"{module(OWN)}:")

    def several():
        return tasks(text, model, replicas=2, steps=15, n_evals=5, optimizer="adam", lr=0.003)

    whole = train_together(several())
    with pytest.raises(KeyboardInterrupt):
        train_together(several(), checkpoint=Interrupting(tmp_path / "a.pt"))
    saved = Checkpoint(tmp_path / "a.pt", "a training").load()
    assert 0 < saved["step"] < 15
    state = saved["ensemble"]["loss"]
    assert bool(state) == (text not in ("forward", "gce"))
    again = train_together(several(), checkpoint=Checkpoint(tmp_path / "a.pt", "a training"))
    for result, other in zip(again, whole, strict=True):
        pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)
        assert torch.equal(weights(result), weights(other))


def test_a_resumed_training_without_the_state_of_elr_would_have_other_weights(tmp_path):
    """So that the test above cannot pass by a state that has no effect."""

    def several():
        return tasks("elr", replicas=2, steps=15, n_evals=5, optimizer="adam", lr=0.003)

    with pytest.raises(KeyboardInterrupt):
        train_together(several(), checkpoint=Interrupting(tmp_path / "a.pt"))
    checkpoint = Checkpoint(tmp_path / "a.pt", "a training")
    saved = checkpoint.load()
    saved["ensemble"]["loss"] = {
        name: torch.zeros_like(value) for name, value in saved["ensemble"]["loss"].items()
    }
    checkpoint.save(saved)
    for result, other in zip(
        train_together(several(), checkpoint=checkpoint), train_together(several()), strict=True
    ):
        assert not torch.equal(weights(result), weights(other))


def simulated(n, transition, seed=0):
    """Return rows of 4 kinds, nearly one-hot, with true classes of a known posterior, and the posterior."""
    posterior = np.array([[0.9, 0.05, 0.05], [0.1, 0.7, 0.2], [0.2, 0.2, 0.6], [0.4, 0.4, 0.2]])
    rng = np.random.default_rng(seed)
    kind = rng.integers(len(posterior), size=n)
    true = (rng.random(n)[:, None] > posterior[kind].cumsum(axis=1)[:, :2]).sum(axis=1)
    differences = 1e-3 * rng.normal(size=(n, len(posterior)))  # equal rows would share a side of every split
    features = torch.from_numpy(np.eye(len(posterior))[kind] + differences).float()
    arrays = Arrays(features[:, :, None, None], torch.from_numpy(true), ("a", "b", "c"))
    return Dilution(arrays, 3.0, noise=matrix(transition), n=n, seed=seed), arrays, posterior


SKEWED = [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.5, 0.5, 0.0]]


@pytest.mark.parametrize("text", ["forward", "backward"])
def test_corrections_with_the_true_transition_learn_the_clean_posterior(text):
    """At α = 3 three of four labels are wrong, and asymmetric; plain cross entropy learns the noise."""
    noisy, arrays, posterior = simulated(4000, SKEWED)
    # A loss of backward correction is noisy: larger batches of pooled labels.
    settings = {"optimizer": "adam", "lr": 0.05, "schedule": "linear", "batch_size": 1000, "steps": 300}
    probes = torch.eye(4)[:, :, None, None]
    kinds = {}
    for loss in (text, "cross_entropy"):
        result = train("perceptron", noisy, test=arrays, loss=loss, targets="pooled", n_evals=1, **settings)
        kinds[loss] = result.predict(probes).numpy()
    corrected, plain = (np.abs(kinds[loss] - posterior).max() for loss in (text, "cross_entropy"))
    assert corrected < 0.08, kinds[text]
    assert plain > 0.25
    noise = noisy.overall
    assert np.abs(kinds["cross_entropy"] - posterior @ noise).max() < 0.05


@pytest.mark.parametrize("seed", range(3))
def test_the_mean_of_backward_correction_over_noisy_labels_is_the_clean_loss(seed):
    generator = np.random.default_rng(seed)
    transition = 0.4 * np.eye(5) + 0.6 * generator.dirichlet(np.ones(5), size=5)
    names = tuple("abcde")
    context = LossContext(names, 10, transition, takes_weights=True, device=torch.device("cpu"))
    loss = resolve_loss("backward").of_replica(context)
    logits = torch.from_numpy(generator.normal(size=(1, 5), scale=3)).float()
    for true in range(5):
        weights_of_labels = torch.from_numpy(transition[true]).float()[None]
        value, gradient = loss(logits, weights_of_labels)
        clean = F.cross_entropy(logits, torch.tensor([true]))
        assert float(value) == pytest.approx(float(clean), rel=1e-3, abs=1e-4)
        expected = logits.softmax(dim=1) - F.one_hot(torch.tensor([true]), 5)
        torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


def test_the_minimum_of_forward_correction_is_the_clean_posterior():
    """Over all predictions: at the posterior the expected gradient over noisy labels is zero."""
    posterior = torch.tensor([[0.6, 0.3, 0.1]])
    transition = np.array([[0.7, 0.2, 0.1], [0.05, 0.8, 0.15], [0.1, 0.3, 0.6]])
    context = LossContext(("a", "b", "c"), 10, transition, takes_weights=True, device=torch.device("cpu"))
    labels = posterior @ torch.from_numpy(transition).float()
    at_minimum, gradient = resolve_loss("forward").of_replica(context)(posterior.log(), labels)
    torch.testing.assert_close(gradient, torch.zeros(1, 3), atol=1e-6, rtol=0)
    elsewhere = torch.tensor([[0.7, 0.2, 0.1]]).log()
    assert float(resolve_loss("forward").of_replica(context)(elsewhere, labels)[0]) > float(at_minimum)


def test_a_wrong_transition_of_forward_correction_gives_another_model():
    (known,) = train_together(tasks("forward", replicas=1))
    identity = [[float(row == column) for column in range(10)] for row in range(10)]
    (wrong,) = train_together(tasks(f"forward(T={identity})", replicas=1))
    (plain,) = train_together(tasks("cross_entropy", replicas=1))
    assert not torch.equal(weights(known), weights(wrong))
    torch.testing.assert_close(weights(wrong), weights(plain), rtol=1e-4, atol=1e-5)


def test_losses_are_an_axis_of_a_grid_and_group_by_loss(tmp_path):
    base = {"dataset": "digits", "n": 150, "alpha": 1.0, "model": "mlp1", "steps": 10, "n_evals": 1}
    axes = {"loss": ["cross_entropy", "gce(q=0.3)", "gce( q = 0.30 )", LOSSES["elr"]()], "seed": [0, 1]}
    study = Study.of("losses", list(Grid(base, axes)))
    assert len(study.runs) == 6
    table = dilution.run(study, store=tmp_path / "s.sqlite", execution=Execution(workers=0, progress=False))
    assert set(table["loss"]) == {"cross_entropy", "gce(q=0.3)", "elr"}
    assert (table["state"] == "done").all()
    again = dilution.run(
        study, store=tmp_path / "s.sqlite", loss="gce(q=0.3)", execution=Execution(workers=0, progress=False)
    )
    assert set(again["loss"]) == {"gce(q=0.3)"}
    assert again["key"].isin(table["key"]).all()


def test_an_estimator_refuses_a_loss_that_it_would_not_use():
    digits = load("digits")
    noisy = Dilution(digits.train, 1, n=50)
    for settings in ({"loss": "gce"}, {"mixup": 0.2}):
        with pytest.raises(InputError, match=r"an estimator, which has a loss of its own. Leave"):
            train("sklearn:knn", noisy, test=digits.test, **settings)
        with pytest.raises(InputError, match=r"an estimator, which has a loss of its own. Leave"):
            Run.of(dataset="digits", n=50, alpha=1, model="sklearn:knn", **settings)


def test_forward_correction_of_label_weights_needs_a_matrix_of_its_own():
    (task,) = tasks("forward", replicas=1, targets="pooled")
    given = replace(task, label_weights=torch.eye(10)[task.noisy.data.labels], n_val=0)
    with pytest.raises(InputError, match=r"the noise of these labels is not known. Name a file with T"):
        train_together([given])


def test_a_loss_beside_a_transition_matrix_of_the_task_is_refused():
    (task,) = tasks("gce", replicas=1)
    with pytest.raises(InputError, match=r"corrects cross entropy. Give loss='cross_entropy'"):
        train_together([replace(task, transition=torch.eye(10))])
