"""A recipe for the runs of a study: same data and budget, other settings."""

import pytest

from dilution.errors import InputError
from dilution.study import Run
from dilution.study.apply_recipe import with_recipe
from dilution.study.grouping import expected_steps


def base(**changes):
    return Run.of(**{"dataset": "digits", "n": 200, "model": "mlp1", "alpha": 4, "steps": 50} | changes)


def test_runs_with_the_built_in_recipe_keep_their_data_noise_and_seed():
    runs = [base(alpha=alpha, seed=seed) for alpha in (0, 4) for seed in (0, 1)]
    advised = with_recipe(runs, "advised")
    for before, after in zip(runs, advised, strict=True):
        assert (after.alpha, after.n, after.seed, after.model) == (before.alpha, 200, before.seed, "mlp1")
        assert (after.targets, after.optimizer) == ("pooled", "adam")
        assert abs(expected_steps(after) * after.batch_size - 50 * 128) <= after.batch_size
    assert with_recipe(runs, None) == runs


@pytest.mark.parametrize("targets", ["sampled", "pooled"])
def test_noise_given_as_eta_or_as_alpha_has_the_same_recipe_and_budget(targets):
    by_eta, by_alpha = (
        base(alpha=None, eta=0.8, targets=targets, epochs=2, steps=None),
        base(alpha=8.0, targets=targets, epochs=2, steps=None),
    )
    one, other = with_recipe([by_eta], "advised")[0], with_recipe([by_alpha], "advised")[0]
    assert one.config == other.config
    images = 180 * (9 if targets == "sampled" else 1) * 2
    assert abs((one.steps or 0) * one.batch_size - images) <= 128  # a batch of the runs as they were


def test_a_noise_rate_of_a_matrix_is_resolved_with_that_matrix():
    swap = tuple(tuple(float((row + 1) % 10 == column) for column in range(10)) for row in range(10))
    by_eta = base(alpha=None, eta=0.4, noise="matrix", matrix=swap, epochs=2, steps=None)
    by_alpha = base(alpha=2 / 3, noise="matrix", matrix=swap, epochs=2, steps=None)  # no added label is right
    one, other = with_recipe([by_eta], "advised")[0], with_recipe([by_alpha], "advised")[0]
    assert one.steps == other.steps


def test_replaced_labels_have_the_batch_size_of_their_noise_level():
    few, many = (
        with_recipe([base(label_mode="replaced", alpha=alpha, steps=10**5)], "advised")[0]
        for alpha in (0, 20)
    )
    assert few.batch_size < many.batch_size
    assert many.targets == "sampled"


def test_runs_by_a_loss_that_cannot_be_pooled_keep_single_labels():
    both = with_recipe([base(loss="elr"), base(loss="gce")], "advised")
    assert [(run.loss, run.targets) for run in both] == [("elr", "sampled"), ("gce", "sampled")]
    assert with_recipe([base(loss="gce")], "advised")[0].targets == "pooled"


def test_custom_estimators_are_left_as_they_are(tmp_path, monkeypatch):
    (tmp_path / "own_estimator.py").write_text(
        "from sklearn.neighbors import KNeighborsClassifier\n"
        "def make(shape, classes):\n    return KNeighborsClassifier(3)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    estimator = base(model="own_estimator:make")
    assert with_recipe([estimator], "advised") == [estimator]


def test_other_images_give_all_runs_of_a_study_sampled_targets():
    advised = with_recipe([base(), base(image_source="white_noise")], "advised")
    assert {run.targets for run in advised} == {"sampled"}


def test_estimators_are_left_as_they_are():
    estimator = base(model="sklearn:knn")
    assert with_recipe([estimator, base()], "advised")[0] == estimator


def test_a_study_that_compares_what_a_recipe_sets_is_refused(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("[recipe]\nbatch_size = 64\n")
    runs = [base(lr=lr) for lr in (0.1, 0.2)]
    with pytest.raises(InputError, match="differ in lr"):
        with_recipe(runs, "advised")
    mixed = [base(targets=targets) for targets in ("sampled", "pooled")]
    with pytest.raises(InputError, match="differ in targets"):
        with_recipe(mixed, "advised")
    assert len(with_recipe([base(weight_decay=decay) for decay in (0.0, 0.1)], "advised")) == 2
    assert {run.batch_size for run in with_recipe(runs, path)} == {64}
