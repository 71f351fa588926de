"""A network of one's own, ``module:factory``: found, checked, reproducible, and never another network."""

import itertools
import sys
from contextlib import nullcontext

import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import dilution
from dilution.data import load
from dilution.errors import InputError
from dilution.models import build
from dilution.noise import Dilution
from dilution.study import Run, Study
from dilution.study.planner import plan
from dilution.study.prepare import prepare
from dilution.study.selection import varying_settings
from dilution.training import Task, TrainConfig, kind_of, seconds_per_step, train, train_together
from dilution.training.ensemble import manner, together
from dilution.training.losses import cross_entropy, with_gradient
from dilution.utils.references import source_digest
from dilution.utils.rng_state import RngState

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (1, 8, 8)
FEW = {"steps": 12, "batch_size": 16, "n_evals": 3, "optimizer": "adam", "lr": 0.01}
_numbers = itertools.count()

SMALL = """
    from torch import nn

    def small(shape, classes):
        size = shape[0] * shape[1] * shape[2]
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.ReLU(), nn.Linear(16, classes))
"""

CHANCE = """
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Chance(nn.Module):
        def __init__(self, shape, classes):
            super().__init__()
            self.first = nn.Conv2d(shape[0], 8, 3)
            self.norm = nn.BatchNorm2d(8)
            self.last = nn.LazyLinear(classes)

        def forward(self, x):
            x = F.relu(self.norm(self.first(x))).flatten(1)
            return self.last(F.dropout(x, 0.5, self.training))  # no layer shows that it draws
"""


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def task(model, digits, seed=0, **changes):
    noisy = Dilution(digits.train, 1, n=100, seed=seed)
    return Task(model, noisy, digits.test, seed, 20, TrainConfig(**FEW | changes))


def weights(module):
    return {name: part.clone() for name, part in module.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, part in first.items():
        assert torch.equal(part, second[name]), name


def test_a_network_of_ones_own_is_trained_and_returned(module, digits):
    name = module(CHANCE)
    result = train(
        f"{name}:Chance", Dilution(digits.train, 0, n=300), test=digits.test, **FEW | {"steps": 60}
    )
    assert type(result.module).__name__ == "Chance"
    assert result.summary()["test_acc_at_best_clean_val"] > 0.3
    assert result.predict(digits.test.take(torch.arange(5))).shape == (5, 10)


def test_the_same_seed_gives_the_same_bits_whatever_the_global_generator_says(module, digits):
    name = f"{module(CHANCE)}:Chance"
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, other = (train_together([task(name, digits, seed)])[0] for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    (again,) = train_together([task(name, digits)])
    assert_same(weights(first.module), weights(again.module))
    assert not torch.equal(first.module.first.weight, other.module.first.weight)


def test_its_own_initial_weights_are_kept(module):
    name = module("""
        from torch import nn

        def ones(shape, classes):
            net = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
            nn.init.normal_(net[1].weight, 5.0, 0.1)
            nn.init.constant_(net[1].bias, 7.0)
            return net
    """)
    first, again, other = (build(f"{name}:ones", SHAPE, 3, seed=seed) for seed in (4, 4, 5))
    assert float(first[1].weight.detach().mean()) == pytest.approx(5, abs=0.1)
    assert first[1].bias.tolist() == [7.0] * 3
    assert_same(weights(first), weights(again))
    assert not torch.equal(first[1].weight, other[1].weight)


def test_replicas_that_draw_random_numbers_have_the_same_bits_in_any_company(module, digits):
    name = f"{module(CHANCE)}:Chance"
    group = [task(name, digits, seed, ema_decay=0.9) for seed in range(3)]
    whole = train_together(group)
    for few in (group[:1], group[1:]):
        for one, result in zip(few, train_together(few), strict=True):
            in_company = whole[group.index(one)]
            assert_same(weights(result.module), weights(in_company.module))
            assert result.history.equals(in_company.history)


def test_dropout_is_on_in_training_and_differs_between_steps_and_seeds(module, digits):
    name = module("""
        import torch
        from torch import nn

        seen = []

        class Spy(nn.Module):
            def __init__(self, shape, classes):
                super().__init__()
                self.last = nn.Linear(64, classes)

            def forward(self, x):
                mask = nn.functional.dropout(torch.ones(64), 0.5, self.training)
                if self.training:
                    seen.append(tuple(mask.tolist()))
                return self.last(x.flatten(1) * mask)
    """)
    train_together([task(f"{name}:Spy", digits, seed) for seed in range(2)])
    seen = sys.modules[name].seen
    assert len(set(seen)) == len(seen) == 2 * FEW["steps"]


def test_a_study_trains_it_in_worker_processes_as_in_this_one(module, tmp_path):
    name = f"{module(CHANCE)}:Chance"
    base = {"dataset": "digits", "n": 100, "alpha": 1, "model": name} | FEW
    study = Study.of("own", [Run.of(**base, seed=seed) for seed in range(3)])
    tables = [
        dilution.run(study, store=tmp_path / f"{workers}.sqlite", workers=workers).drop(
            columns=["seconds", "started", "finished", "group_size"]
        )
        for workers in (0, 2)
    ]
    assert tables[0]["state"].tolist() == ["done"] * 3
    assert tables[0]["test_acc_at_best_clean_val"].nunique() > 1
    assert tables[0].equals(tables[1])


def test_a_factory_that_was_edited_makes_another_run_and_is_imported_anew(module, tmp_path):
    name = module(SMALL)
    one = Run.of(dataset="digits", n=100, alpha=1, model=f"{name}:small", **FEW)
    (first,) = prepare([one], None)
    assert first.fingerprint == source_digest(f"{name}:small", "model")
    assert prepare([one], None) == [first]
    assert build(one.model, SHAPE, 10, seed=0)[1].out_features == 16
    file = tmp_path / f"{name}.py"
    file.write_text(file.read_text("utf-8").replace("16", "128"), "utf-8")
    (second,) = prepare([one], None)
    assert second.key != first.key
    assert build(one.model, SHAPE, 10, seed=0)[1].out_features == 128


def test_the_planner_says_how_they_train_together(module, tmp_path, monkeypatch):
    monkeypatch.setenv("DILUTION_CACHE", str(tmp_path))
    name = module(SMALL + CHANCE)
    said = []
    for factory in ("small", "Chance"):
        base = {"dataset": "digits", "n": 100, "alpha": 1, "model": f"{name}:{factory}"}
        runs = [Run.of(**base, **FEW, seed=seed) for seed in range(4)]
        plan(runs, None, study=runs, cores=1, measure=lambda _: 1e-3, say=said.append)
    assert "4 at a time, stacked, in 1 process" in said[0]
    assert "4 at a time, one after the other, in 1 process" in said[1]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 700)), max_size=12))
def test_streams_of_draws_do_not_mix_in_any_order_of_turns(turns):
    def drawn(turns):
        streams = [RngState(key) for key in (5, -6)]
        found = [torch.empty(0) for _ in range(3)]
        torch.manual_seed(7)
        for whose, count in turns:
            with streams[whose] if whose < 2 else nullcontext():
                found[whose] = torch.cat([found[whose], torch.rand(count)])
        return found

    together = drawn(turns)
    for whose in range(3):
        alone = drawn([turn for turn in turns if turn[0] == whose])
        assert torch.equal(together[whose], alone[whose])
    if len(together[0]) and len(together[1]):
        assert together[0][0] != together[1][0]


def test_draws_go_back_even_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), RngState(1):
        nn.Sequential(nn.Dropout(), nn.Linear(2, 2))(torch.rand(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_measuring_its_steps_leaves_the_global_generator_alone(module):
    before = torch.get_rng_state()
    assert seconds_per_step(f"{module(CHANCE)}:Chance", SHAPE, 10, TrainConfig(**FEW), replicas=2) > 0
    assert torch.equal(torch.get_rng_state(), before)


def shared_layer():
    layer = nn.Linear(8, 8)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), layer, nn.ReLU(), layer)


def frozen():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8))
    net[1].weight.requires_grad_(False)
    return net


def hooked():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    net[1].register_forward_hook(lambda _, __, out: 2 * out)
    return net


def hooked_weight():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    net[1].weight.register_hook(lambda slope: 0.5 * slope)
    return net


def halve(weight):
    weight.grad.mul_(0.5)


def hooked_after():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    net[1].weight.register_post_accumulate_grad_hook(halve)
    return net


def forward_of_its_own():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8))
    plain = net[1].forward
    net[1].forward = lambda x: 2 * plain(x)
    return net


class Scaled(nn.Linear):
    def forward(self, x):
        return 3 * super().forward(x)


LOOKS_LINEAR = {
    "no ReLU between": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Linear(8, 8)),
    "a ReLU at the end": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU()),
    "two ReLUs": lambda: nn.Sequential(nn.Flatten(), nn.ReLU(), nn.ReLU(), nn.Linear(64, 8)),
    "another activation": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 8)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8, bias=False)),
    "a layer twice": shared_layer,
    "a frozen layer": frozen,
    "a hook": hooked,
    "a hook on a weight": hooked_weight,
    "a hook after the gradient": hooked_after,
    "another forward": forward_of_its_own,
    "a subclass": lambda: nn.Sequential(nn.Flatten(), Scaled(64, 8)),
    "spectral norm": lambda: nn.Sequential(
        nn.Flatten(), nn.utils.parametrizations.spectral_norm(Scaled(64, 8))
    ),
    "a plain one": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 8)),
}


@pytest.mark.parametrize("kind", LOOKS_LINEAR)
def test_networks_that_look_like_stacks_of_linear_layers_keep_their_loss_and_gradient(kind):
    torch.manual_seed(0)
    model = LOOKS_LINEAR[kind]().train(not kind.startswith("spectral"))
    assert (manner(model) == "stacked") == (kind == "a plain one")
    images, labels = torch.randn(1, 5, *SHAPE), torch.randint(8, (1, 5))
    expected = cross_entropy(model(images[0]), labels[0])
    expected.backward()
    wanted = [None if each.grad is None else each.grad.clone() for each in model.parameters()]
    joined = together([model]).train(not kind.startswith("spectral"))
    losses = joined.differentiate(images, labels, with_gradient)
    assert float(losses[0]) == pytest.approx(float(expected.detach()), rel=1e-5)
    if kind == "a plain one":
        found = torch.cat([each.grad.flatten() for each in joined.leaves(0)])
        flat = torch.cat([each.flatten() for each in wanted])
        torch.testing.assert_close(found[: len(flat)], flat, rtol=1e-4, atol=1e-6)
        return
    for leaf, grad in zip(joined.leaves(0), wanted, strict=True):
        assert (leaf.grad is None) == (grad is None)
        if grad is not None:
            torch.testing.assert_close(leaf.grad, grad, rtol=1e-4, atol=1e-6)


WRONG = """
    import numpy as np
    import torch
    from torch import nn

    number = 3
    ready = nn.Linear(64, 10)
    kept = nn.Linear(64, 10)

    def one(shape):
        return nn.Linear(64, 10)

    def three(shape, classes, width):
        return nn.Linear(64, 10)

    def raising(shape, classes):
        raise KeyError("what")

    def text(shape, classes):
        return "model"

    def nothing(shape, classes):
        return nn.Flatten()

    def eleven(shape, classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 11))

    def flat(shape, classes):
        return nn.Linear(8, classes)

    def colour(shape, classes):
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, classes))

    def same(shape, classes):
        return nn.Sequential(nn.Flatten(), kept)

    def numpy(shape, classes):
        net = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
        net[1].bias.data += torch.from_numpy(np.random.default_rng().normal(size=classes)).float()
        return net

    class Base(nn.Module):
        def __init__(self, shape, classes):
            super().__init__()
            self.last = nn.Linear(64, classes)

    class Pair(Base):
        def forward(self, x):
            return self.last(x.flatten(1)), x

    class Whole(Base):
        def forward(self, x):
            return self.last(x.flatten(1)).argmax(1)

    class Infinite(Base):
        def forward(self, x):
            return self.last(x.flatten(1)) / 0

    class Detached(Base):
        def forward(self, x):
            return self.last(x.flatten(1)).detach()
"""


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("number", ["an int", "must be a function or class"]),
        ("ready", ["a network itself", "Give a function (shape, classes)"]),
        ("threee", ["'threee' is not a function or class in", "Did you mean 'three'?"]),
        ("one", ["takes (shape)", "two arguments, the image shape"]),
        ("three", ["missing a required argument: 'width'", "two arguments"]),
        ("raising", ["called with (1, 8, 8), 10 it raised KeyError: 'what'"]),
        ("text", ["returned a str", "must return a torch.nn.Module"]),
        ("nothing", ["no parameters to train", "attributes of the module"]),
        ("eleven", ["returned shape (2, 11)", "(2, 10)", "as many outputs as `classes`"]),
        ("flat", ["returned shape (2, 1, 8, 10)"]),
        ("colour", ["raised RuntimeError", "1 channel of 8×8"]),
        ("same", ["two calls returned networks with the same weights", "within the factory"]),
        ("numpy", ["two calls with the same seed returned other weights", "not from NumPy"]),
        ("Pair", ["returned tuple", "logits, a floating-point tensor"]),
        ("Whole", ["returned torch.int64"]),
        ("Infinite", ["must be finite"]),
        ("Detached", ["no gradient leads"]),
    ],
)
def test_a_factory_that_breaks_a_rule_is_told_which(module, digits, name, said):
    own = f"{module(WRONG)}:{name}"
    noisy = Dilution(digits.train, 0, n=50)
    with pytest.raises(InputError) as error:
        train(own, noisy, test=digits.test, **FEW)
    for part in [repr(own), *said]:
        assert part in str(error.value)
    one = Run.of(dataset="digits", n=100, alpha=0, model=own, **FEW)
    with pytest.raises(InputError, match="network is"):
        prepare([one], None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def f(:", "raised SyntaxError"),
        ("import no_such_module_here", "raised ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise SystemExit(3)", "raised SystemExit: 3"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_module_that_cannot_be_imported_says_why(module, text, said):
    name = module(text)
    with pytest.raises(InputError, match=f"importing {name} {said}"):
        kind_of(f"{name}:f", SHAPE, 10)


@pytest.mark.parametrize("name", ["no_such_module_here:f", "no_such_module_here.deeper:f"])
def test_a_module_that_is_not_there_is_named_with_the_folder(module, tmp_path, name):
    with pytest.raises(InputError, match="there is no module no_such_module_here in"):
        kind_of(name, SHAPE, 10)


@pytest.mark.parametrize("name", ["my nets:small", "a:", ":b", "a:b:c", "a/b.py:c"])
def test_what_is_not_written_as_a_module_and_a_name_is_refused_at_once(name):
    with pytest.raises(InputError, match="is not a network"):
        Run.of(dataset="digits", n=100, alpha=0, model=name)


def test_a_network_instead_of_its_name_is_refused(digits):
    with pytest.raises(InputError, match="network is a Linear; it must be a name"):
        train(nn.Linear(64, 10), Dilution(digits.train, 0, n=50), test=digits.test)


def test_a_network_in_no_file_has_no_identity_for_a_study(monkeypatch):
    made = type(sys)("typed_in")
    made.small = lambda _, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    monkeypatch.setitem(sys.modules, "typed_in", made)
    assert kind_of("typed_in:small", SHAPE, 10) == "model"
    with pytest.raises(InputError, match="in a module without a file"):
        prepare([Run.of(dataset="digits", n=100, alpha=0, model="typed_in:small")], None)


def test_a_fingerprint_varies_only_where_names_do_not_tell():
    named = {"model": ["a:f", "a:f", "mlp1"], "fingerprint": ["1", "1", ""], "alpha": [0, 1, 0]}
    assert varying_settings(pd.DataFrame(named)) == ["alpha", "model"]
    edited = {"model": ["a:f", "a:f", "mlp1"], "fingerprint": ["1", "2", ""]}
    assert varying_settings(pd.DataFrame(edited)) == ["fingerprint", "model"]
    assert varying_settings(pd.DataFrame({"dataset": ["d.csv"] * 2, "fingerprint": ["1", "2"]})) == [
        "fingerprint"
    ]
