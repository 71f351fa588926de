"""Custom models, ``module:factory``: checked, reproducible, trained like the built-in ones."""

import re
import sys

import pytest
import torch
from torch import nn

import dilution
from dilution.data import load
from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution
from dilution.study import Run, Study
from dilution.study.execution import Execution
from dilution.study.prepare import prepare
from dilution.training import TrainConfig, TrainTask, resolve_trainable, train, train_together
from dilution.utils.references import source_digest

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = (1, 8, 8)
FEW = {"steps": 12, "batch_size": 16, "n_evals": 3, "optimizer": "adam", "lr": 0.01}

SMALL = """
    from torch import nn

    def small(shape, classes):
        size = shape[0] * shape[1] * shape[2]
        return nn.Sequential(nn.Flatten(), nn.Linear(size, 16), nn.ReLU(), nn.Linear(16, classes))
"""

DROPOUT = """
    import torch
    from torch import nn
    from torch.nn import functional as F

    class Drops(nn.Module):
        def __init__(self, shape, classes):
            super().__init__()
            self.first = nn.Conv2d(shape[0], 8, 3)
            self.norm = nn.BatchNorm2d(8)
            self.last = nn.LazyLinear(classes)

        def forward(self, x):
            x = F.relu(self.norm(self.first(x))).flatten(1)
            return self.last(F.dropout(x, 0.5, self.training))  # not a layer, so invisible in the modules
"""


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def task(model, digits, seed=0, **settings):
    noisy = Dilution(digits.train, 1, n=100, seed=seed)
    return TrainTask(model, noisy, digits.test, seed, 20, TrainConfig(**FEW | settings))


def weights(model):
    return {name: part.clone() for name, part in model.state_dict().items()}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, part in first.items():
        assert torch.equal(part, second[name]), name


@pytest.mark.trains
def test_a_custom_model_is_trained_and_returned(module, digits):
    name = module(DROPOUT)
    result = train(f"{name}:Drops", Dilution(digits.train, 0, n=300), test=digits.test, **FEW | {"steps": 60})
    assert type(result.model).__name__ == "Drops"
    assert result.summary()["test_acc_at_best_clean_val"] > 0.3
    assert result.predict(digits.test.take(torch.arange(5))).shape == (5, 10)


@pytest.mark.trains
def test_the_same_seed_gives_the_same_bits_whatever_the_state_of_the_global_generator(module, digits):
    name = f"{module(DROPOUT)}:Drops"
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, other = (train_together([task(name, digits, seed)])[0] for seed in (0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    (again,) = train_together([task(name, digits)])
    assert_same(weights(first.model), weights(again.model))
    assert not torch.equal(first.model.first.weight, other.model.first.weight)


def test_the_initial_weights_of_the_factory_are_kept(module):
    name = module("""
        from torch import nn

        def ones(shape, classes):
            model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
            nn.init.normal_(model[1].weight, 5.0, 0.1)
            nn.init.constant_(model[1].bias, 7.0)
            return model
    """)
    first, again, other = (build_model(f"{name}:ones", SHAPE, 3, seed=seed) for seed in (4, 4, 5))
    assert float(first[1].weight.detach().mean()) == pytest.approx(5, abs=0.1)
    assert first[1].bias.tolist() == [7.0] * 3
    assert_same(weights(first), weights(again))
    assert not torch.equal(first[1].weight, other[1].weight)


@pytest.mark.trains
def test_replicas_that_draw_random_numbers_have_the_same_bits_in_any_group(module, digits):
    name = f"{module(DROPOUT)}:Drops"
    group = [task(name, digits, seed, ema_decay=0.9) for seed in range(3)]
    whole = train_together(group)
    for part in (group[:1], group[1:]):
        for one, result in zip(part, train_together(part), strict=True):
            in_group = whole[group.index(one)]
            assert_same(weights(result.model), weights(in_group.model))
            assert result.history.equals(in_group.history)


@pytest.mark.trains
def test_dropout_is_active_in_training_and_differs_between_steps_and_seeds(module, digits):
    name = module("""
        import torch
        from torch import nn

        masks = []

        class Spy(nn.Module):
            def __init__(self, shape, classes):
                super().__init__()
                self.last = nn.Linear(64, classes)

            def forward(self, x):
                mask = nn.functional.dropout(torch.ones(64), 0.5, self.training)
                if self.training:
                    masks.append(tuple(mask.tolist()))
                return self.last(x.flatten(1) * mask)
    """)
    train_together([task(f"{name}:Spy", digits, seed) for seed in range(2)])
    masks = sys.modules[name].masks
    assert len(set(masks)) == len(masks) == 2 * FEW["steps"]


def test_an_edited_factory_is_another_run_and_is_imported_again(module, tmp_path):
    name = module(SMALL)
    one = Run.of(dataset="digits", n=100, alpha=1, model=f"{name}:small", **FEW)
    (first,) = prepare([one], None)
    assert first.fingerprint == source_digest(f"{name}:small", "model")
    assert prepare([one], None) == [first]
    assert build_model(one.model, SHAPE, 10, seed=0)[1].out_features == 16
    file = tmp_path / f"{name}.py"
    file.write_text(file.read_text("utf-8").replace("16", "128"), "utf-8")
    (second,) = prepare([one], None)
    assert second.key != first.key
    assert build_model(one.model, SHAPE, 10, seed=0)[1].out_features == 128


WIDE = """
    from torch import nn

    def wide(shape, classes, width=16, *, activation="ReLU"):
        size = shape[0] * shape[1] * shape[2]
        layer = getattr(nn, activation)()
        return nn.Sequential(nn.Flatten(), nn.Linear(size, width), layer, nn.Linear(width, classes))

    class Blocks(nn.Module):
        def __init__(self, shape, classes, widths=(4,)):
            super().__init__()
            sizes = [shape[0] * shape[1] * shape[2], *widths, classes]
            pairs = zip(sizes, sizes[1:])
            self.layers = nn.Sequential(nn.Flatten(), *(nn.Linear(a, b) for a, b in pairs))

        def forward(self, x):
            return self.layers(x)
"""


def test_a_factory_gets_the_parameters_in_brackets(module):
    name = module(WIDE)
    assert build_model(f"{name}:wide", SHAPE, 10, seed=0)[1].out_features == 16
    model = build_model(f"{name}:wide(width=8, activation='Tanh')", SHAPE, 10, seed=0)
    assert model[1].out_features == 8
    assert isinstance(model[2], nn.Tanh)
    assert len(build_model(f"{name}:Blocks(widths=[8, 4])", SHAPE, 10, seed=0).layers) == 4


def test_parameters_of_a_factory_are_an_axis_of_a_grid_and_have_one_spelling(module, tmp_path):
    name = module(WIDE)
    base = {"dataset": "digits", "n": 100, "alpha": 1} | FEW
    spellings = [f"{name}:wide(activation='ReLU', width=8)", f"{name}:wide( width = 8,activation = 'ReLU')"]
    first, second = (Run.of(**base, model=text) for text in spellings)
    assert first == second
    study = Study.of("widths", [Run.of(**base, model=f"{name}:wide(width={width})") for width in (2, 32)])
    table = dilution.run(study, store=tmp_path / "s.sqlite", execution=Execution(workers=0, progress=False))
    assert table["model"].tolist() == [f"{name}:wide(width=2)", f"{name}:wide(width=32)"]
    assert table["state"].tolist() == ["done"] * 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}:wide(widht=8)", "unexpected keyword argument 'widht'"),
        ("{}:wide(width=8", "cannot be read"),
        ("{}:wide(8)", "my_nets:small"),
        ("conv2(width=8)", "models of this package take no parameters. Give model='conv2'"),
        ("sklearn:forest(n=8)", "take no parameters"),
    ],
)
def test_parameters_that_break_a_rule_are_refused(module, digits, text, message):
    with pytest.raises(InputError, match=re.escape(message)):
        train(text.format(module(WIDE)), Dilution(digits.train, 0, n=100), test=digits.test, **FEW)


WRONG = """
    import numpy as np
    import torch
    from torch import nn

    number = 3
    ready = nn.Linear(64, 10)
    shared = nn.Linear(64, 10)

    def one(shape):
        return nn.Linear(64, 10)

    def three(shape, classes, width):
        return nn.Linear(64, 10)

    def raising(shape, classes):
        raise KeyError("no such key")

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
        return nn.Sequential(nn.Flatten(), shared)

    def numpy(shape, classes):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
        model[1].bias.data += torch.from_numpy(np.random.default_rng().normal(size=classes)).float()
        return model

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
    ("name", "fragments"),
    [
        ("number", ["an int", "must be a function or class"]),
        ("ready", ["a model itself", "Give a function (shape, classes)"]),
        ("threee", ["'threee' is not a function or class in", "Did you mean 'three'?"]),
        ("one", ["takes (shape)", "two arguments, the image shape"]),
        ("three", ["missing a required argument: 'width'", "two arguments"]),
        ("raising", ["called with (1, 8, 8), 10 it raised KeyError: 'no such key'"]),
        ("text", ["returned a str", "must return a torch.nn.Module"]),
        ("nothing", ["no parameters to train", "attributes of the module"]),
        ("eleven", ["returned shape (2, 11)", "(2, 10)", "as many outputs as `classes`"]),
        ("flat", ["returned shape (2, 1, 8, 10)"]),
        ("colour", ["raised RuntimeError", "1 channel of 8×8"]),
        ("same", ["two calls returned models that share weights", "within the factory"]),
        ("numpy", ["two calls with the same seed returned different weights", "not from NumPy"]),
        ("Pair", ["returned tuple", "logits, a floating-point tensor"]),
        ("Whole", ["returned torch.int64"]),
        ("Infinite", ["must be finite"]),
        ("Detached", ["no gradient by its weights"]),
    ],
)
def test_a_factory_that_breaks_a_rule_is_refused(module, digits, name, fragments):
    reference = f"{module(WRONG)}:{name}"
    noisy = Dilution(digits.train, 0, n=50)
    with pytest.raises(InputError) as error:
        train(reference, noisy, test=digits.test, **FEW)
    for fragment in [repr(reference), *fragments]:
        assert fragment in str(error.value)
    one = Run.of(dataset="digits", n=100, alpha=0, model=reference, **FEW)
    with pytest.raises(InputError, match="model is"):
        prepare([one], None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def f(:", "raised SyntaxError"),
        ("import no_such_module_here", "raised ModuleNotFoundError: No module named 'no_such_module_here'"),
        ("raise SystemExit(3)", "raised SystemExit: 3"),
        ("1 / 0", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_the_error_of_an_import_is_reported(module, text, message):
    name = module(text)
    with pytest.raises(InputError, match=f"importing {name} {message}"):
        resolve_trainable(f"{name}:f", SHAPE, 10)


@pytest.mark.parametrize("name", ["no_such_module_here:f", "no_such_module_here.deeper:f"])
def test_a_missing_module_is_reported_with_the_folder(module, name):
    with pytest.raises(InputError, match="there is no module no_such_module_here in"):
        resolve_trainable(name, SHAPE, 10)


@pytest.mark.parametrize("name", ["my nets:small", "a:", ":b", "a:b:c", "a/b.py:c"])
def test_a_name_that_is_no_reference_is_refused(name):
    with pytest.raises(InputError, match="is not a model"):
        Run.of(dataset="digits", n=100, alpha=0, model=name)


def test_a_model_instead_of_its_name_is_refused(digits):
    with pytest.raises(InputError, match="model is a Linear; it must be a name"):
        train(nn.Linear(64, 10), Dilution(digits.train, 0, n=50), test=digits.test)


def test_a_model_of_a_module_without_a_file_is_refused_in_a_study(monkeypatch):
    typed_in = type(sys)("typed_in")
    typed_in.small = lambda _, classes: nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    monkeypatch.setitem(sys.modules, "typed_in", typed_in)
    assert resolve_trainable("typed_in:small", SHAPE, 10).takes_steps
    with pytest.raises(InputError, match="in a module without a file"):
        prepare([Run.of(dataset="digits", n=100, alpha=0, model="typed_in:small")], None)


def test_an_exception_in_training_names_the_model_and_its_line(module, digits, tmp_path):
    name = module(
        """
        import torch

        class Worn(torch.nn.Module):
            def __init__(self, shape, classes):
                super().__init__()
                self.layer, self.calls = torch.nn.Linear(shape[1] * shape[2], classes), 0

            def forward(self, x):
                self.calls += 1
                if self.calls > 5:
                    raise RuntimeError("worn out")
                return self.layer(x.flatten(1))
        """
    )
    settings = {
        "repeats": 1,
        "folds": 2,
        "n_bootstrap": 20,
        "execution": Execution(workers=0, progress=False),
    }
    with pytest.raises(InputError, match=rf"RuntimeError: worn out was raised in line 12 of .*{name}.py"):
        dilution.diagnose("digits", model=f"{name}:Worn", **settings)
