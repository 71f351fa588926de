"""Training on a GPU computes the same labels and losses; without a GPU it is refused."""

import pytest
import torch

from dilution.data import Arrays, load
from dilution.errors import InputError
from dilution.models import build_model
from dilution.noise import Dilution, structured
from dilution.training import BatchSampler, TrainConfig, TrainTask, train, train_together
from dilution.training.augment import Augmentation
from dilution.training.device import CapturedStep, _warm_up_stream, evaluation_products, resolve_device
from dilution.training.ema import WeightEMA
from dilution.training.ensemble import make_ensemble
from dilution.training.losses import cross_entropy_with_gradient

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
        resolve_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_refused_and_auto_is_the_cpu():
    data = load("digits")
    with pytest.raises(InputError, match=r"device is 'cuda'.*finds no GPU.*device='cpu'"):
        train("perceptron", Dilution(data.train, 1), test=data.test, steps=1, device="cuda")
    assert resolve_device("auto") == torch.device("cpu")


@pytest.mark.parametrize(
    ("device", "precision", "rounds"),
    [("cuda", "bfloat16", True), ("cuda", "float32", False), ("cpu", "bfloat16", False)],
)
def test_evaluations_round_to_tf32_only_where_trainings_round_to_bfloat16(
    monkeypatch, device, precision, rounds
):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    before = torch.get_float32_matmul_precision()
    with evaluation_products(torch.device(device), precision):
        assert torch.backends.cudnn.allow_tf32 == rounds
        assert torch.get_float32_matmul_precision() == ("high" if rounds else before)
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == before


def test_data_on_the_right_device_are_not_moved():
    data, cpu = load("digits").train, torch.device("cpu")
    noisy = Dilution(data, 1)
    assert data.to(cpu) is data
    assert noisy.to(cpu) is noisy


@pytest.mark.parametrize("name", sets())
def test_all_tensors_of_a_moved_set_are_on_the_device(name):
    # "meta" tensors have shapes and no values: what can be moved there can be moved anywhere.
    moved = sets()[name].to(torch.device("meta"))
    for part in filter(None, (moved, moved.image_source, moved._sampler)):
        for value in vars(part).values():
            if isinstance(value, torch.Tensor | Arrays):
                assert value.device.type == "meta"
    assert sets()[name].data.to(torch.device("meta")) is moved.data  # one copy for all


@pytest.mark.parametrize("targets", ["labels", "weights"])
@pytest.mark.parametrize(
    ("model", "precision"),
    # PyTorch casts convolutions to bfloat16 on real devices only.
    [
        ("perceptron", torch.float32),
        ("mlp2", torch.float32),
        ("mlp2", torch.bfloat16),
        ("conv2", torch.float32),
    ],
)
def test_a_step_stays_on_its_device(model, targets, precision):
    # A "meta" tensor has no values: reading one, or mixing it with a CPU tensor, is an error.
    meta = torch.device("meta")
    ensemble = make_ensemble(
        [build_model(model, (1, 8, 8), 10, seed=seed).to(meta) for seed in (0, 1)], precision
    )
    labels = torch.empty(2, 16, device=meta).long()
    batch_targets = labels if targets == "labels" else torch.empty(2, 16, 10, device=meta)
    images = torch.empty(2, 16, 1, 8, 8, device=meta)
    ema = WeightEMA(ensemble, 0.9)
    for _ in range(2):
        losses = ensemble.differentiate(images, batch_targets, cross_entropy_with_gradient)
        ema.update()
    assert losses.device == meta
    for weight in ensemble.replica_parameters(1):
        assert weight.grad.device == meta
        assert weight.grad.dtype == torch.float32


def test_trainings_share_one_stream_for_their_first_steps(monkeypatch):
    """Memory that was allocated on a stream is kept for it."""
    _warm_up_stream.cache_clear()
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: [device])
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    one, other = CapturedStep(None), CapturedStep(None)
    _warm_up_stream.cache_clear()
    assert one._stream is other._stream
    assert one._stream == [1]


@gpu
@pytest.mark.parametrize("name", sets())
def test_labels_and_images_have_the_same_bits_on_a_gpu(name):
    on_cpu, on_gpu = sets()[name], sets()[name].to(CUDA)
    index = torch.arange(len(on_cpu))
    assert torch.equal(on_gpu.labels(index.to(CUDA)).cpu(), on_cpu.labels(index))
    assert torch.equal(on_gpu.images(index.to(CUDA)).cpu(), on_cpu.images(index))
    summaries = on_cpu.noise_summary(), on_gpu.noise_summary()
    assert (summaries[0].transition_empirical == summaries[1].transition_empirical).all()


@gpu
@pytest.mark.parametrize("targets", ["sampled", "pooled", "expected"])
def test_batches_are_the_same_on_a_gpu(targets):
    noisy = sets()["uniform"]
    pairs = zip(
        BatchSampler(noisy, targets, 64, seed=1).batches(30),
        BatchSampler(noisy.to(CUDA), targets, 64, seed=1).batches(30),
        strict=True,
    )
    for on_cpu, on_gpu in pairs:
        assert torch.equal(on_gpu.images.cpu(), on_cpu.images)
        assert torch.equal(on_gpu.targets.cpu(), on_cpu.targets)


@gpu
@pytest.mark.parametrize(
    "settings", [{"hflip": True}, {"translate": 2}, {"hflip": True, "translate": 2}], ids=str
)
def test_augmented_images_are_the_same_on_a_gpu(settings):
    noisy = sets()["uniform"]
    augmentation = Augmentation(TrainConfig(**settings), (1, 8, 8), seed=1)
    pairs = zip(
        augmentation.apply(BatchSampler(noisy, "sampled", 64, seed=1).batches(30)),
        augmentation.apply(BatchSampler(noisy.to(CUDA), "sampled", 64, seed=1).batches(30)),
        strict=True,
    )
    for on_cpu, on_gpu in pairs:
        assert torch.equal(on_gpu.images.cpu(), on_cpu.images)


@gpu
@pytest.mark.trains
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "adadelta"])
@pytest.mark.parametrize("model", ["mlp2", "conv2"])
def test_a_training_has_the_same_losses_on_a_gpu(model, optimizer):
    data = load("digits")
    lr = {"sgd": 0.01, "adadelta": 0.1}.get(optimizer, 1e-3)
    results = [
        train(
            model, Dilution(data.train, 2, n=500), test=data.test, device=device, optimizer=optimizer,
            lr=lr, schedule="linear", steps=50, batch_size=32, n_evals=2,
        )
        for device in ("cpu", "cuda")
    ]  # fmt: skip
    losses = [result.history["train_loss"].tolist() for result in results]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    assert results[1].model.state_dict().keys() == results[0].model.state_dict().keys()
    assert results[1].predict(data.test.images).device.type == "cpu"


@gpu
@pytest.mark.trains
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("model", ["perceptron", "mlp2", "conv2"])
def test_a_replica_has_the_same_bits_in_any_group_on_a_gpu(model, precision):
    data = load("digits")
    config = TrainConfig(optimizer="adam", steps=40, batch_size=32, n_evals=2, precision=precision)
    tasks = [
        TrainTask(model, Dilution(data.train, 2, n=500, seed=seed), data.test, seed, 50, config)
        for seed in range(5)
    ]
    whole = train_together(tasks, "cuda")
    for first, last in ((2, 3), (1, 4)):
        for part, same in zip(train_together(tasks[first:last], "cuda"), whole[first:last], strict=True):
            assert part.history.equals(same.history)
            weights = part.model.state_dict(), same.model.state_dict()
            assert all(map(torch.equal, weights[0].values(), weights[1].values()))
