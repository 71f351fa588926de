"""The cost of every loss, and of mixup: a step of Conv-4 with it and a step with cross entropy, in turn.

Writes benchmarks/results/losses.csv, one row per pair of steps; two minutes on one idle core. On a GPU
(``--device cuda``) a step is of 32 models, and the table is losses-gpu.csv.
"""

import argparse
import itertools
import time
from collections.abc import Callable, Iterator

import torch
from counting import BATCH_SIZE, MNIST_SHAPE
from table import write

from dilution.data import Arrays
from dilution.noise import Dilution, symmetric
from dilution.training import TrainConfig, TrainTask
from dilution.training.device import reproducible_convolutions, step_function
from dilution.training.distributed import WHOLE_BATCH
from dilution.training.ensemble_step import make_group_step
from dilution.training.group_batches import GroupBatches
from dilution.training.losses import LOSSES, resolve_loss
from dilution.training.replica import Replica

MODEL, REFERENCE = "conv4", "cross_entropy"
PAIRS, WARM_UP = 20, 5  # on a GPU the fourth step is captured
N = 20 * BATCH_SIZE
WAYS = {name: {"loss": name} for name in LOSSES} | {"mixup": {"mixup": 0.2}}


def stepper(settings: dict[str, object], device: torch.device, replicas: int) -> Callable[[], float]:
    """Return a function that takes a step and returns its seconds: processor time, on a GPU the clock's."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, *MNIST_SHAPE), generator=generator, dtype=torch.uint8)
    data = Arrays(images, torch.arange(N) % 10, tuple("0123456789"))
    precision = "bfloat16" if device.type == "cuda" else "float32"
    config = TrainConfig(
        optimizer="adam", lr=1e-4, batch_size=BATCH_SIZE, epochs=1000, precision=precision, **settings
    )
    noisy = Dilution(data, noise=symmetric(0.4), label_mode="replaced")
    tasks = [TrainTask(MODEL, noisy, data, seed, 2 * BATCH_SIZE, config) for seed in range(replicas)]
    members = [Replica(task, device, WHOLE_BATCH) for task in tasks]
    loss = resolve_loss(config.loss).of_group([member.loss_context(replicas) for member in members])
    models = [member.build_model().to(device) for member in members]
    ensemble = make_group_step(models, MNIST_SHAPE, config, [config.lr] * replicas, loss=loss)
    take_step = step_function(ensemble, device, capturable=True)
    batches = GroupBatches(members, BATCH_SIZE, device).from_step(0)
    clock = time.perf_counter if device.type == "cuda" else time.process_time

    def step() -> float:
        start = clock()
        take_step(*next(batches), 1.0)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - start

    return step


def measure(device: torch.device, replicas: int) -> Iterator[dict[str, object]]:
    """Yield one row per pair of steps: all losses in turn, each after a step with cross entropy."""
    with reproducible_convolutions(device):
        plain = stepper(WAYS[REFERENCE], device, replicas)
        others = {
            name: stepper(settings, device, replicas) for name, settings in WAYS.items() if name != REFERENCE
        }
        for step, _ in itertools.product([plain, *others.values()], range(WARM_UP)):
            step()
        for pair, (name, step) in itertools.product(range(PAIRS), others.items()):
            seconds = {"plain_s": plain(), "loss_s": step()}
            yield {"loss": name, "pair": pair, "device": device.type, "models": replicas, **seconds}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    chosen = torch.device(parser.parse_args().device)
    torch.set_num_threads(1)
    on_gpu = chosen.type == "cuda"
    rows: list[dict[str, object]] = []
    for measured in measure(chosen, 32 if on_gpu else 1):
        rows.append(measured)
        if len(rows) % (len(WAYS) - 1) == 0:  # at once: the machine may be lent and go away
            write("losses-gpu" if on_gpu else "losses", rows)
