"""Noise by name in runs: canonical text, which settings go with it, its files, and the labels trained on."""

from pathlib import Path

import numpy as np
import pytest
import torch

import dilution
from dilution.errors import InputError
from dilution.study import Run
from dilution.study.datasets import dilute
from dilution.study.prepare import prepare
from dilution.study.retrain import python_lines


def run(**settings) -> Run:
    return Run.of(**{"dataset": "digits", "n": 100, "model": "perceptron", "steps": 1, **settings})


def test_the_text_of_a_noise_is_canonical_so_that_equal_runs_have_equal_keys():
    first = run(noise="symmetric( rate = 0.40 )")
    second = run(noise="symmetric(include_true=False, rate=0.4)")
    assert first.noise == "symmetric(rate=0.4)"
    assert first.key == second.key
    assert first.key != run(noise="symmetric(rate=0.5)").key
    for whole, fraction in (
        ("pair_flip(rate=1)", "pair_flip(rate=1.0)"),
        ("transition(T=[[1, 0], [0, 1]])", "transition(T=[[1.0, 0.0], [0.0, 1.0]])"),
    ):
        assert run(noise=whole).key == run(noise=fraction).key
    assert first.label_mode == "replaced"
    assert run(noise="pair_flip(rate=0.2)", label_mode="added").label_mode == "added"


def test_runs_without_these_settings_keep_their_keys():
    old = run(noise="uniform", alpha=1.0)
    assert '"labels"' not in old.spec
    assert '"noise":"uniform"' in old.spec


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"noise": "symmetric"}, r"noise 'symmetric' needs rate, such as noise=\"symmetric\(rate=0.4\)\""),
        (
            {"noise": "symmetric(rat=0.4)"},
            "'rat' is not a parameter of noise 'symmetric'. Did you mean 'rate'",
        ),
        ({"noise": "symetric(rate=0.4)"}, "'symetric' is not a noise. Did you mean 'symmetric'"),
        ({"noise": "symmetric(rate=2)"}, "rate of symmetric noise is 2"),
        ({"noise": "symmetric(rate=0.4)", "alpha": 1.0}, "alpha is 1.0 and noise is 'symmetric'"),
        ({"noise": "symmetric(rate=0.4)", "eta": 0.3}, "eta is 0.3 and noise is 'symmetric'"),
        ({"noise": "uniform(rate=0.4)"}, "noise is 'uniform' with rate in brackets"),
        ({"noise": "observed(rate=0.4)"}, "noise 'observed' has no parameters, and 'rate' is given"),
        ({"noise": "uniform"}, "neither of alpha and eta given"),
        (
            {"noise": "part_dependent(rate=0.4)", "stratified": True},
            "stratified is True and noise is 'part_dep",
        ),
        ({"noise": "part_dependent(rate=0.4)", "label_mode": "added"}, "label_mode is 'added'"),
        ({"noise": "idn(rate=0.4)"}, "dilution data noisy DATA labels.npy --noise"),
        ({"noise": "symmetric(rate=0.4)", "labels": "l.npy"}, "labels is 'l.npy' and noise is 'symmetric"),
        ({"labels": "l.npy", "alpha": 1.0}, "alpha is 1.0 and noise is 'observed'"),
        ({"noise": "symmetric(rate=0.4)", "image_source": "fresh"}, "image_source is 'fresh' and labels are"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(InputError, match=words):
        run(**settings)


def test_a_grid_has_the_parameters_of_noise_as_an_axis():
    grid = dilution.Grid(
        base={"dataset": "digits", "n": 100, "model": "perceptron", "steps": 1},
        axes={"noise": ["symmetric(rate=0.2)", "symmetric(rate=0.4)", "pair_flip(rate=0.4)"]},
    )
    assert [run.noise for run in grid] == [
        "symmetric(rate=0.2)",
        "symmetric(rate=0.4)",
        "pair_flip(rate=0.4)",
    ]


def test_a_run_trains_on_the_noise_of_its_name():
    _, noisy = dilute(run(noise="pair_flip(rate=0.5)", n=1000), None, {})
    flipped = noisy.own_labels != noisy.data.labels[noisy.clean_rows]
    assert float(flipped.double().mean()) == pytest.approx(0.5, abs=0.05)
    named = dilution.Dilution(noisy.data, noise=dilution.pair_flip(0.5), n=1000)
    assert torch.equal(named.own_labels, noisy.own_labels)


def test_runs_of_other_seeds_have_other_subsets_and_labels():
    first, second = (dilute(run(alpha=1, seed=seed), None, {})[1] for seed in (1, 2))
    for noisy in (first, second):
        direct = dilution.Dilution(noisy.data, 1, n=100, seed=noisy.seed)
        assert torch.equal(noisy.clean_rows, direct.clean_rows)
        assert torch.equal(noisy.labels(torch.arange(200)), direct.labels(torch.arange(200)))
    assert not torch.equal(first.clean_rows, second.clean_rows)
    added = torch.arange(100, 200)
    is_equal = first.labels(added) == second.labels(added)
    assert float(is_equal.double().mean()) < 0.3  # independent labels: 0.1, standard error 0.03


@pytest.fixture
def label_file(tmp_path: Path) -> Path:
    train = dilution.load("digits").train
    labels = (train.labels + (torch.arange(len(train)) % 4 == 0)) % 10
    return dilution.data.write_label_file(tmp_path / "their.npy", labels, train)


def test_a_file_of_labels_is_one_setting_and_its_content_a_part_of_the_key(label_file):
    first = run(labels=str(label_file))
    assert first.noise == "observed"
    (prepared,) = prepare([first], None)
    _, noisy = dilute(prepared, None, {})
    train = dilution.load("digits").train
    expected = (train.labels + (torch.arange(len(train)) % 4 == 0)) % 10
    assert torch.equal(noisy.own_labels, expected[noisy.clean_rows])
    np.save(label_file, train.labels.numpy())
    (changed,) = prepare([first], None)
    assert changed.key != prepared.key


@pytest.mark.trains
def test_a_study_trains_on_a_file_of_labels_and_shows_its_rate(label_file, tmp_path):
    study = dilution.Study("their labels", [run(labels=str(label_file), n=1000)])
    table = dilution.run(study, store=tmp_path / "runs.sqlite", execution=dilution.Execution(workers=0))
    assert table["state"].tolist() == ["done"]
    assert table["noise_rate_empirical"].item() == pytest.approx(0.25, abs=0.03)
    assert table["labels"].item() == str(label_file)


def test_a_noise_of_ones_own_is_a_part_of_the_key_with_its_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "own_noise_of_a_test.py"
    source.write_text("import dilution\n\ndef half(rate=0.5):\n    return dilution.pair_flip(rate)\n")
    first = run(noise="own_noise_of_a_test:half(rate=0.25)", n=1000)
    assert first.label_mode == "replaced"
    (prepared,) = prepare([first], None)
    assert prepared.fingerprint
    _, noisy = dilute(prepared, None, {})
    assert noisy.overall[0, 0] == pytest.approx(0.75)


def test_a_noise_of_ones_own_that_is_none_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "no_noise_of_a_test.py").write_text("def make():\n    return 7\n")
    with pytest.raises(
        InputError, match="noise 'no_noise_of_a_test:make' returned 7; it must return a LabelNoise"
    ):
        prepare([run(noise="no_noise_of_a_test:make")], None)


@pytest.mark.parametrize(
    ("settings", "call"),
    [
        (
            {"noise": "asymmetric(rate=0.4, flips=[['0', '1']])"},
            "dilution.asymmetric(flips=[['0', '1']], rate=0.4)",
        ),
        ({"labels": "their.npy"}, "dilution.data.with_label_file(data.train, 'their.npy')"),
    ],
)
def test_the_lines_that_train_a_run_again_name_its_noise(settings, call):
    row = {"spec": run(**settings).model_dump(mode="json"), "result": {}, "versions": {}}
    assert call in python_lines(row)
