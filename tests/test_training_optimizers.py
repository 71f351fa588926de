"""Optimizers: those of torch by name with parameters, and factories of the user."""

import sys

import pandas as pd
import pytest
import torch
from torch import nn

import dilution
from dilution.data import load
from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution
from dilution.study import Execution, Run, Study
from dilution.study.prepare import prepare
from dilution.training import Checkpoint, TrainConfig, TrainTask, list_optimizers, train, train_together
from dilution.training.distributed import WHOLE_BATCH
from dilution.training.ensemble_step import _obstacle_to_kernels
from dilution.training.optimizers import OPTIMIZERS, make_optimizer, resolve_optimizer
from dilution.training.trainer import Trainer
from dilution.utils.references import source_digest

# Adam as a factory of the user: its state is in self.state, and it reads the learning rate of its groups.
ADAM = """
    import torch

    class Adam(torch.optim.Optimizer):
        def __init__(self, groups, beta=0.9, weight_decay=0.0):
            super().__init__(groups, {"lr": 0.1, "beta": beta, "weight_decay": weight_decay})

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                for weight in group["params"]:
                    state = self.state[weight]
                    if not state:
                        state["t"] = 0
                        state["m"], state["v"] = torch.zeros_like(weight), torch.zeros_like(weight)
                    state["t"] += 1
                    gradient = weight.grad + group["weight_decay"] * weight
                    state["m"].lerp_(gradient, 1 - group["beta"])
                    state["v"].lerp_(gradient.square(), 0.001)
                    m = state["m"] / (1 - group["beta"] ** state["t"])
                    v = state["v"] / (1 - 0.999 ** state["t"])
                    weight.sub_(group["lr"] * m / (v.sqrt() + 1e-8))
"""


@pytest.mark.parametrize("name", ["adadelta", "sgd", "adam", "adamw"])
def test_optimizers_take_lr_and_weight_decay_from_the_config(name):
    module = torch.nn.Linear(3, 2)
    config = TrainConfig(optimizer=name, lr=0.25, weight_decay=0.125, momentum=0.5)
    optimizer = make_optimizer(module.parameters(), config)
    assert type(optimizer).__name__.lower() == name
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (0.25, 0.125)
    assert group.get("momentum", 0.5) == 0.5


def test_sgd_with_momentum_takes_the_steps_computed_by_hand():
    # Loss w²/2, gradient w. Nesterov: v ← 0.5 v + g, w ← w − 0.1 (g + 0.5 v).
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(module.weight)
    config = TrainConfig(optimizer="sgd", lr=0.1, momentum=0.5)
    optimizer = make_optimizer(module.parameters(), config)
    w, v = 1.0, 0.0
    for _ in range(4):
        optimizer.zero_grad()
        (module.weight.square().sum() / 2).backward()
        optimizer.step()
        v = 0.5 * v + w
        w -= 0.1 * (w + 0.5 * v)
        assert float(module.weight.detach()) == pytest.approx(w)


# --- parameters of the built-in ones ---


def test_parameters_reach_torch_and_the_text_is_canonical():
    weights = [nn.Parameter(torch.ones(2))]
    config = TrainConfig(optimizer="adam( beta2 = 0.98, beta1=0.9, eps=1e-6)")
    assert config.optimizer == "adam(beta2=0.98, eps=1e-06)"
    group = make_optimizer(weights, config).param_groups[0]
    assert (group["betas"], group["eps"]) == ((0.9, 0.98), 1e-6)
    plain = make_optimizer(weights, TrainConfig(optimizer="sgd(nesterov=False)", momentum=0.5))
    assert (plain.param_groups[0]["nesterov"], plain.param_groups[0]["momentum"]) == (False, 0.5)
    slow = make_optimizer(weights, TrainConfig(optimizer="adadelta(rho=0.95)"))
    assert (slow.param_groups[0]["rho"], slow.param_groups[0]["eps"]) == (0.95, 1e-6)
    assert set(list_optimizers()) == set(OPTIMIZERS)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_built_in_optimizer_has_the_defaults_of_torch(name):
    weights = [nn.Parameter(torch.ones(2))]
    of_torch = {"adadelta": torch.optim.Adadelta, "sgd": torch.optim.SGD}
    of_torch |= {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    extra = {"momentum": 0.9, "nesterov": True} if name == "sgd" else {}
    expected = of_torch[name](weights, lr=0.5, weight_decay=0.25, **extra).param_groups[0]
    made = make_optimizer(weights, TrainConfig(optimizer=name, lr=0.5, weight_decay=0.25)).param_groups[0]
    implementation = ("params", "foreach", "fused")
    assert {key: value for key, value in made.items() if key not in implementation} == {
        key: value for key, value in expected.items() if key not in implementation
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adm"}, "'adm' is not an optimizer. Did you mean 'adam'"),
        ({"optimizer": "adam(beta2=1)"}, "beta2 is 1.*below 1"),
        (
            {"optimizer": "adam(beta3=0.1)"},
            "'beta3' is not a parameter of this optimizer. Did you mean 'beta",
        ),
        ({"optimizer": "sgd(lr=0.1)"}, "'lr' is not a parameter of this optimizer"),
        ({"optimizer": "sgd(nesterov=1)"}, "nesterov is 1.*boolean"),
        ({"optimizer": torch.optim.SGD}, "optimizer is <class.*it must be a name, such as 'sgd'"),
        (
            {"optimizer": "own:make(weight_decay=0.1)", "weight_decay": 0.2},
            r"weight_decay is 0.2, and 0.1 in the brackets.*Give weight_decay=0",
        ),
    ],
)
def test_a_bad_optimizer_gives_value_rule_and_remedy(settings, message):
    with pytest.raises(InputError, match=message):
        TrainConfig(**settings)


def test_kernels_compute_the_built_in_optimizers_with_their_defaults_alone():
    model = build_model("conv4", (1, 28, 28), 10, seed=0)
    for text in ("adam(beta2=0.98)", "torch.optim:RMSprop"):
        obstacle = _obstacle_to_kernels(model, (1, 28, 28), "bfloat16", optimizer=text)
        assert obstacle is not None
        assert "adadelta, sgd, adam, adamw" in obstacle
        assert text in obstacle
    assert "know the optimizers" not in str(_obstacle_to_kernels(model, (1, 28, 28), "bfloat16"))


# --- one of the user ---


def tasks(seeds=(0, 1), model="mlp1", lrs=None, **settings):
    digits = load("digits")
    settings = {"steps": 24, "n_evals": 3, "batch_size": 16, "lr": 0.01} | settings
    return [
        TrainTask(
            model,
            Dilution(digits.train, 1, n=100, seed=seed),
            digits.test,
            seed,
            10,
            TrainConfig(**settings | {"lr": lr}),
        )
        for seed, lr in zip(seeds, lrs or [settings["lr"]] * len(seeds), strict=True)
    ]


def weights(result):
    return torch.cat([part.flatten() for part in result.model.state_dict().values()])


@pytest.mark.trains
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "schedule": "cosine(warmup=0.1)"}], ids=str)
def test_an_optimizer_of_ones_own_trains_as_the_built_in_one_with_its_formula(
    module, one_thread, model, settings
):
    name = module(ADAM)
    own = train_together(tasks(model=model, optimizer=f"{name}:Adam", **settings))
    built_in = train_together(tasks(model=model, optimizer="adam", **settings))
    for result, other in zip(own, built_in, strict=True):
        torch.testing.assert_close(weights(result), weights(other), rtol=1e-3, atol=2e-4)


@pytest.mark.trains
def test_any_optimizer_of_torch_is_a_factory(one_thread):
    results = train_together(tasks(optimizer="torch.optim:RMSprop(alpha=0.9)"))
    assert all(result.state == "done" for result in results)
    config = TrainConfig(optimizer="torch.optim:RMSprop(alpha=0.9)", lr=0.5)
    group = make_optimizer([{"params": [nn.Parameter(torch.ones(2))], "lr": 0.5}], config).param_groups[0]
    assert (group["alpha"], group["lr"]) == (0.9, 0.5)


@pytest.mark.trains
def test_a_replica_has_the_bits_of_training_alone_by_an_optimizer_that_looks_at_all_its_weights(
    module, one_thread
):
    """The norm of the gradient is that over the weights of one replica, in the shapes of its layers."""
    name = module("""
        import torch

        shapes = []

        class Clipped(torch.optim.SGD):
            def step(self, closure=None):
                weights = [weight for group in self.param_groups for weight in group["params"]]
                shapes.append([tuple(weight.shape) for weight in weights])
                torch.nn.utils.clip_grad_norm_(weights, 0.05)
                return super().step(closure)
    """)
    settings = {"optimizer": f"{name}:Clipped(momentum=0.9)", "lrs": [0.1, 0.3, 0.1]}
    together = train_together(tasks((0, 1, 2), **settings))
    alone = [train_together([task])[0] for task in tasks((0, 1, 2), **settings)]
    for result, other in zip(together, alone, strict=True):
        pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)
        assert torch.equal(weights(result), weights(other))
    shapes = [tuple(weight.shape) for weight in build_model("mlp1", (1, 8, 8), 10, seed=0).parameters()]
    assert sys.modules[name].shapes[-1] == shapes


@pytest.mark.trains
def test_the_schedule_multiplies_the_learning_rate_of_each_group(module, one_thread):
    name = module("""
        import torch

        rates = []

        class Recorded(torch.optim.SGD):
            def step(self, closure=None):
                rates.append([group["lr"] for group in self.param_groups])
                return super().step(closure)

        def make(groups):
            (group,) = groups
            biases = [weight for weight in group["params"] if weight.ndim == 1]
            others = [weight for weight in group["params"] if weight.ndim > 1]
            lr = group["lr"]
            return Recorded([{"params": others, "lr": lr}, {"params": biases, "lr": lr / 2}])
    """)
    train_together(tasks((0,), optimizer=f"{name}:make", lr=0.4, schedule="step(drops=[0.5], factor=0.1)"))
    rates = sys.modules[name].rates[-24:]
    assert rates[0] == pytest.approx([0.4, 0.2])
    assert rates[-1] == pytest.approx([0.04, 0.02])


@pytest.mark.parametrize(("text", "capturable"), [("adam", True), ("torch.optim:RMSprop", False)])
def test_steps_of_an_optimizer_of_ones_own_are_not_captured_in_a_graph(monkeypatch, text, capturable):
    """A graph would keep its learning rate, a number, as it was at the capture."""
    asked = []
    monkeypatch.setattr(
        "dilution.training.trainer.step_function",
        lambda ensemble, _, *, capturable: asked.append(capturable) or ensemble.step,
    )
    Trainer(tasks((0,), optimizer=text), torch.device("cpu"), None, WHOLE_BATCH)
    assert asked == [capturable]


@pytest.mark.trains
def test_a_training_by_an_optimizer_of_ones_own_resumes_bit_for_bit(module, tmp_path, one_thread):
    class Interrupting(Checkpoint):
        def save(self, state):
            super().save(state)
            raise KeyboardInterrupt

    name = module(ADAM)
    settings = {"optimizer": f"{name}:Adam(beta=0.8)", "schedule": "cosine", "ema_decay": 0.9}
    whole = train_together(tasks(**settings))
    with pytest.raises(KeyboardInterrupt):
        train_together(tasks(**settings), checkpoint=Interrupting(tmp_path / "a.pt", "x", interval=0.0))
    again = train_together(tasks(**settings), checkpoint=Checkpoint(tmp_path / "a.pt", "x"))
    for result, other in zip(again, whole, strict=True):
        pd.testing.assert_frame_equal(result.history, other.history, check_exact=True)
        assert torch.equal(weights(result), weights(other))


@pytest.mark.trains
@pytest.mark.parametrize("strategy", ["plain", "co_teaching(ramp_epochs=2)"])
@pytest.mark.parametrize("error", ["LookupError", "ValueError"])
def test_a_checkpoint_that_an_optimizer_of_ones_own_cannot_load_is_an_error_in_a_sentence(
    module, tmp_path, strategy, error
):
    class Interrupting(Checkpoint):
        def save(self, state):
            super().save(state)
            raise KeyboardInterrupt

    name = module(f"""
        import torch

        class Large(torch.optim.SGD):
            def load_state_dict(self, state):
                if len(self.param_groups[0]["params"]) > 2:  # not those of the check
                    raise {error}("too many weights")
                super().load_state_dict(state)
    """)
    settings = {
        "optimizer": f"{name}:Large(momentum=0.5)",
        "strategy": strategy,
        "model": "mlp1",
        "seeds": (0,),
    }
    with pytest.raises(KeyboardInterrupt):
        train_together(tasks(**settings), checkpoint=Interrupting(tmp_path / "a.pt", "x", interval=0.0))
    message = rf"Large.*, whose load_state_dict\(\) raised {error}: too many weights.*delete the checkpoint"
    with pytest.raises(InputError, match=message):
        train_together(tasks(**settings), checkpoint=Checkpoint(tmp_path / "a.pt", "x"))


@pytest.mark.trains
def test_an_optimizer_of_ones_own_is_an_axis_of_a_study_and_its_module_identifies_the_run(module, tmp_path):
    name = module(ADAM)
    base = {"dataset": "digits", "n": 60, "alpha": 1, "model": "mlp1", "steps": 5, "n_evals": 1, "lr": 0.01}
    texts = ["adam", f"{name}:Adam(beta=0.5)", f"{name}:Adam(beta=0.9)"]
    study = Study.of("own", dilution.Grid(base, {"optimizer": texts, "seed": [0, 1]}))
    (prepared,) = prepare([study.runs[-1]], None)
    assert prepared.fingerprint == source_digest(f"{name}:Adam", "optimizer")
    execution = Execution(workers=0, progress=False)
    table = dilution.run(study, store=tmp_path / "s.sqlite", execution=execution)
    assert list(table["state"]) == ["done"] * 6
    assert set(table["optimizer"]) == set(texts)


BROKEN = {
    "none": ("None", r"returned a NoneType. Rule: it is a factory"),
    "arguments": ("torch.optim.Adam(groups, momentum=1)", r"it raised TypeError.*Rule"),
    "empty": (
        "torch.optim.SGD([{'params': groups[0]['params'][:1]}], lr=0.1)",
        r"has 1 tensors of weights in its groups.*Give those that must not change learning rate 0",
    ),
    "closure": ("torch.optim.LBFGS(groups[0]['params'])", r"its step\(\) raised TypeError.*needs a closure"),
    "fixed": ("Fixed(groups, {'lr': 0.1})", r"with learning rate 0 changed weights.*Read the learning rate"),
    "still": ("Still(groups, {'lr': 0.1})", r"changed no weights in three steps"),
    "forgets": ("Forgets(groups, {'lr': 0.1})", r"takes another step after load_state_dict"),
    "objects": ("Objects(groups, {'lr': 0.1})", r"cannot be saved and read without pickle"),
    "nan": ("Nan(groups, {'lr': 0.1})", r"made weights infinite or NaN in three steps"),
    "huge lr": ("torch.optim.SGD([{**groups[0], 'lr': 10**400}])", r"learning rate 1000.*Leave it as"),
    "saving": ("Saving(groups, {'lr': 0.1})", r"whose state_dict\(\) raised LookupError: no state"),
    "loading": ("Loading(groups, {'lr': 0.1})", r"whose load_state_dict\(\) raised LookupError: no state"),
    "lr": ("torch.optim.SGD([{**groups[0], 'lr': torch.tensor(0.1)}])", r"learning rate tensor.*Leave it as"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_an_optimizer_that_breaks_a_rule_is_refused_before_the_first_step(module, kind):
    source, message = BROKEN[kind]
    name = module(f"""
        import torch

        class Base(torch.optim.Optimizer):
            @torch.no_grad()
            def step(self):
                for group in self.param_groups:
                    for weight in group["params"]:
                        self.update(weight, group)

        class Fixed(Base):
            def update(self, weight, group):
                weight.sub_(0.1 * weight.grad)

        class Still(Base):
            def update(self, weight, group):
                weight - group["lr"] * weight.grad

        class Forgets(Base):
            steps = 0

            def update(self, weight, group):
                self.steps += 1
                weight.sub_(group["lr"] * weight.grad / self.steps)

        class Rate:
            pass

        class Objects(Base):
            def update(self, weight, group):
                self.state[weight]["rate"] = Rate()
                weight.sub_(group["lr"] * weight.grad)

        class Plain(Base):
            def update(self, weight, group):
                weight.sub_(group["lr"] * weight.grad)

        class Saving(Plain):
            def state_dict(self):
                raise LookupError("no state")

        class Loading(Plain):
            def load_state_dict(self, state):
                raise LookupError("no state")

        class Nan(Base):
            def update(self, weight, group):
                weight.sub_(group["lr"] * weight.grad / (0 * weight))

        def make(groups):
            return {source}
    """)
    run = Run.of(dataset="digits", n=50, alpha=1, model="mlp1", optimizer=f"{name}:make")
    with pytest.raises(InputError, match=message) as caught:
        prepare([run], None)
    assert f"{name}:make" in str(caught.value)
    digits = load("digits")
    with pytest.raises(InputError, match=message):
        train("mlp1", Dilution(digits.train, 1, n=50), test=digits.test, optimizer=f"{name}:make", steps=2)


def test_weight_decay_for_an_optimizer_that_has_none_is_refused(module):
    name = module("""
        import torch

        class Plain(torch.optim.Optimizer):
            def __init__(self, groups):
                super().__init__(groups, {"lr": 0.1})

            @torch.no_grad()
            def step(self):
                for group in self.param_groups:
                    for weight in group["params"]:
                        weight.sub_(group["lr"] * weight.grad)
    """)
    resolve_optimizer(f"{name}:Plain").check(0.0)
    with pytest.raises(
        InputError, match=r"weight_decay is 0.1 and .* has no weight decay. Give weight_decay=0"
    ):
        resolve_optimizer(f"{name}:Plain").check(0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
@pytest.mark.trains
@pytest.mark.parametrize(
    "text", ["adam(beta2=0.98)", "sgd(nesterov=False)", "torch.optim:RMSprop(alpha=0.9)"]
)
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
def test_a_gpu_trains_as_the_processor_by_any_optimizer_and_schedule(model, text):
    settings = {"optimizer": text, "schedule": "cosine(warmup=0.2)", "lrs": [0.001, 0.003]}
    settings |= {"early_stopping": "noisy_val(patience=1)", "test_part": 60, "n_evals": 6}
    for on_gpu, other in zip(
        train_together(tasks(model=model, **settings), device="cuda"),
        train_together(tasks(model=model, **settings)),
        strict=True,
    ):
        torch.testing.assert_close(weights(on_gpu), weights(other), rtol=1e-2, atol=2e-3)
        assert on_gpu.stopped_at == other.stopped_at
