"""A diagnosis in a folder is used by fit and advise: the same T and label issues, for the same data alone."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from commands import dilution as command
from commands import refused, succeeded
from fitted_models import write_csv

from dilution import Execution, diagnose, fit
from dilution.advice.own_inputs import clean_accuracy, find_diagnosis
from dilution.diagnosis import write_diagnosis
from dilution.diagnosis.held_out_file import NAME, read_held_out
from dilution.errors import DataError, InputError
from dilution.utils.estimate import Estimate

INLINE = Execution(workers=0, progress=False)


def noisy_table(n=210, rate=0.2, seed=0):
    """Return a table of three classes whose labels are partly wrong."""
    random = np.random.default_rng(seed)
    true = np.arange(n) % 3
    x = np.eye(3)[true] * 3 + random.normal(size=(n, 3))
    wrong = random.random(n) < rate
    labels = np.where(wrong, (true + random.integers(1, 3, n)) % 3, true)
    frame = pd.DataFrame(x.round(3), columns=["a", "b", "c"])
    return frame.assign(label=[f"class {number}" for number in labels])


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a folder with a table and its diagnosis, and the diagnosis."""
    root = tmp_path_factory.mktemp("saved")
    path = write_csv(root, noisy_table())
    verified = {"row 5": "class 0", "row 9": "class 1"}
    diagnosis = diagnose(
        path, model="sklearn:logistic", verified_labels=verified, n_bootstrap=20, repeats=1, execution=INLINE
    )
    write_diagnosis(diagnosis, root / "diagnosis", "dilution diagnose")
    return root, diagnosis


def opened(path, data):
    return find_diagnosis(path, data, {}, None)


@pytest.mark.trains
def test_a_diagnosis_is_read_as_it_was(saved):
    root, diagnosis = saved
    for path in (root / "diagnosis", root / "diagnosis" / "diagnosis.json"):
        again = opened(path, root / "table.csv")
        assert again.noise_rate == diagnosis.noise_rate
        assert again.answer == diagnosis.answer
        assert again.excess == diagnosis.excess
        assert again.n_verified == diagnosis.n_verified == 2
        assert np.array_equal(again.fit.transition, diagnosis.fit.transition)
        assert np.array_equal(again.fit.class_probs, diagnosis.fit.class_probs)
        for ours, theirs in zip(again.bootstrap_fits, diagnosis.bootstrap_fits, strict=True):
            np.testing.assert_allclose(ours.class_probs, theirs.class_probs, atol=1e-12)
        pd.testing.assert_frame_equal(again.per_class, diagnosis.per_class)
        pd.testing.assert_frame_equal(again.label_issues, diagnosis.label_issues)


@pytest.mark.trains
@pytest.mark.usefixtures("small_forests")
def test_a_fit_uses_the_diagnosis_of_a_folder(saved):
    root, diagnosis = saved
    options = {"model": "sklearn:forest", "folds": 2, "n_bootstrap": 20, "execution": INLINE}
    of_folder = fit(root / "table.csv", diagnosis=root / "diagnosis", **options)
    of_object = fit(root / "table.csv", diagnosis=diagnosis, **options)
    assert np.array_equal(of_folder.diagnosis.fit.transition, diagnosis.fit.transition)
    assert of_folder.method == of_object.method
    assert of_folder.accuracy == of_object.accuracy
    frame = noisy_table().drop(columns="label")
    assert np.array_equal(of_folder.predict_proba(frame), of_object.predict_proba(frame))


@pytest.mark.trains
def test_a_diagnosis_of_other_data_is_refused(saved, tmp_path):
    root, diagnosis = saved
    frame = noisy_table()
    other_label = frame.assign(label=["class 1", *frame["label"][1:]])
    for changed in (other_label, frame[:-1], frame[::-1], frame.assign(label=frame["label"] + "x")):
        path = write_csv(tmp_path, changed)
        if changed["label"].tolist() == frame["label"].tolist():
            continue
        with pytest.raises(InputError, match="whose labels, ids or order are not those of"):
            opened(root / "diagnosis", path)
        with pytest.raises(InputError, match="Diagnose the same data, or leave diagnosis out"):
            opened(diagnosis, path)
    result = command("fit", write_csv(tmp_path, other_label), "--diagnosis", root / "diagnosis", cwd=tmp_path)
    refused(result, "is a diagnosis of 210 examples of 3 classes", "leave the diagnosis out")


@pytest.mark.trains
def test_a_damaged_or_foreign_file_is_refused(saved, tmp_path):
    root, _ = saved
    with pytest.raises(DataError, match=r"is no folder of a diagnosis with a file held_out\.npz"):
        read_held_out(tmp_path)
    with pytest.raises(DataError, match="is no folder of a diagnosis"):
        read_held_out(tmp_path / "none")
    content = (root / "diagnosis" / NAME).read_bytes()
    target = tmp_path / NAME
    target.write_bytes(content[:-100])
    with pytest.raises(DataError, match="is damaged or of another version"):
        read_held_out(tmp_path)
    with np.load(root / "diagnosis" / NAME) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    facts = json.loads(arrays["facts"].tobytes())
    later = np.frombuffer(json.dumps(facts | {"schema_version": 2}).encode(), np.uint8)
    endless = np.frombuffer(json.dumps(facts | {"n_bootstrap": 10**7}).encode(), np.uint8)
    for name, array in (
        ("pred_probs", arrays["pred_probs"] * 2),
        ("pred_probs", np.full_like(arrays["pred_probs"], np.nan)),
        ("verified", arrays["verified"] + 9),
        ("transition", arrays["transition"][:1]),
        ("beta", np.full_like(arrays["beta"], np.inf)),
        ("fit_probs", arrays["fit_probs"][:5]),
        ("facts", np.frombuffer(b"{}", np.uint8)),
        ("facts", later),
        ("facts", endless),
    ):
        np.savez(target, **(arrays | {name: array}))
        with pytest.raises(DataError, match=r"Diagnose the data again"):
            read_held_out(tmp_path)
    np.savez(target, **(arrays | {"pred_probs": np.array([object()])}))
    with pytest.raises(DataError, match="Python objects"):
        read_held_out(tmp_path)


@pytest.mark.trains
def test_an_advice_says_what_its_agreement_means(saved):
    _, diagnosis = saved
    at = Estimate(0.2, 0.2, 0.2)
    known = replace(diagnosis)
    object.__setattr__(known, "noise_rate", at)  # of a cached property
    clean = clean_accuracy(Estimate(0.8, 0.75, 0.85), known)
    assert clean == Estimate(pytest.approx(1.0), pytest.approx(0.65 / 0.7), 1.0)
    object.__setattr__(known, "noise_rate", Estimate(0.2, 0.1, 0.25))
    unsure = clean_accuracy(Estimate(0.7, 0.65, 0.75), known)
    object.__setattr__(known, "noise_rate", at)
    sure = clean_accuracy(Estimate(0.7, 0.65, 0.75), known)
    assert unsure.value == sure.value == pytest.approx(0.6 / 0.7)
    assert sure.low == pytest.approx(0.55 / 0.7)
    assert unsure.low < sure.low
    assert unsure.high > sure.high
    nothing = replace(diagnosis, learned=False)
    assert clean_accuracy(Estimate(0.8, 0.75, 0.85), nothing) is None


@pytest.mark.trains
@pytest.mark.usefixtures("svg_alone")
def test_the_command_advises_with_a_diagnosis_and_features(saved, tmp_path):
    root, _ = saved
    frame = noisy_table()
    np.save(tmp_path / "features.npy", frame[["a", "b", "c"]].to_numpy(np.float32))
    result = command(
        "advise", root / "table.csv", "--diagnosis", root / "diagnosis", "--features", "features.npy",
        "--epochs", "2", "--workers", "0", cwd=tmp_path,
    )  # fmt: skip
    text = succeeded(result)
    assert "on features of table.csv" in text
    assert "By the diagnosis" in text
    assert (
        json.loads((tmp_path / "advice" / "advice.json").read_text("utf-8"))["clean_accuracy"]["value"] > 0.5
    )
