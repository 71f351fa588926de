"""The labels of a stored run: exported, and trained on again."""

import numpy as np
import pytest
from commands import dilution as command
from commands import refused, succeeded

import dilution
from dilution.errors import InputError
from dilution.study import Execution, Run, Study
from dilution.study.measures import CIRCUMSTANCES
from dilution.study.store import Store

pytestmark = pytest.mark.trains

INLINE = Execution(executor="inline", progress=False)
BASE = {"dataset": "digits", "n": 150, "model": "perceptron", "steps": 4, "n_evals": 2, "seed": 1}
RUNS = {
    "pairs": Run.of(**BASE, noise="pair_flip(rate=0.3)"),
    "stratified": Run.of(**BASE, eta=0.3, label_mode="replaced", stratified=True),
    "skewed": Run.of(
        **BASE, eta=0.3, label_mode="replaced", noise="structured", delta=0.5, noise_order="confusing"
    ),
    "added": Run.of(**BASE, alpha=3),
    "expected": Run.of(**BASE, alpha=3, targets="expected"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("labels")
    dilution.run(Study("s", list(RUNS.values())), store=path / "results.sqlite", execution=INLINE)
    return path


@pytest.mark.parametrize("name", ["pairs", "stratified", "skewed"])
def test_a_run_on_the_exported_labels_has_the_same_result(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    run = RUNS[name]
    printed = succeeded(command("show", "run", run.key, "--labels", f"{name}.npy"))
    assert f"labels: {name}.npy (135 training labels" in printed
    again = Run.of(**BASE, labels=f"{name}.npy")
    dilution.run(Study(name, [again]), store="results.sqlite", execution=INLINE)
    with Store("results.sqlite") as store:
        first = store.row(run.key)
        (second,) = store.rows(name)
    assert first["history"] == second["history"]
    skipped = {*CIRCUMSTANCES, "alpha_expected", "alpha_empirical", "noise_rate_expected"}
    for measure in first["result"].keys() - skipped - {"transition_expected"}:
        assert first["result"][measure] == second["result"][measure], measure


def test_counts_of_the_exported_labels_are_those_of_the_result(folder):
    for name in ("pairs", "stratified", "skewed", "added"):
        used = dilution.run_labels(RUNS[name].key, store=folder / "results.sqlite")
        with Store(folder / "results.sqlite") as store:
            result = store.row(RUNS[name].key)["result"]
        training = used.table[used.table["used_for"] == "training"]
        counts = np.zeros((10, 10))
        np.add.at(counts, (training["label"], training["noisy_label"]), training["count"])
        assert used.noise_rate == pytest.approx(result["noise_rate_empirical"], rel=1e-12)
        np.testing.assert_array_equal(
            counts / counts.sum(axis=1, keepdims=True), result["transition_empirical"]
        )


def test_a_run_without_drawn_labels_is_refused(folder):
    with pytest.raises(InputError, match="has targets 'expected': it trains on the distribution of labels"):
        dilution.run_labels(RUNS["expected"].key, store=folder / "results.sqlite")
    refused(
        command("show", "run", RUNS["expected"].key, "--labels", "e.npy", cwd=folder), "targets 'expected'"
    )
    assert not (folder / "e.npy").exists()


def test_stratified_noise_says_which_labels_it_did_not_draw(folder):
    result = command("show", "run", RUNS["stratified"].key, "--labels", "strata.csv", cwd=folder)
    succeeded(result)
    assert "note: stratified noise drew labels for the 150 images that were used" in result.stderr


def test_labels_of_added_noise_need_a_file_that_holds_several_per_image(folder):
    refused(command("show", "run", RUNS["added"].key, "--labels", "a.npy", cwd=folder), "a.npz")
    succeeded(command("show", "run", RUNS["added"].key, "--labels", "a.npz", cwd=folder))
