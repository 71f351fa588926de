"""Losses of the user, ``module:factory``: as the built-in ones, checked before the first step, identified."""

import pytest
import torch
from torch.nn import functional as F

import dilution
from dilution.data import load
from dilution.errors import InputError
from dilution.noise import Dilution
from dilution.study import Execution, Run, Study
from dilution.study.prepare import prepare
from dilution.training import TrainConfig, TrainTask, train, train_together
from dilution.training.losses import LossContext, resolve_loss
from dilution.utils.references import source_digest

pytestmark = pytest.mark.usefixtures("one_thread")

GCE = """
    def gce(q=0.7):
        def loss(logits, labels):
            f = logits.softmax(dim=1).gather(1, labels[:, None]).squeeze(1)
            return (1 - f**q) / q
        loss.linear = True
        return loss
"""


def context(*, takes_weights=False):
    noisy = Dilution(load("digits").train, 1, n=100)
    return LossContext.of(noisy, takes_weights=takes_weights, device=torch.device("cpu"))


def trained(loss, **settings):
    digits = load("digits")
    settings = {"steps": 12, "batch_size": 16, "n_evals": 2, "optimizer": "adam", "lr": 0.01} | settings
    return train("mlp1", Dilution(digits.train, 1, n=100), test=digits.test, loss=loss, **settings)


def weights(result):
    return torch.cat([part.flatten() for part in result.model.state_dict().values()])


@pytest.mark.trains
@pytest.mark.parametrize("settings", [{}, {"targets": "pooled"}, {"mixup": 0.3}], ids=str)
def test_a_loss_of_ones_own_trains_as_the_built_in_one_with_its_formula(module, settings):
    name = module(GCE)
    own, built_in = trained(f"{name}:gce(q=0.3)", **settings), trained("gce(q=0.3)", **settings)
    torch.testing.assert_close(weights(own), weights(built_in), rtol=1e-3, atol=1e-4)


@pytest.mark.trains
@pytest.mark.parametrize("model", ["mlp1", "conv2"])
def test_a_model_by_a_loss_of_ones_own_has_the_same_bits_alone_and_in_a_group(module, model):
    name, digits = module(GCE), load("digits")
    config = TrainConfig(
        loss=f"{name}:gce(q=0.3)", steps=8, batch_size=16, n_evals=1, optimizer="adam", lr=0.01
    )
    tasks = [
        TrainTask(model, Dilution(digits.train, 1, n=60, seed=seed), digits.test, seed, 6, config)
        for seed in range(3)
    ]
    group = train_together(tasks)
    for task, result in zip(tasks, group, strict=True):
        (alone,) = train_together([task])
        assert torch.equal(weights(result), weights(alone))


@pytest.mark.trains
def test_a_class_of_torch_is_a_factory(module):
    name = module("import torch\n\nclass Loss(torch.nn.CrossEntropyLoss):\n    linear = True\n")
    own = trained(f"{name}:Loss(reduction='none', label_smoothing=0.2)", targets="pooled")
    built_in = trained("label_smoothing(epsilon=0.2)", targets="pooled")
    torch.testing.assert_close(weights(own), weights(built_in), rtol=1e-3, atol=1e-4)


@pytest.mark.trains
def test_a_factory_gets_the_numbers_of_classes_and_examples_and_the_loss_the_index(module):
    name = module("""
        import torch
        seen = []

        def factory(scale=1.0, *, examples, classes):
            def loss(logits, labels, index):
                seen.append((examples, classes, int(index.min()), int(index.max()), scale))
                return scale * torch.nn.functional.cross_entropy(logits, labels, reduction="none")
            return loss
    """)
    trained(f"{name}:factory(scale=2)", steps=30)
    import sys

    seen = sys.modules[name].seen
    assert {(examples, classes, scale) for examples, classes, _, _, scale in seen} == {(180, 10, 2)}
    assert min(low for _, _, low, _, _ in seen) == 0
    assert max(high for _, _, _, high, _ in seen) == 179  # of 90 images with a noisy label each


def test_the_file_of_a_loss_belongs_to_the_identity_of_a_run(module):
    name = module(GCE)
    run = Run.of(dataset="digits", n=50, alpha=1, model="mlp1", loss=f"{name}:gce(q=0.3)")
    (prepared,) = prepare([run], None)
    assert prepared.fingerprint == source_digest(f"{name}:gce", "loss")
    assert prepared.key != run.key
    assert Run.of(**run.model_dump() | {"loss": f"{name}:gce(q=0.4)"}).key != run.key


@pytest.mark.trains
def test_runs_by_a_loss_of_ones_own_train_in_a_study(module, tmp_path):
    name = module(GCE)
    base = {"dataset": "digits", "n": 60, "alpha": 1, "model": "mlp1", "steps": 5, "n_evals": 1}
    runs = [Run.of(**base, loss=f"{name}:gce(q={q})", seed=seed) for q in (0.3, 1) for seed in (0, 1)]
    execution = Execution(workers=0, progress=False)
    table = dilution.run(Study.of("own", runs), store=tmp_path / "s.sqlite", execution=execution)
    assert list(table["state"]) == ["done"] * 4
    assert set(table["loss"]) == {f"{name}:gce(q=0.3)", f"{name}:gce(q=1)"}


BROKEN = {
    "mean": ("lambda x, y: F.cross_entropy(x, y)", "returned shape \\(\\).*reduction='none'"),
    "shape": ("lambda x, y: -x.log_softmax(dim=1)", "returned shape \\(11, 10\\).*must be \\(11,\\).*gather"),
    "number": ("lambda x, y: 1.0", "returned float, no losses"),
    "dtype": ("lambda x, y: y", "returned torch.int64, no losses"),
    "detached": (
        "lambda x, y: F.cross_entropy(x.detach(), y, reduction='none')",
        "no gradient by the logits",
    ),
    "predicted": ("lambda x, y: (x.argmax(dim=1) != y).float()", "no gradient by the logits"),
    "nan": ("lambda x, y: (x[:, 0] - 3).log()", "returned nan for the logits .*log_softmax"),
    "gradient": ("lambda x, y: (x[:, 0] * 0).abs().sqrt()", "its gradient by logits .* is not finite"),
    "raises": ("lambda x, y: x @ y", "called with logits \\(11, 10\\) and labels \\(11,\\) it raised"),
    "weights": ("nn.Linear(10, 1)", "a module with weights of its own.*register_buffer"),
    "none": ("None", "whose factory returned a NoneType; it must return the loss"),
    "class_": ("nn.CrossEntropyLoss", "whose factory returned a type"),
    "arguments": ("lambda x: x.sum(dim=1)", "it raised TypeError"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_loss_that_breaks_a_rule_is_refused_before_the_first_step(module, kind):
    source, message = BROKEN[kind]
    name = module(f"""
        from torch import nn
        from torch.nn import functional as F

        def factory():
            return {source}
    """)
    loss = resolve_loss(f"{name}:factory")
    with pytest.raises(InputError, match=message) as caught:
        loss.check(context())
    assert f"{name}:factory" in str(caught.value)
    with pytest.raises(InputError, match=message):
        prepare([Run.of(dataset="digits", n=50, alpha=1, model="mlp1", loss=loss)], None)


def test_a_loss_that_says_it_is_linear_and_looks_at_its_batch_is_refused(module):
    name = module("""
        from torch.nn import functional as F

        def factory():
            def loss(logits, labels):
                losses = F.cross_entropy(logits, labels, reduction="none")
                return losses - losses.mean().detach()

            loss.linear = True
            return loss
    """)
    with pytest.raises(InputError, match="change with the other examples of their batch"):
        resolve_loss(f"{name}:factory").check(context())


COUNTING = """
    import torch
    from torch.nn import functional as F

    class Counting(torch.nn.Module):
        linear = True

        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))
            self.register_buffer("scale", torch.ones(()))

        def forward(self, logits, labels):
            self.seen += len(labels)
            return self.scale * F.cross_entropy(logits, labels, reduction="none") / (1 + self.seen)
"""


def test_a_loss_that_says_it_is_linear_and_has_a_state_is_refused(module):
    """Pooled targets would count an image once per class, and two networks of a strategy would share it."""
    name = module(COUNTING)
    loss = resolve_loss(f"{name}:Counting")
    with pytest.raises(InputError, match=r"a call changes its buffer 'seen'.*Leave linear out"):
        loss.check(context())
    with pytest.raises(InputError, match="changes its buffer 'seen'"):
        loss.of_examples(context())


def test_a_loss_that_says_it_is_linear_may_have_buffers_that_stay(module):
    name = module(COUNTING.replace("self.seen += len(labels)", "pass"))
    losses = resolve_loss(f"{name}:Counting").of_examples(context())
    logits, labels = torch.randn(9, 10), torch.arange(9)
    torch.testing.assert_close(losses(logits, labels), F.cross_entropy(logits, labels, reduction="none"))


def test_a_loss_that_draws_random_numbers_is_refused(module):
    name = module("""
        import torch

        def factory():
            return lambda logits, labels: logits.logsumexp(1) - logits[torch.randperm(len(logits)), labels]
    """)
    with pytest.raises(InputError, match="another gradient for the same logits and labels") as caught:
        resolve_loss(f"{name}:factory").check(context())
    assert "batch.random" in str(caught.value)


def test_a_loss_that_is_not_finite_at_the_first_step_is_refused_then(module):
    """The logits of the check are not those of a training."""
    name = module("""
        def factory():
            return lambda logits, labels: (logits[:, 0] + 2.5).log() + 0 / (logits.abs().amax() > 1.9)
    """)
    with pytest.raises(InputError, match="at the first step; losses of finite logits must be finite"):
        trained(f"{name}:factory")


@pytest.mark.parametrize(
    "settings", [{"targets": "pooled"}, {"targets": "expected"}, {"mixup": 0.1}], ids=str
)
def test_a_loss_that_does_not_say_that_it_is_linear_takes_one_label_at_a_time(module, settings):
    name = module(GCE.replace("loss.linear = True", "pass"))
    with pytest.raises(InputError, match="Give targets='sampled' and mixup=0, or set linear = True"):
        trained(f"{name}:gce", **settings)


def test_a_loss_in_place_of_its_factory_is_explained(module):
    name = module("def loss(logits, labels):\n    return logits.sum(dim=1)\n")
    with pytest.raises(InputError, match="It is a factory, which returns the loss"):
        resolve_loss(f"{name}:loss").check(context())


def test_a_parameter_that_a_factory_does_not_have_is_explained(module):
    name = module(GCE)
    with pytest.raises(InputError, match=r"called as gce\(p=1\) it raised TypeError.*those in brackets"):
        resolve_loss(f"{name}:gce(p=1)").check(context())


def test_a_module_that_two_models_would_share_is_refused(module):
    name = module("""
        import torch
        from torch import nn

        class Loss(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("steps", torch.zeros(()))

            def forward(self, logits, labels):
                return nn.functional.cross_entropy(logits, labels, reduction="none")

        shared = Loss()

        def factory():
            return shared
    """)
    with pytest.raises(InputError, match="two calls of the factory returned the same module"):
        resolve_loss(f"{name}:factory").check(context())


def test_a_name_that_does_not_exist_is_refused_with_the_names_that_do(module):
    name = module(GCE)
    with pytest.raises(InputError, match="Did you mean 'gce'"):
        prepare([Run.of(dataset="digits", n=50, alpha=1, model="mlp1", loss=f"{name}:gec")], None)


def test_a_configuration_is_read_without_importing_its_loss():
    assert TrainConfig(loss="no_such_module:loss(q=1)").loss == "no_such_module:loss(q=1)"
