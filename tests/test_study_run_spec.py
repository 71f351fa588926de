"""A run: frozen, validated, and identified by the hash of its settings."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dilution.errors import InputError
from dilution.study import Run, Study
from dilution.study.prepare import prepare
from dilution.study.run_spec import ADDED_SETTINGS
from dilution.training import TrainConfig

BASE = {"dataset": "digits", "n": 1000, "alpha": 20, "model": "conv4"}
HALVES = [[0.5, 0.5], [0.5, 0.5]]

# Settings that change a field, per field; some settings need a second one.
CHANGES = {
    "targets": {"targets": "pooled"},
    "optimizer": {"optimizer": "sgd"},
    "lr": {"lr": 0.2},
    "momentum": {"momentum": 0.8},
    "weight_decay": {"weight_decay": 1e-4},
    "schedule": {"schedule": "linear"},
    "batch_size": {"batch_size": 64},
    "epochs": {"epochs": 3},
    "steps": {"steps": 3},
    "ema_decay": {"ema_decay": 0.5},
    "hflip": {"hflip": True},
    "translate": {"translate": 4},
    "loss": {"loss": "gce"},
    "strategy": {"strategy": "co_teaching(forget_rate=0.2)"},
    "mixup": {"mixup": 0.2},
    "precision": {"precision": "bfloat16"},
    "n_evals": {"n_evals": 3},
    "early_stopping": {"early_stopping": "noisy_val(patience=3)"},
    "test_part": {"test_part": 100},
    "dataset": {"dataset": "mnist"},
    "fingerprint": {"fingerprint": "ab12"},
    "n": {"n": 999, "n_val": 100},
    "n_val": {"n_val": 99},
    "alpha": {"alpha": 20.5},
    "eta": {"alpha": None, "eta": 0.4},
    "noise": {"noise": "structured", "delta": 0.5},
    "delta": {"noise": "structured", "delta": 0.6},
    "noise_order": {"noise": "structured", "delta": 0.5, "noise_order": "reverse"},
    "matrix": {"noise": "matrix", "matrix": HALVES},
    "label_mode": {"label_mode": "replaced"},
    "labels": {"labels": "their.npy", "alpha": None},
    "image_source": {"image_source": "fresh"},
    "stratified": {"stratified": True},
    "model": {"model": "mlp2"},
    "compare_gradients": {"compare_gradients": True},
    "seed": {"seed": 1},
}


def run(**changes):
    return Run.of(**BASE | changes)


def test_a_golden_run_keeps_its_key():
    # Stores in use have this key. If it changes, their runs are trained again: a new field or a changed
    # default must not do that unnoticed.
    golden = Run.of(dataset="mnist", n=60_000, alpha=20, model="conv4", seed=1)
    assert golden.key == "03335f1e024ffafe"


@pytest.mark.parametrize("name", ADDED_SETTINGS)
def test_an_added_setting_is_in_the_spec_only_if_it_differs_from_the_older_behaviour(name):
    assert Run.model_fields[name].default == ADDED_SETTINGS[name]
    assert f'"{name}"' not in run().spec
    assert run(**{name: ADDED_SETTINGS[name]}).key == run().key
    assert f'"{name}"' in run(**CHANGES[name]).spec
    assert getattr(Run.model_validate_json(run().spec), name) == ADDED_SETTINGS[name]


@given(st.randoms(use_true_random=False), st.sampled_from(list(CHANGES)))
def test_equal_settings_have_equal_keys_in_any_order_of_keywords(rng, name):
    settings = BASE | CHANGES[name]
    shuffled = dict(rng.sample(list(settings.items()), len(settings)))
    assert Run.of(**shuffled) == Run.of(**settings)
    assert Run.of(**shuffled).key == Run.of(**settings).key
    assert hash(Run.of(**shuffled)) == hash(Run.of(**settings))


def test_spelling_out_a_default_or_another_number_type_is_the_same_run():
    assert run().key == run(alpha=20.0, seed=0, n_val=100, epochs=10, targets="sampled").key
    assert run().key == run(n=1000.0).key == run(n=np.int64(1000), alpha=np.float64(20)).key
    structured = {"noise": "structured", "delta": 0.5}
    assert run(**structured).key == run(**structured, noise_order="random").key
    assert run(**structured).key == run(**structured, noise_order=None).key


def test_every_changed_field_changes_the_key():
    assert set(CHANGES) == set(Run.model_fields)
    runs = {name: run(**changes) for name, changes in CHANGES.items()}
    for name, changed in runs.items():
        assert getattr(changed, name) != getattr(run(), name)
    assert len({other.key for other in [run(), *runs.values()]}) == len(CHANGES) + 1


@given(st.floats(0, 1e6).filter(lambda x: math.copysign(1, x) > 0), st.floats(0, 1e6).filter(lambda x: x > 0))
def test_keys_differ_exactly_where_the_noise_level_does(one, other):
    assert (run(alpha=one).key == run(alpha=other).key) == (one == other)


@pytest.mark.parametrize("name", CHANGES)
def test_the_spec_gives_the_run_back(name):
    changed = run(**CHANGES[name])
    again = Run.model_validate_json(changed.spec)
    assert again == changed
    assert again.key == changed.key


@pytest.mark.parametrize("name", ["seed", "fingerprint", "n"])
def test_a_copy_with_other_settings_has_its_own_key(name):
    original = run(n_val=100)
    assert original.key
    copied = original.model_copy(update=CHANGES[name])
    assert copied.key == run(**{"n_val": 100} | CHANGES[name]).key != original.key
    assert Run.model_validate_json(copied.spec) == copied


def test_a_run_is_frozen_and_hashable():
    with pytest.raises(ValidationError):
        run().seed = 3
    with pytest.raises(ValidationError):
        run().key = "other"
    assert len({run(), run(), run(seed=1)}) == 2
    assert hash(run(noise="matrix", matrix=HALVES))


def test_the_config_has_the_settings_of_the_training():
    config = run(steps=3, lr=0.5, targets="pooled").config
    assert config == TrainConfig(steps=3, lr=0.5, targets="pooled")


def test_validation_defaults_to_a_tenth_and_epochs_to_ten():
    assert run().n_val == 100
    assert run(n=60_000).n_val == 5000
    assert run().epochs == 10
    assert (run(steps=5).epochs, run(steps=5).steps) == (None, 5)


WRONG = [
    ({"alpha": -1}, ["alpha is -1", "≥ 0"]),
    ({"alpha": math.nan}, ["alpha is nan", "finite"]),
    ({"alpha": math.inf}, ["alpha is inf", "finite"]),
    ({"alpha": "much"}, ["alpha is 'much'", "number"]),
    ({"alpha": None}, ["neither of alpha and eta given", "give one"]),
    ({"eta": 0.5}, ["both of alpha and eta given", "give one"]),
    ({"alpha": None, "eta": 1.0}, ["eta is 1.0", "in [0, 1)"]),
    ({"noise": "structured", "delta": 1.4}, ["delta is 1.4", "less than or equal to 1"]),
    ({"noise": "structured", "delta": -0.1}, ["delta is -0.1", "greater than or equal to 0"]),
    ({"noise": "structured", "delta": math.nan}, ["delta is nan"]),
    ({"delta": 0.5}, ["noise is 'uniform'", "delta is 0.5", "noise='structured'"]),
    ({"noise": "structured"}, ["noise='structured' needs a delta", "from 0"]),
    ({"noise_order": "random"}, ["noise_order is 'random'", "noise='structured' only"]),
    ({"noise": "matrix"}, ["noise='matrix' needs a matrix", "one row"]),
    ({"matrix": HALVES}, ["matrix is given", "noise='matrix'"]),
    ({"noise": "strctured", "delta": 0.5}, ["'strctured'", "Did you mean 'structured'"]),
    ({"n_val": 1000}, ["n_val is 1000 and n is 1000", "must be smaller"]),
    ({"n_val": 0}, ["n_val is 0", "greater than or equal to 1"]),
    ({"n": 1}, ["n is 1", "greater than or equal to 2"]),
    ({"n": 10.5}, ["n is 10.5", "integer"]),
    ({"n": "many"}, ["n is 'many'", "must be a number"]),
    ({"n": None}, ["n is None", "integer"]),
    ({"n": math.nan}, ["n is nan"]),
    ({"epochs": 2, "steps": 3}, ["epochs is 2.0 and steps is 3", "give one of them"]),
    ({"epochs": -1}, ["epochs is -1", "greater than 0"]),
    ({"translate": -1}, ["translate is -1", "greater than or equal to 0"]),
    ({"seed": -1}, ["seed is -1", "greater than or equal to 0"]),
    ({"model": "con4"}, ["'con4' is not a model", "Did you mean 'conv4'", "perceptron"]),
    ({"model": 4}, ["model is 4", "string"]),
    ({"targets": 5}, ["targets is 5", "'sampled', 'pooled' or 'expected'"]),
    ({"modle": "mlp1"}, ["'modle' is not a setting", "Did you mean 'model'"]),
    ({"sead": 1}, ["'sead' is not a setting", "Did you mean 'seed'"]),
    ({"alhpa": 1, "bach_size": 3}, ["Did you mean 'alpha'", "Did you mean 'batch_size'"]),
]


@pytest.mark.parametrize(("changes", "fragments"), WRONG, ids=str)
def test_a_bad_setting_gives_value_rule_and_remedy(changes, fragments):
    with pytest.raises(InputError) as caught:
        run(**changes)
    message = str(caught.value)
    for fragment in fragments:
        assert fragment in message
    assert "n_val is missing" not in message  # it has a default, whatever n is


@pytest.mark.parametrize("name", BASE)
def test_a_missing_setting_is_named(name):
    with pytest.raises(InputError, match="alpha" if name == "alpha" else f"^{name} is missing"):
        Run.of(**{key: value for key, value in BASE.items() if key != name})


def custom_data(path, shade):
    images = np.full((60, 4, 4), shade, np.uint8)
    images[:, 0, 0] = np.arange(60)
    np.savez(path, images=images, labels=np.arange(60) % 3)
    return str(path)


def test_other_content_of_the_same_file_is_another_run(tmp_path):
    path = custom_data(tmp_path / "own.npz", shade=7)
    study = Study.of("custom", [Run.of(dataset=path, n=30, alpha=1, model="mlp1")])
    before, again = prepare(study.runs, None)[0], prepare(study.runs, None)[0]
    assert len(before.fingerprint) == 64
    assert before.key == again.key != study.runs[0].key
    custom_data(tmp_path / "own.npz", shade=200)
    after = prepare(study.runs, None)[0]
    assert after.key != before.key
    assert before.fingerprint in before.spec


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 5000}, "n is 5000; it must be a whole number from 1 to 1437"),
        ({"n": 1437, "image_source": "fresh"}, "0 fresh images"),
        ({"image_source": "frehs"}, "Did you mean 'fresh'"),
        ({"dataset": "digit"}, "Did you mean 'digits'"),
        ({"noise": "matrix", "matrix": HALVES}, "matrix"),
        ({"noise": "matrix", "matrix": [[math.nan] * 10] * 10}, "matrix"),
    ],
    ids=str,
)
def test_a_run_that_cannot_train_is_refused_before_the_first_starts(changes, message):
    with pytest.raises(InputError, match=message):
        prepare([run(), run(**changes)], None)
