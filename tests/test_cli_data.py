import re

import numpy as np
import pytest
from commands import dilution, refused, succeeded

from dilution.data import load


def test_check_reports_absent_files_and_exits_with_1(tmp_path):
    result = dilution("data", "check", "mnist", "--data-root", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.count("missing") == 4
    assert "dilution data fetch mnist" in result.stdout


def test_check_of_a_built_in_data_set_says_that_it_has_no_files():
    assert succeeded(dilution("data", "check", "digits")) == "digits is built in; it has no files.\n"


def test_pack_writes_a_file_and_prints_its_number_of_images(tmp_path):
    printed = succeeded(dilution("data", "pack", "digits", "digits.pack", cwd=tmp_path))
    assert printed.startswith("1,437 + 360 images, ")
    assert (tmp_path / "digits.pack").exists()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("digits digits.bin", "digits.bin does not end in .pack. Write to digits.pack instead"),
        ("digits there.pack", "there.pack exists; a finished pack is not overwritten"),
        (
            "digits new.pack --size 8",
            "digits is not a folder and does not exist; --size, --crops and --workers",
        ),
        ("mine.npz new.pack --crops 2", "mine.npz is not a folder; --size"),
        ("folder new.pack", "folder is a folder; its images need one size in pixels. Add --size 224"),
        ("dgits new.pack", "Did you mean 'digits'"),
    ],
)
def test_pack_refuses_what_it_cannot_write(tmp_path, line, message):
    (tmp_path / "there.pack").touch()
    (tmp_path / "folder").mkdir()
    np.savez(tmp_path / "mine.npz", features=np.zeros((2, 2)), labels=np.arange(2))
    refused(dilution("data", "pack", *line.split(), cwd=tmp_path), message)
    assert not (tmp_path / "new.pack").exists()


def test_data_noisy_writes_labels_and_prints_the_rate_expected_and_counted(tmp_path):
    target = tmp_path / "labels.npy"
    printed = succeeded(
        dilution("data", "noisy", "digits", target, "--noise", "pair_flip(rate=0.4)", "--seed", 1)
    )
    assert "1,437 labels of pair_flip(rate=0.4): " in printed
    assert "40.00% expected" in printed
    assert re.search(r"^3 right  \d\d\.\d\d%  4 \d\d\.\d\d%$", printed, re.MULTILINE)
    labels, true = np.load(target), load("digits").train.labels.numpy()
    assert set((labels - true) % 10) == {0, 1}
    assert f"{np.mean(labels != true):.2%} are wrong" in printed


def test_data_noisy_draws_from_the_matrix_of_a_diagnosis_and_prints_it_short(tmp_path):
    rows = [f"{c},{k},{0.75 if c == k else 0.25}\n" for c in range(10) for k in (c, (c + 1) % 10)]
    (tmp_path / "transition.csv").write_text("true,noisy,probability\n" + "".join(rows))
    noise = f"transition(T={str(tmp_path / 'transition.csv')!r})"
    printed = succeeded(dilution("data", "noisy", "digits", tmp_path / "labels.npy", "--noise", noise))
    assert re.match(r"1,437 labels of transition\(T=<10 x 10, .{4}>, classes=\['0', .*25\.00% exp", printed)
    assert re.search(r"^9 right  \d\d\.\d\d%  0 \d\d\.\d\d%$", printed, re.MULTILINE)


def test_data_noisy_replaces_no_file(tmp_path):
    target = tmp_path / "labels.npy"
    target.write_bytes(b"mine")
    refused(dilution("data", "noisy", "digits", target, "--noise", "uniform", "--eta", 0.2), "exists")
    assert target.read_bytes() == b"mine"


def test_data_noisy_refuses_what_is_no_noise_before_it_opens_the_data(tmp_path):
    target = tmp_path / "labels.npy"
    refused(dilution("data", "noisy", "no-such-data", target, "--noise", "symmetrc(rate=0.4)"), "'symmetric'")
    refused(dilution("data", "noisy", "no-such-data", target, "--noise", "idn"), "noise 'idn' needs rate")
    refused(dilution("data", "noisy", "digits", target, "--noise", "uniform"), "neither of alpha and eta")
    refused(
        dilution("data", "noisy", "digits", tmp_path / "labels.txt", "--noise", "pair_flip(rate=0.4)"),
        "does not end in .npy, .csv, .pt",
    )
    assert not target.exists()


@pytest.mark.trains
def test_data_noisy_trains_the_model_whose_predictions_the_noise_follows(tmp_path):
    target = tmp_path / "labels.csv"
    options = ("--noise", "idn(rate=0.3)", "--model", "perceptron", "--epochs", 1)
    printed = succeeded(dilution("data", "noisy", "digits", target, *options))
    assert "30.0" in printed.splitlines()[0] or "29.99" in printed.splitlines()[0]
    assert target.read_text().startswith("label,noisy_label\n")


def test_data_noisy_names_noise_of_ones_own_as_it_was_given(module, tmp_path):
    name = module("""
        from dilution.noise import PerExampleNoise

        class Next(PerExampleNoise):
            name = "next"

            def labels(self, data, seed):
                return (data.labels + 1) % len(data.classes)
        """)
    printed = succeeded(dilution("data", "noisy", "digits", tmp_path / "l.npy", "--noise", f"{name}:Next"))
    assert f"1,437 labels of {name}:Next: 100.00% are wrong" in printed
