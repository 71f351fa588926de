"""Transition matrices of forward and backward correction: the run's own, written out, and in files."""

import numpy as np
import pandas as pd
import pytest
import torch
from noisy_predictions import noisy_predictions

import dilution
from dilution.data import load
from dilution.diagnosis.noise_fit import NoiseFit
from dilution.diagnosis.transition_table import transition_table
from dilution.errors import DataError, InputError
from dilution.noise import Dilution, structured
from dilution.study import Run
from dilution.study.prepare import prepare
from dilution.training.losses import LossContext, resolve_loss
from dilution.utils.csv_cells import csv_bytes

T = np.array([[0.7, 0.2, 0.1], [0.05, 0.8, 0.15], [0.1, 0.3, 0.6]])
NAMES = ("=cat", "dog", "7")


def context(transition=T, names=NAMES):
    return LossContext(names, 10, transition, takes_weights=False, device=torch.device("cpu"))


def table(matrix, names=NAMES):
    """Return a matrix as a table, one row per entry."""
    size = len(names)
    pairs = [
        (names[row], names[column], matrix[row, column]) for row in range(size) for column in range(size)
    ]
    return pd.DataFrame(pairs, columns=["true", "noisy", "probability"]).assign(low=0.0, high=1.0)


def test_without_a_matrix_it_is_that_of_the_training_labels():
    noisy = Dilution(load("digits").train, 3, noise=structured(0.8), n=100)
    own = LossContext.of(noisy, takes_weights=False, device=torch.device("cpu"))
    np.testing.assert_array_equal(resolve_loss("forward").transition(own), noisy.overall)


@pytest.mark.parametrize("kind", ["literal", "table", "rows", "npy"])
def test_a_matrix_is_the_same_however_it_is_given(tmp_path, kind):
    turned = T[::-1].copy()
    if kind == "literal":
        loss = f"forward(T={turned.tolist()})"
    else:
        path = tmp_path / ("t.npy" if kind == "npy" else "t.csv")
        loss = f"forward(T={str(path)!r})"
        if kind == "npy":
            np.save(path, turned)
        elif kind == "table":
            path.write_bytes(csv_bytes(table(turned).sample(frac=1, random_state=0)))
        else:
            pd.DataFrame(turned).to_csv(path, index=False, header=False)
    np.testing.assert_allclose(resolve_loss(loss).transition(context()), turned, rtol=1e-15)


def test_the_table_that_diagnose_writes_is_one(tmp_path):
    ones = np.ones(3)
    fit = NoiseFit(T, 1.0, ones, np.ones((1, 3)), ones / 3, np.eye(3))
    (tmp_path / "transition.csv").write_bytes(csv_bytes(transition_table(NAMES, fit, [fit, fit], fit)))
    loss = resolve_loss(f"backward(T={str(tmp_path / 'transition.csv')!r})")
    np.testing.assert_allclose(loss.transition(context(np.eye(3))), T, rtol=1e-12)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (T[:2, :2] / T[:2, :2].sum(axis=1, keepdims=True), "shape \\(2, 2\\) and the data have 3 classes"),
        (T.T, "row 1 of T.*'dog', sums to 1.3; each row must sum to 1. Rows are true classes"),
        (T - np.array([[0.2, -0.2, 0], [0.1, -0.1, 0], [0, 0, 0]]), "entries are probabilities"),
    ],
)
def test_what_is_no_transition_matrix_of_these_classes_is_refused(tmp_path, matrix, message):
    np.save(tmp_path / "t.npy", matrix)
    for given in (repr(str(tmp_path / "t.npy")), matrix.tolist()):
        with pytest.raises(InputError, match=message):
            resolve_loss(f"forward(T={given})").check(context())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no transition matrix"),
        (b"a,b\n1,2\n", "has no transition matrix"),
        (b"true,noisy,probability\ncat,cat,x\n", "has no transition matrix"),
        (b"true,noisy,probability\ncow,dog,1\n", "names the class 'cow'.*Their classes are: =cat, dog, 7"),
        (b"true,noisy,probability\ndog,dog,0.8\n", "no row for the class '=cat'"),
        (b"\xff\xfe\x00", "has no transition matrix"),
    ],
)
def test_a_file_without_the_matrix_of_these_classes_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        resolve_loss(f"forward(T={str(tmp_path / 't.csv')!r})").check(context())


def test_an_npy_file_of_pickled_objects_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    np.save(tmp_path / "t.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="has no transition matrix"):
        resolve_loss(f"forward(T={str(tmp_path / 't.npy')!r})").check(context())
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("shape", ["(99999999, 99999999)", "(3, 3)", "(-1, 3)"])
def test_an_npy_file_whose_header_promises_more_than_it_has_is_refused(tmp_path, shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".ljust(117) + "\n"
    magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
    (tmp_path / "t.npy").write_bytes(magic + header.encode() + b"\0" * 16)
    with pytest.raises(InputError, match="has no transition matrix"):
        resolve_loss(f"forward(T={str(tmp_path / 't.npy')!r})").check(context())


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(DataError, match=r"t\.csv cannot be read: No such file"):
        resolve_loss(f"forward(T={str(tmp_path / 't.csv')!r})").check(context())


SINGULAR = [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]


def test_backward_correction_refuses_a_matrix_without_an_inverse():
    for loss, own in ((f"backward(T={SINGULAR})", T), ("backward", np.array(SINGULAR))):
        with pytest.raises(
            InputError, match=r"condition number .*; backward correction needs its inverse.*forward"
        ):
            resolve_loss(loss).check(context(own))
    resolve_loss(f"forward(T={SINGULAR})").check(context())


def test_a_study_refuses_a_matrix_of_other_classes_before_it_trains():
    run = Run.of(dataset="digits", n=50, alpha=1, model="mlp1", loss=f"forward(T={T.tolist()})")
    with pytest.raises(InputError, match="the data have 10 classes"):
        prepare([run], None)
    drowned = Run.of(dataset="digits", n=50, alpha=1e6, label_mode="replaced", model="mlp1", loss="backward")
    with pytest.raises(InputError, match=r"condition number 1e\+06"):
        prepare([drowned], None)


def test_the_content_of_the_file_belongs_to_the_identity_of_a_run(tmp_path):
    np.save(tmp_path / "t.npy", np.eye(10))
    settings = {"dataset": "digits", "n": 50, "alpha": 1, "model": "mlp1"}
    run = Run.of(**settings, loss=f"forward(T={str(tmp_path / 't.npy')!r})")
    (first,) = prepare([run], None)
    np.save(tmp_path / "t.npy", 0.5 * np.eye(10) + 0.05)
    (second,) = prepare([run], None)
    assert first.fingerprint
    assert first.key != second.key
    (known,) = prepare([Run.of(**settings, loss="forward")], None)
    assert known.fingerprint == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("T.npy", b"", "no transition matrix"),
        ("T.npy", b"PK\3\4 no archive", "no transition matrix"),
        ("T.npy", b"\x93NUMPY\1\0v\0" + b"(" * 118, "no transition matrix"),
        ("T.csv", b"true,noisy,probability,probability\ndog,dog,1,1\n", "two of its columns have one name"),
        ("T.csv", b"true,true,noisy,probability\ndog,dog,dog,1\n", "two of its columns have one name"),
        (
            "T.csv",
            b"true,noisy,probability\ndog,dog,.2\ncat,cat,1\ndog,dog,1\n",
            "two of its rows are of the pair 'dog', 'dog'; row 3 is the second",
        ),
        ("T.csv", b",".join([b"1"] * 20_000), r"shape \(1, 20000\) and the data have 3 classes"),
        ("T.csv", b"true,noisy,probability\n" + b"x" * 100_000 + b",dog,1\n", "names the class 'xxx"),
    ],
)
def test_files_of_strangers_are_refused_in_a_short_sentence(tmp_path, monkeypatch, name, content, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        resolve_loss(f"forward(T='{name}')").transition(context())
    assert len(str(error.value)) < 1000


@pytest.mark.trains
def test_the_matrix_of_a_diagnosis_corrects_the_loss_of_a_training(tmp_path):
    predictions, _ = noisy_predictions(T, n=3_000)
    features = np.random.default_rng(0).normal(size=(3_000, 2)).astype(np.float32)
    labels = predictions.labels
    diagnosis = dilution.diagnose((features, labels), pred_probs=predictions.pred_probs)
    diagnosis.transition.to_csv(tmp_path / "transition.csv", index=False)
    loss = f"forward(T={str(tmp_path / 'transition.csv')!r})"
    np.testing.assert_allclose(resolve_loss(loss).transition(context(names=("0", "1", "2"))), T, atol=0.06)
    data = dilution.from_numpy(features=features, labels=labels)
    results = [
        dilution.train("perceptron", Dilution(data.train, 0), test=data.test, loss=text, steps=20, n_evals=1)
        for text in ("cross_entropy", loss)
    ]
    assert results[1].history["train_loss"].iloc[0] != results[0].history["train_loss"].iloc[0]
