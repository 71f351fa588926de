"""Gradients over noisy labels beside those over clean ones, against autograd over every single label."""

import pytest
import torch
from torch import nn

import dilution
from dilution.errors import InputError
from dilution.models import build_model
from dilution.study import Grid, Run, Study
from dilution.study.execution import Execution
from dilution.study.results import table
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training.evaluation import Normalise
from dilution.training.gradients import GradientSums, batch_size, compare_gradients

DATA = dilution.load("digits")


def diluted(alpha, n=700, **settings):
    return dilution.Dilution(DATA.train, alpha=alpha, n=n, **settings)


def network(noisy, scale=3):
    """Return a model that is not at its start, where wrong labels cancel, and its normalisation."""
    model = build_model("mlp1", noisy.data.shape, noisy.classes, seed=0)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(scale)
    return model, Normalise(noisy.data, noisy.clean_rows)


def gradient(model, images, labels):
    model.zero_grad()
    nn.functional.cross_entropy(model(images), labels).backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters()]).double()


def test_both_gradients_are_those_of_autograd_over_every_single_label():
    noisy = diluted(4)
    model, normalise = network(noisy)
    index = torch.arange(len(noisy))
    over_all = gradient(model, normalise(noisy.images(index)), noisy.labels(index))
    clean = torch.arange(noisy.n)
    over_clean = gradient(model, normalise(noisy.images(clean)), noisy.true_labels(clean))
    compared = compare_gradients(model, normalise, noisy)
    assert compared.ratio == pytest.approx(float(over_all.norm() / over_clean.norm()), rel=1e-4)
    cosine = float(over_all @ over_clean / over_all.norm() / over_clean.norm())
    assert compared.cosine == pytest.approx(cosine, rel=1e-4)
    assert 0 < compared.ratio < 1
    assert compared.cosine < 0.999


def test_without_noise_both_gradients_are_equal():
    noisy = diluted(0)
    compared = compare_gradients(*network(noisy), noisy)
    assert (compared.ratio, compared.cosine) == pytest.approx((1, 1))


def test_at_the_start_expected_labels_cancel_and_drawn_ones_do_so_on_many_images():
    cosines = {}
    for n in (140, 1_400):
        noisy = diluted(20, n=n)
        model, normalise = network(noisy, scale=0.1)
        drawn, expected = (
            compare_gradients(model, normalise, noisy, kind) for kind in ("pooled", "expected")
        )
        assert expected.ratio == pytest.approx(1 / 21, rel=0.2)
        assert expected.cosine > 0.9
        cosines[n] = drawn.cosine
    assert cosines[140] < cosines[1_400] < expected.cosine


def test_the_model_is_left_as_it_was():
    noisy = diluted(1, n=50)
    model, normalise = network(noisy)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    compare_gradients(model.train(), normalise, noisy)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_other_images_are_refused():
    noisy = diluted(1, n=200, image_source="fresh")
    with pytest.raises(InputError, match="image_source is 'fresh'"):
        compare_gradients(*network(noisy), noisy)
    with pytest.raises(InputError, match="compare_gradients is set, image_source is 'fresh'"):
        Run.of(dataset="digits", n=100, alpha=1, model="mlp1", image_source="fresh", compare_gradients=True)
    with pytest.raises(InputError, match="model is 'sklearn:knn'"):
        Run.of(dataset="digits", n=100, alpha=1, model="sklearn:knn", compare_gradients=True)


@pytest.mark.trains
def test_runs_that_ask_for_it_have_both_measures_and_train_as_those_that_do_not(tmp_path):
    base = {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 5, "n_evals": 1}
    runs = Grid(base, {"alpha": [0.0, 5.0], "compare_gradients": [False, True]})
    with Store(tmp_path / "s.sqlite") as store:
        run_study(Study.of("s", runs), store, Execution(workers=0, progress=False))
        rows = table(store, "s").set_index(["alpha", "compare_gradients"])
    assert rows["gradient_ratio"].notna().tolist() == [False, True, False, True]
    assert rows.loc[(0.0, True), ["gradient_ratio", "gradient_cosine"]].tolist() == pytest.approx([1, 1])
    assert 0 < rows.loc[(5.0, True), "gradient_ratio"] < 1
    assert -1 <= rows.loc[(5.0, True), "gradient_cosine"] < 1
    for alpha in (0.0, 5.0):
        assert rows.loc[(alpha, True), "test_acc_last"] == rows.loc[(alpha, False), "test_acc_last"]


def test_sums_that_are_resumed_have_the_bits_of_one_pass(monkeypatch):
    monkeypatch.setattr("dilution.training.gradients._BATCH_SIZE", 100)
    noisy = diluted(3)
    model, normalise = network(noisy)
    first, second = GradientSums(model, normalise, noisy), GradientSums(model, normalise, noisy)
    batches = first.batches()
    assert [next(batches) for _ in range(3)] == [100, 200, 300]
    second.load(first.state())
    assert list(second.batches()) == [400, 500, 600, 700]
    assert second.compared() == compare_gradients(model, normalise, noisy)
    second.load({"sums": first.state()["sums"], "added": 3})  # of an earlier version, which counted batches
    assert list(second.batches()) == [400, 500, 600, 700]


@pytest.mark.parametrize(
    ("device", "image_shape", "size"),
    [("cpu", (1, 28, 28), 500), ("cuda", (1, 28, 28), 2500), ("cuda", (3, 224, 224), 500)],
)
def test_a_gpu_computes_gradients_of_more_small_images_at_once(device, image_shape, size):
    assert batch_size(torch.device(device), image_shape) == size


ZERO_AND_GOOD = {
    "dataset": "digits", "model": "perceptron", "n": 60, "n_val": 20, "optimizer": "sgd", "lr": 300.0,
    "targets": "pooled", "steps": 300, "batch_size": 40, "n_evals": 2,
}  # fmt: skip


@pytest.mark.trains
@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_whose_gradient_is_zero_is_done_without_it_and_harms_no_other(tmp_path, capsys, workers):
    frames = []
    for compares in (True, False):
        execution = Execution(workers=workers if compares else 0)
        runs = Grid({**ZERO_AND_GOOD, "compare_gradients": compares}, {"alpha": [0.0, 2.0]})
        with Store(tmp_path / f"{compares}.sqlite") as store:
            run_study(Study.of("s", runs), store, execution)
            assert store.runs_that_crashed() == set()
            frames.append(table(store, "s"))
    compared, plain = frames
    assert compared["state"].tolist() == ["done", "done"]
    assert compared["gradient_ratio"].isna().tolist() == [True, False]
    assert compared["error"][0].startswith("the gradients were not compared: a gradient is zero")
    assert compared["error"].isna().tolist() == [False, True]
    assert compared["test_acc_last"].tolist() == plain["test_acc_last"].tolist()
    (note,) = compared.attrs["notes"]
    assert note.startswith(
        "1 of 2 runs have no gradient_ratio and gradient_cosine, the first perceptron, alpha 0,"
    )
    assert note in capsys.readouterr().err
    assert plain.attrs["notes"] == []


@pytest.mark.trains
def test_what_a_model_raises_in_the_comparison_is_that_of_its_run_alone(tmp_path, monkeypatch):
    def fail(self):
        raise RuntimeError("no gradient of this layer")

    monkeypatch.setattr("dilution.training.gradients.GradientSums.compared", fail)
    runs = Grid(
        {"dataset": "digits", "n": 200, "model": "mlp1", "steps": 5, "n_evals": 1, "alpha": 1.0},
        {"compare_gradients": [False, True]},
    )
    with Store(tmp_path / "s.sqlite") as store:
        run_study(Study.of("s", runs), store, Execution(workers=0, progress=False))
        frame = table(store, "s")
    assert frame["state"].tolist() == ["done", "done"]
    assert "RuntimeError: no gradient of this layer" in frame["error"][1]
    assert frame.attrs["notes"][0].endswith("RuntimeError: no gradient of this layer")
