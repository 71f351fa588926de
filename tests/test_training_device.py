"""On a GPU a training draws the same labels and goes the same way; without one that is said."""

import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.models import build
from dilution.noise import Dilution, structured
from dilution.study import Run, Study, executors
from dilution.study.executors import processes
from dilution.study.progress import Progress
from dilution.study.scheduler import run_study
from dilution.study.store import Store
from dilution.training import BatchSampler, TrainConfig, train
from dilution.training.augment import Augmentation
from dilution.training.device import device_of
from dilution.training.ensemble import together
from dilution.training.losses import with_gradient
from dilution.training.optimizers import Average

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that torch can use")
CUDA = torch.device("cuda", 0)


def sets():
    data = load("digits").train
    return {
        "uniform": Dilution(data, 3.5, n=300, seed=1),
        "stratified": Dilution(data, 2, noise=structured(0.5), n=300, stratified=True, seed=2),
        "replaced": Dilution(data, 2, n=300, label_mode="replaced", seed=6),
        "fresh": Dilution(data, 2, n=300, image_source="fresh", seed=3),
        "white noise": Dilution(data, 2, n=300, image_source="white_noise", seed=4),
        "external": Dilution(data, 2, n=300, image_source=load("digits").test, seed=5),
    }


def test_an_unknown_device_is_refused():
    with pytest.raises(InputError, match=r"'gpu' is not a device.*auto, cpu, cuda"):
        device_of("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_and_auto_does_without():
    data = load("digits")
    with pytest.raises(InputError, match=r"device is 'cuda'.*finds no GPU.*device='cpu'"):
        train("perceptron", Dilution(data.train, 1), test=data.test, steps=1, device="cuda")
    assert device_of("auto") == torch.device("cpu")


def test_what_is_on_a_device_already_stays():
    data, cpu = load("digits").train, torch.device("cpu")
    noisy = Dilution(data, 1)
    assert data.to(cpu) is data
    assert noisy.to(cpu) is noisy


@pytest.mark.parametrize("name", sets())
def test_a_moved_set_has_its_tensors_elsewhere(name):
    # "meta" tensors have shapes and no content: what can be moved there can be moved anywhere
    there = sets()[name].to(torch.device("meta"))
    for part in filter(None, (there, there.image_source, there._draw)):
        for value in vars(part).values():
            if isinstance(value, torch.Tensor | Arrays):
                assert value.device.type == "meta"
    assert sets()[name].data.to(torch.device("meta")) is there.data  # one copy for all


@pytest.mark.parametrize("targets", ["labels", "weights"])
@pytest.mark.parametrize(
    ("model", "precision"),
    # torch casts convolutions to bfloat16 on real devices only
    [
        ("perceptron", torch.float32),
        ("mlp2", torch.float32),
        ("mlp2", torch.bfloat16),
        ("conv2", torch.float32),
    ],
)
def test_a_step_reads_nothing_back_and_stays_on_its_device(model, targets, precision):
    # a "meta" tensor has nothing to read: asking for a number, or mixing it with the CPU's, is an error
    meta = torch.device("meta")
    replicas = together([build(model, (1, 8, 8), 10, seed=seed).to(meta) for seed in (0, 1)], precision)
    wanted = (
        torch.empty(2, 16, device=meta).long() if targets == "labels" else torch.empty(2, 16, 10, device=meta)
    )
    average = Average(replicas, 0.9)
    for _ in range(2):
        losses = replicas.differentiate(torch.empty(2, 16, 1, 8, 8, device=meta), wanted, with_gradient)
        average.update()
    assert losses.device == meta
    for leaf in replicas.leaves(1):
        assert leaf.grad.device == meta
        assert leaf.grad.dtype == torch.float32


def test_with_two_gpus_workers_take_turns(monkeypatch, tmp_path):
    made = []

    class Recorded:
        def __init__(self, root, shared, checkpoints, gpu):
            made.append(gpu)

        def wait_until_ready(self):
            raise InputError("enough")

        def stop(self):
            pass

    monkeypatch.setattr(processes, "Worker", Recorded)
    monkeypatch.setattr(executors, "device_of", torch.device)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    runs = [Run.of(dataset="digits", n=100, alpha=1, model="mlp1", steps=2, seed=seed) for seed in range(9)]
    study, quiet = Study.of("s", runs), Progress(quiet=True)
    for workers, expected in ((None, [0, 1]), (5, [0, 1, 0, 1, 0])):
        made.clear()
        with Store(tmp_path / "s.sqlite") as store, pytest.raises(InputError, match="enough"):
            run_study(study, store, workers=workers, device="cuda", progress=quiet)
        assert made == expected


@gpu
@pytest.mark.parametrize("name", sets())
def test_labels_and_images_have_the_same_bits_on_a_gpu(name):
    here, there = sets()[name], sets()[name].to(CUDA)
    index = torch.arange(len(here))
    assert torch.equal(there.labels(index.to(CUDA)).cpu(), here.labels(index))
    assert torch.equal(there.images(index.to(CUDA)).cpu(), here.images(index))
    assert (there.noise_summary().transition_empirical == here.noise_summary().transition_empirical).all()


@gpu
@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_batches_are_the_same_on_a_gpu(order):
    here = sets()["uniform"]
    pairs = zip(
        BatchSampler(here, order, 64, seed=1).batches(30),
        BatchSampler(here.to(CUDA), order, 64, seed=1).batches(30),
        strict=True,
    )
    for ours, theirs in pairs:
        assert torch.equal(theirs.images.cpu(), ours.images)
        assert torch.equal(theirs.targets.cpu(), ours.targets)


@gpu
@pytest.mark.parametrize(
    "settings", [{"hflip": True}, {"translate": 2}, {"hflip": True, "translate": 2}], ids=str
)
def test_augmented_images_are_the_same_on_a_gpu(settings):
    here = sets()["uniform"]
    changes = Augmentation(TrainConfig(**settings), (1, 8, 8), seed=1)
    pairs = zip(
        changes.of(BatchSampler(here, "sampled", 64, seed=1).batches(30)),
        changes.of(BatchSampler(here.to(CUDA), "sampled", 64, seed=1).batches(30)),
        strict=True,
    )
    for ours, theirs in pairs:
        assert torch.equal(theirs.images.cpu(), ours.images)


@gpu
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adadelta"])
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
def test_a_training_goes_the_same_way_on_a_gpu(model, optimizer):
    data = load("digits")
    rate = {"sgd": 0.01, "adadelta": 0.1}.get(optimizer, 1e-3)
    results = [
        train(
            model, Dilution(data.train, 2, n=500), test=data.test, device=device, optimizer=optimizer,
            lr=rate, schedule="linear", steps=50, batch_size=32, n_evals=2,
        )
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    losses = [result.history["train_loss"].tolist() for result in results]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert results[1].module.state_dict().keys() == results[0].module.state_dict().keys()
    assert results[1].predict(data.test.images).device.type == "cpu"
