"""Runs with one label per image: replaced labels, and the observed labels of a custom file."""

import numpy as np
import pandas as pd
import pytest

import dilution
from dilution.errors import InputError
from dilution.figures import report
from dilution.study import Execution, Run, Study
from dilution.study.exporting import export_table
from dilution.study.grouping import expected_steps, group_key
from dilution.study.importing import import_table
from dilution.study.prepare import prepare
from dilution.study.results import table
from dilution.study.scheduler import run_study
from dilution.study.store import Store

pytestmark = pytest.mark.trains

BASE = {"dataset": "digits", "n": 200, "model": "perceptron", "steps": 3, "n_evals": 1}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Path of the digits with observed labels, every third of which is that of the next class."""
    data = dilution.load("digits").train
    true = data.labels.numpy()
    path = tmp_path_factory.mktemp("data") / "mine.npz"
    noisy = np.where(np.arange(len(true)) % 3 == 0, (true + 1) % 10, true)
    np.savez(path, images=data.images.numpy(), labels=true, noisy_labels=noisy)
    return str(path)


@pytest.fixture(scope="module")
def finished(labelled, tmp_path_factory):
    """A store with a study of added, replaced and observed labels."""
    store = tmp_path_factory.mktemp("store") / "results.sqlite"
    base = BASE | {"dataset": labelled}
    runs = [
        Run.of(**base, **settings, seed=seed)
        for seed in (0, 1)
        for settings in (
            {"alpha": 1},
            {"alpha": 1, "label_mode": "replaced"},
            {"eta": 0.3, "label_mode": "replaced", "stratified": True},
            {"noise": "observed"},
        )
    ]
    with Store(store) as opened:
        execution = Execution(executor="inline", progress=False)
        run_study(Study.of("labels", prepare(runs, None)), opened, execution)
    return store


def test_observed_labels_need_no_noise_level_and_others_one():
    observed = Run.of(**BASE, noise="observed")
    assert observed.label_mode == "replaced"
    assert observed.key == Run.of(**BASE, noise="observed", label_mode="replaced").key
    assert Run.model_validate_json(observed.spec) == observed
    for settings, rule in [
        ({}, "neither of alpha and eta given"),
        ({"noise": "observed", "alpha": 0}, "alpha is 0.0 and noise is 'observed'.*Leave alpha out"),
        ({"noise": "observed", "eta": 0.1}, "eta is 0.1 and noise is 'observed'"),
        ({"noise": "observed", "stratified": True}, "stratified is True and noise is 'observed'"),
        ({"noise": "observed", "label_mode": "added"}, "label_mode is 'added' and noise is 'observed'"),
        (
            {"alpha": 1, "label_mode": "replaced", "image_source": "fresh"},
            "image_source is 'fresh' and labels are replaced",
        ),
        ({"alpha": 1, "label_mode": "new"}, "'new' is not a value of label_mode"),
    ]:
        with pytest.raises(InputError, match=rule):
            Run.of(**BASE, **settings)


def test_data_without_observed_labels_are_refused_before_the_first_run():
    with pytest.raises(InputError, match="no observed labels beside the true ones"):
        prepare([Run.of(**BASE, noise="observed")], None)


def test_an_epoch_of_replaced_labels_is_one_of_images():
    epoch = {"dataset": "digits", "n": 200, "model": "perceptron", "epochs": 1, "batch_size": 10}
    for settings in (
        {"alpha": 9, "label_mode": "replaced"},
        {"eta": 0.5, "label_mode": "replaced"},
        {"noise": "observed"},
    ):
        assert expected_steps(Run.of(**epoch, **settings)) == 18
    keys = {group_key(Run.of(**epoch, label_mode="replaced", eta=eta)) for eta in (0.1, 0.5)}
    assert len(keys) == 1  # the number of steps is known, so they can train together


def test_results_have_the_label_mode_and_the_noise_rate(finished):
    with Store(finished) as opened:
        rows = table(opened)
    assert (rows["state"] == "done").all()
    assert rows["label_mode"].tolist() == 2 * ["added", "replaced", "replaced", "replaced"]
    observed = rows[rows["noise"] == "observed"]
    assert observed[["alpha", "eta", "alpha_expected", "alpha_empirical"]].isna().all(axis=None)
    np.testing.assert_allclose(observed["noise_rate_expected"], observed["noise_rate_empirical"])
    assert observed["noise_rate_empirical"].between(0.25, 0.42).all()
    exact = rows[rows["stratified"]]
    np.testing.assert_allclose(exact["noise_rate_empirical"], 0.3, atol=0.05)
    one = rows[(rows["label_mode"] == "replaced") & (rows["alpha"] == 1)]
    assert (one["alpha_empirical"] == 1).all()


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test_runs_of_every_label_mode_are_imported_from_an_exported_table(finished, tmp_path, ending):
    with Store(finished) as opened:
        before = table(opened)
    file = export_table(before, tmp_path / f"runs.{ending}")
    with Store(tmp_path / "again.sqlite") as again:
        assert import_table(file, again) == 8
        pd.testing.assert_frame_equal(table(again), before, check_dtype=False, check_exact=True)


def test_the_page_of_a_study_shows_replaced_and_observed_labels(finished, tmp_path):
    page = report(finished, out=tmp_path).page.read_text("utf-8")
    plot = (tmp_path / "labels.svg").read_text("utf-8")
    assert "observed" in page
    assert "replaced" in plot
    assert "observed" in plot  # half of the points have no alpha, so that all are drawn by name
