"""Noise models of the user that raise, draw at random, or lack a name."""

import numpy as np
import pytest
import torch
from commands import dilution as command
from commands import refused

import dilution
from dilution.errors import DataError, InputError
from dilution.noise import LabelNoise, PerExampleNoise
from dilution.noise.registry import noise_named


@pytest.fixture(scope="module")
def digits():
    return dilution.load("digits").train


class OwnMatrix(LabelNoise):
    name = "own matrix"

    def __init__(self, added):
        self._added = added

    def added(self, classes, alpha, seed):
        return self._added(classes, alpha, seed)


class OwnLabels(PerExampleNoise):
    name = "own labels"

    def __init__(self, labels):
        self._labels = labels

    def labels(self, data, seed):
        return self._labels(data, seed)


def fail(*_):
    raise KeyError("nothing here")


@pytest.mark.parametrize("level", [{"alpha": 1.0}, {"eta": 0.3}], ids=str)
def test_an_exception_of_own_matrix_is_said_in_words(digits, level):
    with pytest.raises(
        InputError, match=r"noise 'own matrix', of the class OwnMatrix, raised KeyError"
    ) as caught:
        dilution.Dilution(digits, noise=OwnMatrix(fail), **level)
    assert isinstance(caught.value.__cause__, KeyError)


def test_an_exception_of_own_labels_is_said_in_words(digits):
    with pytest.raises(InputError, match=r"raised KeyError: 'nothing here'.*labels\(data, seed\)"):
        dilution.Dilution(digits, noise=OwnLabels(fail))


def test_an_error_of_the_library_that_own_noise_meets_stays_as_it_is(digits):
    def unreadable(data, seed):
        raise DataError("labels.npy cannot be read. Name another file.")

    with pytest.raises(DataError, match=r"labels.npy cannot be read"):
        dilution.Dilution(digits, noise=OwnLabels(unreadable))


def test_own_labels_that_are_drawn_anew_each_time_are_refused(digits):
    def drawn(data, seed):
        return torch.from_numpy(np.random.default_rng().integers(0, 10, len(data)))

    with pytest.raises(InputError, match=r"gives other values.*numpy.random.default_rng\(seed\)"):
        dilution.Dilution(digits, noise=OwnLabels(drawn))

    def repeated(data, seed):
        return torch.from_numpy(np.random.default_rng(seed).integers(0, 10, len(data)))

    assert len(dilution.Dilution(digits, noise=OwnLabels(repeated))) == len(digits)


def test_an_own_matrix_that_is_drawn_anew_each_time_is_refused(digits):
    def drawn(classes, alpha, seed):
        return np.random.default_rng().dirichlet(np.ones(classes), classes)

    with pytest.raises(InputError, match="gives other values for the same data and seed"):
        dilution.Dilution(digits, alpha=1, noise=OwnMatrix(drawn))


def test_own_noise_without_a_name_is_refused(digits):
    class Nameless(PerExampleNoise):
        def labels(self, data, seed):
            return data.labels

    with pytest.raises(InputError, match=r'a Nameless without a name.*name = "nameless"'):
        dilution.Dilution(digits, noise=Nameless())


def test_own_noise_that_returns_no_noise_for_the_classes_is_refused(digits):
    class Lost(OwnMatrix):
        def for_classes(self, names):
            return None

    with pytest.raises(InputError, match="returned a NoneType from among or for_classes"):
        dilution.Dilution(digits, alpha=1, noise=Lost(lambda *_: np.eye(10)))


def test_a_factory_that_raises_is_said_in_words_with_the_call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raising_noise.py").write_text("def make(rate=0.4):\n    raise ValueError('no rate')\n")
    with pytest.raises(InputError, match=r"called as make\(rate=0.2\) it raised ValueError: no rate"):
        noise_named("raising_noise:make(rate=0.2)")
    with pytest.raises(InputError, match=r"called as make\(share=1\) it raised TypeError"):
        noise_named("raising_noise:make(share=1)")
    out = command("data", "noisy", "digits", "labels.npy", "--noise", "raising_noise:make", cwd=tmp_path)
    refused(out, "raised ValueError: no rate")
