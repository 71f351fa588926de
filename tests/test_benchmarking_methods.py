"""Methods and noises of a benchmark by name, and what is refused."""

import dataclasses

import pytest

import dilution
from dilution.benchmarking.methods import METHODS, REFERENCE, resolve_methods
from dilution.benchmarking.names import split_names
from dilution.benchmarking.noises import noises_of, resolve_noises
from dilution.data import load
from dilution.errors import InputError
from dilution.study.run_spec import Run
from dilution.training.losses import LOSSES
from dilution.training.strategies import STRATEGIES

BASE = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 2}


@pytest.fixture(scope="module")
def digits():
    return load("digits").train


def test_every_loss_is_a_method_and_every_method_is_a_sound_run():
    losses = {method.settings.get("loss", "cross_entropy") for method in METHODS.values()}
    assert losses == set(LOSSES)
    assert set(STRATEGIES) - {"plain"} <= set(METHODS)
    for name, method in METHODS.items():
        assert name == method.name
        assert method.title
        assert "\n" not in method.about
        Run.of(**BASE, **method.settings_for(30.0), noise="symmetric(rate=0.4)")
    titles = [method.title for method in METHODS.values()]
    assert len(set(titles)) == len(titles)


def test_methods_that_differ_in_the_choice_of_a_step_share_their_runs():
    early = METHODS["early_stopping"]
    assert early.stops_early
    assert early.settings == METHODS[REFERENCE].settings == {}


def test_all_methods_are_compared_by_default_and_cross_entropy_always():
    assert resolve_methods(None) == list(METHODS.values())
    assert [method.name for method in resolve_methods("gce, mixup")] == [REFERENCE, "gce", "mixup"]
    assert [method.name for method in resolve_methods(["gce", "gce"])] == [REFERENCE, "gce"]


def test_losses_with_parameters_are_methods_and_published_parameters_are_the_built_in_one():
    names = [method.name for method in resolve_methods("gce(q=0.3),gce(q=0.7),sce(A=-6, beta=0.1)")]
    assert names == [REFERENCE, "gce(q=0.3)", "gce", "sce(A=-6.0, beta=0.1)"]


def test_a_loss_of_ones_own_is_a_method_and_is_not_imported_to_plan():
    (_, own) = resolve_methods("not_there:factory(beta=2)")
    assert own.settings == {"loss": "not_there:factory(beta=2)"}


def test_strategies_have_their_published_phases_unless_a_training_is_shorter():
    strategies = [METHODS[name].settings_for for name in ("co_teaching", "divide_mix")]
    assert [of(200.0)["strategy"] for of in strategies] == ["co_teaching", "divide_mix"]
    assert strategies[0](12.3456)["strategy"] == "co_teaching(ramp_epochs=6.17)"
    assert strategies[1](12.3456)["strategy"] == "divide_mix(ramp_epochs=6.17, warm_up=4)"
    assert strategies[1](0.2)["strategy"] == "divide_mix(ramp_epochs=0.1, warm_up=0)"


def test_strategies_with_parameters_and_of_ones_own_are_methods():
    _, built_in, own = resolve_methods("divide_mix(warm_up=5),strategy=own:factory(a=1)")
    assert built_in.settings == {"strategy": "divide_mix(warm_up=5)"}
    assert own.settings == {"strategy": "own:factory(a=1)"}
    with pytest.raises(InputError, match="Did you mean 'co_teaching'"):
        resolve_methods("strategy=co_techng")


def test_a_dictionary_names_settings():
    methods = resolve_methods(
        {"strong mixup": {"loss": "gce(q=0.70)", "mixup": 1}, "early": "early_stopping"}
    )
    assert [method.name for method in methods] == [REFERENCE, "strong mixup", "early"]
    assert methods[1].settings == {"loss": "gce", "mixup": 1.0}
    assert methods[2].stops_early


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        ("gcee", "'gcee' is not a method. Did you mean 'gce'?"),
        ("cross_entrpy", "Did you mean 'cross_entropy'?"),
        ("gce(q=3)", "q is 3; it must be above 0 and at most 1"),
        ("gce(p=0.3)", "'p' is not a parameter of this loss"),
        ("gce(q=0.3", "cannot be read"),
        ("", "methods is ''; it must be names between commas, such as cross_entropy,gce"),
        ("gce,,mae", "must be names between commas"),
        ([], "must be names between commas"),
        ([3], "must be names between commas"),
        ({"mine": 3}, "the method 'mine' is 3; it must be the name of a method, or settings"),
        ({"mine": {"mixup": -1}}, "the method 'mine': mixup is -1; it must be greater than or equal to 0"),
        ({"mine": {"mixdown": 1}}, "the method 'mine': 'mixdown' is not a setting. Did you mean 'mixup'?"),
        ({"mine": {"loss": "elr", "mixup": 0.2}}, "need a loss that is linear in the label"),
        ({"": "gce"}, "the name of a method is ''; it must be text"),
        ({"cross_entropy": "gce"}, "the method 'cross_entropy' is given with settings"),
        ({"cross_entropy": "early_stopping"}, "the method 'cross_entropy' is given with settings"),
    ],
    ids=str,
)
def test_methods_that_do_not_exist_are_refused_with_the_rule(methods, message):
    with pytest.raises(InputError) as caught:
        resolve_methods(methods)
    assert message in str(caught.value)


def test_names_are_divided_at_commas_outside_brackets_and_quotes():
    text = "gce, sce(A=-4, beta=1),forward(T='a,b.csv'),m:f(x=[1, (2)], y=\"),(\")"
    assert split_names(text, "methods", "gce") == [
        "gce", "sce(A=-4, beta=1)", "forward(T='a,b.csv')", "m:f(x=[1, (2)], y=\"),(\")",
    ]  # fmt: skip


def test_the_standard_noises_are_those_of_the_data_set(digits):
    symmetric = ["symmetric-20", "symmetric-50", "symmetric-80", "symmetric-90"]
    levels = ["alpha-5", "alpha-20", "alpha-100"]
    for name in ("digits", "mnist", "fashion-mnist"):
        assert list(noises_of(name, digits)) == [
            "clean",
            *symmetric,
            "asymmetric-40",
            "pair-flip-40",
            *levels,
        ]
    human = ["cifar10n-aggregate", "cifar10n-worse"]
    assert list(noises_of("cifar10", digits)) == ["clean", *symmetric, "asymmetric-40", *human]
    for name in human:
        assert noises_of("cifar10", digits)[name].settings["dataset"] in dilution.list_datasets()
    assert list(noises_of("mine.npz", digits)) == ["clean", *symmetric, "pair-flip-40", *levels]
    observed = dataclasses.replace(digits, observed=digits.labels)
    assert "observed" in noises_of("mine.npz", observed)


def test_every_standard_noise_is_a_sound_run_with_the_rate_that_its_words_ask_for(digits):
    expected = {
        **{
            "clean": 0.0,
            "symmetric-20": 0.18,
            "symmetric-50": 0.45,
            "symmetric-80": 0.72,
            "symmetric-90": 0.81,
        },
        **{
            "asymmetric-40": 0.2,
            "pair-flip-40": 0.4,
            "alpha-5": 0.75,
            "alpha-20": 6 / 7,
            "alpha-100": 90 / 101,
        },
    }
    for name, noise in noises_of("digits", digits).items():
        run = Run.of(**{**BASE, **noise.settings})
        _, noisy = dilution.study.datasets.dilute(run, None, {})
        assert noisy.noise_summary().noise_rate_expected == pytest.approx(expected[name], abs=0.01), name
        assert noise.title
        assert noise.asked


def test_data_sets_of_human_labels_are_names_that_can_be_loaded(digits):
    for dataset in ("cifar10", "cifar100"):
        sources = [
            noise.settings["dataset"]
            for noise in noises_of(dataset, digits).values()
            if "dataset" in noise.settings
        ]
        assert sources
        assert set(sources) <= set(dilution.list_datasets())


def test_any_noise_can_be_named(digits):
    texts = "symmetric-50,alpha-7,symmetric(rate=0.4),own_noise:factory(rate=0.2),their.npy"
    chosen = resolve_noises(texts, "digits", digits)
    assert [noise.settings for noise in chosen] == [
        {"noise": "symmetric(include_true=True, rate=0.5)"},
        {"noise": "uniform", "alpha": 7.0},
        {"noise": "symmetric(rate=0.4)"},
        {"noise": "own_noise:factory(rate=0.2)"},
        {"labels": "their.npy"},
    ]
    assert len(resolve_noises(None, "digits", digits, preset="demo")) == 4
    assert len(resolve_noises(None, "digits", digits)) == 10


@pytest.mark.parametrize(
    ("noises", "message"),
    [
        ("symmetric-5O", "'symmetric-5O' is not a noise of a benchmark. Did you mean 'symmetric-50'?"),
        (
            "cifar10n-worse",
            "which digits does not have: these are labels of the images of cifar10. It has: clean",
        ),
        ("observed", "which digits does not have: it has no labels beside the true ones. It has: clean"),
        ("uniform", "noise is 'uniform', which takes a noise level. Name the level: alpha-20"),
        ("symmetric(rate=4)", "rate of symmetric noise is 4; it must be a number in [0, 1]"),
        ("symmetric", "noise 'symmetric' needs rate"),
        (" ", "noises is ' '; it must be names between commas, such as symmetric-50,alpha-20"),
    ],
)
def test_noises_that_the_data_do_not_have_are_refused_with_those_that_they_have(noises, message, digits):
    with pytest.raises(InputError) as caught:
        resolve_noises(noises, "digits", digits)
    assert message in str(caught.value)


def test_there_is_no_published_map_of_classes_for_data_of_ones_own(digits):
    with pytest.raises(InputError, match="there is no published map of its classes"):
        resolve_noises("asymmetric-40", "mine.npz", digits)
