"""Pins: three trainings of version 0.1 that must keep their bits under every later version.

`fixtures/v0_1/README.md` shows how they were made; `dilution.utils.migration` translates the names of
version 0.1. On another processor, with another version of torch or other vector instructions, sums have
other last bits: there losses and accuracies are compared to a tolerance, and the hashes of weights and
predictions not at all. Labels and noise are integer arithmetic, which is bit-identical everywhere.
"""

import hashlib
import json
import platform
from pathlib import Path

import numpy as np
import pytest
import torch

import dilution
from dilution.training import TrainConfig, TrainTask, train_together
from dilution.utils import migration

PINS = json.loads((Path(__file__).parent / "fixtures/v0_1/histories.json").read_text("utf-8"))
NAMES = migration.MEASURES | {"alpha_requested": "alpha_expected"}


def sha(*arrays):
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def same_machine():
    """Return whether this machine computes the bits that the pins were made with."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.is_file() else []
    processors = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    here = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "processor": processors[0] if processors else "",
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }
    return all(PINS["made_by"][name] == value for name, value in here.items())


def numbers(values):
    """Return numbers from their text in hexadecimal; whole numbers stand as they are."""
    return [float.fromhex(value) if isinstance(value, str) else value for value in values]


def check_numbers(computed, pinned, name):
    """Compare a column of a history or a value of a summary, bit by bit where the machine is the same."""
    if same_machine():
        assert computed == pinned, name
    elif "step" in name:
        assert computed == pytest.approx(pinned, abs=40), name  # another evaluation may be the best one
    else:
        assert computed == pytest.approx(pinned, rel=1e-3 if "loss" in name else 0, abs=0.03), name


def check_noise(summary, pinned):
    values = {NAMES[old]: value for old, value in pinned.items()}
    assert vars(summary).keys() == values.keys()
    for name, value in vars(summary).items():
        if isinstance(value, np.ndarray):
            assert sha(value) == values[name], name
        else:  # a sum of floats, whose last bit depends on the vector instructions
            assert value == pytest.approx(float.fromhex(values[name]), rel=1e-15), name


@pytest.mark.trains
@pytest.mark.parametrize("name", PINS["trainings"])
def test_trainings_of_version_0_1_keep_their_bits(name, one_thread):
    digits = dilution.load("digits")
    pin = PINS["trainings"][name]
    config = TrainConfig(**migration.new_settings(pin["train"]))
    tasks = []
    for replica in pin["replicas"]:
        noise = None if pin["noise"] is None else dilution.structured(**pin["noise"])
        seed, n_val = replica["seed"], replica["n_validation"]
        noisy = dilution.Dilution(
            digits.train, pin["alpha"], n=pin["n"], noise=noise, stratified=pin["stratified"], seed=seed
        )
        assert sha(noisy.labels(torch.arange(len(noisy))).numpy()) == replica["labels"]
        tasks.append(TrainTask(pin["network"], noisy, digits.test, seed, n_val, config))
    for replica, result in zip(pin["replicas"], train_together(tasks), strict=True):
        assert result.state == replica["state"]
        sizes = replica["n_training"], replica["n_validation"], replica["n_test"]
        assert (result.n_train, result.n_val, result.n_test) == sizes
        columns = {migration.HISTORY.get(old, old): column for old, column in replica["history"].items()}
        memorisation = [] if config.targets == "expected" else ["memorised", "recovered"]  # 0.1 had none
        assert list(result.history) == [*columns, *memorisation]
        for column, values in columns.items():
            check_numbers(result.history[column].tolist(), numbers(values), column)
        summary = {NAMES.get(old, old): value for old, value in replica["summary"].items()}
        added = {
            "test_acc_at_half_steps",
            "val_loss_noisy",
            "val_acc_noisy",
        }  # measures that 0.1 did not have
        added |= {"test_acc_at_best_noisy_acc", "step_at_best_noisy_acc"}
        added |= {f"{name}_last" for name in memorisation}
        assert result.summary().keys() == summary.keys() | added
        for measure, value in summary.items():
            check_numbers([result.summary()[measure]], numbers([value]), measure)
        check_noise(result.noise_summary, replica["delivered"])
        if same_machine():
            weights = [weight.numpy() for weight in result.model.state_dict().values()]
            assert sha(*weights) == replica["weights"]
            assert sha(result.predict(digits.test).detach().numpy()) == replica["predictions"]
