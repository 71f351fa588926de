"""Held-out probabilities of the user: arrays and files, their order, and what is refused."""

import numpy as np
import pandas as pd
import pytest
import torch

import dilution
from dilution.data import Arrays, UnsplitData
from dilution.diagnosis.given_probabilities import given_cross_validation
from dilution.errors import DilutionError

N, CLASSES = 30, ("cat", "dog", "eel")
RANDOM = np.random.default_rng(0)
LABELS = RANDOM.integers(0, 3, N)
PROBABILITIES = RANDOM.dirichlet(np.ones(3), N)
POSITIONS = np.array([k for k in range(N + 2) if k not in (4, 9)])
EXAMPLES = UnsplitData(
    Arrays(torch.zeros(N, 2, 1, 1), torch.from_numpy(LABELS), CLASSES),
    tuple(f"p{k}" for k in POSITIONS),
    positions=POSITIONS,
)


def read(pred_probs):
    return given_cross_validation(pred_probs, EXAMPLES, LABELS)


def test_rows_of_examples_that_were_left_out_are_skipped():
    given = np.full((N + 2, 3), np.nan)
    given[POSITIONS] = PROBABILITIES
    for array in (PROBABILITIES, given, torch.from_numpy(PROBABILITIES), PROBABILITIES.astype(np.float16)):
        result, notes = read(array)
        np.testing.assert_allclose(result.pred_probs, PROBABILITIES, atol=2e-3)
        assert "columns of pred_probs are the classes in this order: cat, dog, eel" in notes
    assert result.n_models == 0


@pytest.mark.parametrize("suffix", ["npy", "csv", "parquet"])
def test_files_are_read_and_tables_are_matched_by_id_and_class(tmp_path, suffix):
    path = tmp_path / f"probs.{suffix}"
    frame = pd.DataFrame(PROBABILITIES, columns=list(CLASSES)).assign(id=EXAMPLES.names, model="mine")
    shuffled = frame.sample(frac=1, random_state=0)[["eel", "id", "cat", "model", "dog"]]
    match suffix:
        case "npy":
            np.save(path, PROBABILITIES)
        case "csv":
            shuffled.to_csv(path, index=False)
        case _:
            shuffled.to_parquet(path)
    result, _ = read(path)
    np.testing.assert_allclose(result.pred_probs, PROBABILITIES, atol=1e-6)
    labels = result.pred_probs[np.arange(N), LABELS]
    assert result.loss == pytest.approx(-np.log(labels).mean())


def objects(tmp_path):
    np.save(tmp_path / "o.npy", np.array([{}], dtype=object), allow_pickle=True)
    return tmp_path / "o.npy"


def text(tmp_path):
    (tmp_path / "t.txt").write_text("1")
    return tmp_path / "t.txt"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (PROBABILITIES[:5], r"has shape \(5, 3\); it must be \(30, 3\)"),
        (PROBABILITIES[:, :2], r"The classes are cat, dog, eel"),
        (2 * PROBABILITIES, "'p0' in pred_probs sum to 2; each row must sum to 1"),
        (np.log(PROBABILITIES), "not negative. Of logits pass scipy.special.softmax"),
        (np.where(PROBABILITIES > 0.6, np.nan, PROBABILITIES), "pred_probs has nan for the class"),
        (PROBABILITIES.astype(str), "is of type <U"),
        (pd.DataFrame(PROBABILITIES, columns=["cat", "dog", "fox"]), "none for the class 'eel'"),
        (pd.DataFrame(PROBABILITIES, columns=list(CLASSES)).assign(id="p0"), "two rows of 'p0'"),
        (pd.DataFrame(PROBABILITIES[:1], columns=list(CLASSES)).assign(id="p0"), "has no row of 'p1'"),
        (objects, "cannot be read .*numpy.save"),
        (text, "ends in '.txt'"),
        (lambda folder: folder / "no.npy", "does not exist"),
    ],
)
def test_what_are_no_probabilities_is_refused(tmp_path, given, message):
    with pytest.raises(DilutionError, match=message):
        read(given(tmp_path) if callable(given) and not isinstance(given, pd.DataFrame) else given)


def test_probabilities_take_the_place_of_models():
    random = np.random.default_rng(1)
    true = random.integers(0, 3, 600)
    wrong = random.random(600) < 0.2
    labels = np.where(wrong, (true + random.integers(1, 3, 600)) % 3, true)
    probs = np.full((600, 3), 0.1) + 0.7 * np.eye(3)[true]
    features = random.normal(size=(600, 4))
    quick = {"n_bootstrap": 20, "execution": dilution.Execution(workers=0, progress=False)}
    diagnosis = dilution.diagnose((features, labels), pred_probs=probs, **quick)
    assert diagnosis.noise_rate.low <= wrong.mean() <= diagnosis.noise_rate.high
    assert any("taken to be held out" in note for note in diagnosis.notes)
    with pytest.raises(DilutionError, match="model is 'mlp1', and pred_probs are given"):
        dilution.diagnose((features, labels), pred_probs=probs, model="mlp1", **quick)
