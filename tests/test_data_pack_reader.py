"""Packs: what is read is what was packed, or an error; and nothing but the batch is in memory."""

import hashlib
import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dilution
from dilution.data import Arrays, check, fingerprint, load, write_pack
from dilution.data.pack.reader import HEADER
from dilution.errors import DataError, InputError
from dilution.noise import Dilution
from dilution.study import Grid, Study
from dilution.training import confusability, train


@pytest.fixture
def digits_pack(tmp_path: Path) -> Path:
    digits = load("digits")
    return write_pack(tmp_path / "mine.pack", [digits.train], [digits.test])


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def test_a_pack_holds_what_was_packed(digits_pack: Path) -> None:
    data, digits = load(digits_pack), load("digits")
    assert data.name == "mine"
    for ours, theirs in ((data.train, digits.train), (data.test, digits.test)):
        assert ours.classes == theirs.classes
        assert torch.equal(ours.labels, theirs.labels)
        assert torch.equal(ours.pixel_sums, theirs.pixel_sums)
        assert torch.equal(ours.take(torch.arange(len(ours))), theirs.images)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4), channels=st.integers(1, 3), seed=st.integers()
)
def test_parts_of_any_length_make_the_same_pack(
    tmp_path: Path, sizes: list[int], channels: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed % 2**31)
    images = torch.randint(0, 256, (sum(sizes), channels, 3, 2), generator=draw, dtype=torch.uint8)
    whole = Arrays(images, torch.arange(sum(sizes)) % 2, ("no", "yes"))
    parts = [whole.subset(rows) for rows in torch.arange(sum(sizes)).split(sizes)]
    one = write_pack(tmp_path / "one.pack", [whole], [whole]).read_bytes()
    assert write_pack(tmp_path / "many.pack", parts, parts).read_bytes() == one


def test_a_subset_of_a_subset_takes_the_right_images(digits_pack: Path) -> None:
    train_half, images = load(digits_pack).train, load("digits").train.images
    some = train_half.subset(torch.tensor([5, 3, 900])).subset(torch.tensor([2, 0]))
    assert torch.equal(some.take(torch.tensor([1, 0, 0])), images[[5, 900, 900]])
    assert torch.equal(some.pixel_sums, load("digits").train.pixel_sums[:, [900, 5]])
    assert some.take(torch.arange(0)).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("targets", ["sampled", "pooled"])
def test_training_from_a_pack_gives_the_bits_of_training_from_memory(digits_pack: Path, order: str) -> None:
    results = []
    for data in (load(digits_pack), load("digits")):
        noisy = Dilution(data.train, 3, n=400, seed=1)
        results.append(train("mlp1", noisy, test=data.test, order=order, steps=40, batch_size=32))
    pd.testing.assert_frame_equal(results[0].history, results[1].history, check_exact=True)


@pytest.mark.parametrize("images", ["fresh", "white_noise", "external"])
def test_other_images_come_from_packs_too(digits_pack: Path, images: str) -> None:
    at = torch.tensor([0, 150, 399, 299])
    drawn = []
    for data in (load(digits_pack), load("digits")):
        source = data.test if images == "external" else images
        drawn.append(Dilution(data.train, 3, n=100, image_source=source, seed=1).images(at))
    assert torch.equal(*drawn)


def test_external_images_of_a_pack_are_brought_to_the_shape(digits_pack: Path) -> None:
    colour = Arrays(
        torch.zeros(4, 3, 12, 12, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]), tuple("0123456789")
    )
    at = torch.tensor([0, 5, 6, 7])
    drawn = [
        Dilution(colour, 1, image_source=data.train, seed=1).images(at)
        for data in (load(digits_pack), load("digits"))
    ]
    assert drawn[0].shape == (4, 3, 12, 12)
    assert torch.equal(*drawn)


def test_confusability_is_measured_from_a_pack(digits_pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dilution.training.confusability.LARGEST", 60)
    tables = [confusability(load(name).train, model="perceptron") for name in (digits_pack, "digits")]
    assert (tables[0] == tables[1]).all()


def test_a_pack_is_run_as_a_study(digits_pack: Path, tmp_path: Path) -> None:
    grid = {"model": ["perceptron"], "alpha": [0, 5]}
    base = {"n": 300, "steps": 20, "targets": "pooled", "n_evals": 1}
    tables = []
    for name in (str(digits_pack), "digits"):
        study = Study.of("s", Grid(base | {"dataset": name}, grid))
        tables.append(
            dilution.run(
                study, store=tmp_path / f"{Path(name).stem}.sqlite", execution=dilution.Execution(workers=2)
            )
        )
    assert tables[0]["test_acc_last"].tolist() == tables[1]["test_acc_last"].tolist()
    assert set(tables[0]["fingerprint"]) == {fingerprint(digits_pack)}


def test_another_content_is_another_fingerprint(digits_pack: Path) -> None:
    before = fingerprint(digits_pack)
    digits = load("digits")
    changed = digits.train.images.clone()
    changed[7, 0, 0, 0] ^= 1
    write_pack(digits_pack, [Arrays(changed, digits.train.labels, digits.train.classes)], [digits.test])
    assert fingerprint(digits_pack) != before
    assert torch.equal(load(digits_pack).train.take(torch.tensor([7]))[0], changed[7])


def test_a_pack_travels_to_another_process(digits_pack: Path) -> None:
    half = load(digits_pack).train.subset(torch.tensor([4, 2]))
    copy = pickle.loads(pickle.dumps(half))
    assert torch.equal(copy.take(torch.tensor([1])), half.take(torch.tensor([1])))


def test_a_changed_image_is_named_and_never_used(digits_pack: Path) -> None:
    flip(digits_pack, 4096 + 64 * 9 + 5)
    half = load(digits_pack).train
    assert half.take(torch.tensor([8, 10])).shape == (2, 1, 8, 8)
    with pytest.raises(DataError, match=r"image 9 of .*mine.pack does not fit its checksum"):
        half.take(torch.tensor([8, 9]))
    (finding,) = check(digits_pack)
    assert (finding.state, finding.damaged) == ("altered", ("train image 9",))


def test_a_image_that_changes_after_it_was_read_is_noticed_when_the_pack_is_loaded_again(
    digits_pack: Path,
) -> None:
    half = load(digits_pack).train
    half.take(torch.arange(len(half)))
    flip(digits_pack, 4096)
    with pytest.raises(DataError, match=r"image 0 of .* does not fit its checksum"):
        load(digits_pack).train.take(torch.tensor([0]))


def test_a_changed_index_is_refused(digits_pack: Path) -> None:
    flip(digits_pack, digits_pack.stat().st_size - 2000)
    with pytest.raises(DataError, match="its index does not fit its checksum"):
        load(digits_pack)
    assert check(digits_pack)[0].state == "altered"


@pytest.mark.parametrize("kept", [0, 40, 5000, -1])
def test_a_pack_cut_off_anywhere_is_refused(digits_pack: Path, kept: int) -> None:
    digits_pack.write_bytes(digits_pack.read_bytes()[:kept])
    with pytest.raises(DataError, match=r"no pack|cut off"):
        load(digits_pack)


def test_a_pack_cut_off_while_it_is_read_is_an_error(digits_pack: Path) -> None:
    half = load(digits_pack).test
    with digits_pack.open("r+b") as file:
        file.truncate(6000)
    with pytest.raises(DataError, match="ends before image 3"):
        half.take(torch.tensor([3]))


def test_a_missing_pack_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        load(tmp_path / "none.pack")
    (tmp_path / "folder.pack").mkdir()
    with pytest.raises(DataError, match="cannot be read"):
        load(tmp_path / "folder.pack")


def test_parts_that_differ_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    digits = load("digits")
    other = Arrays(torch.zeros(2, 1, 9, 8, dtype=torch.uint8), torch.tensor([0, 1]), digits.train.classes)
    with pytest.raises(InputError, match="parts differ"):
        write_pack(tmp_path / "a.pack", [digits.train, other], [digits.test])
    with pytest.raises(InputError, match="the test half has no images"):
        write_pack(tmp_path / "a.pack", [digits.train], [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs /dev/full, which says that the disk is full"
)
def test_a_full_disk_leaves_no_pack_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits = load("digits")
    opened = Path.open
    monkeypatch.setattr(Path, "open", lambda _, mode: opened(Path("/dev/full"), mode))
    with pytest.raises(DataError, match=r"a.pack could not be written: No space left on device"):
        write_pack(tmp_path / "a.pack", [digits.train], [digits.test])
    assert list(tmp_path.iterdir()) == []


def test_the_command_packs_and_checks(tmp_path: Path) -> None:
    def call(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "dilution", "data", *words]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    done = call("pack", "digits", "d.pack")
    assert done.returncode == 0
    assert done.stdout.startswith("1,437 + 360 images, ")
    assert call("check", "d.pack").stdout.startswith("present")
    flip(tmp_path / "d.pack", 4096)
    damaged = call("check", "d.pack")
    assert damaged.returncode == 1
    assert "damaged: train image 0" in damaged.stdout
    wrong = call("pack", "digits", "d.bin")
    assert wrong.returncode == 2
    assert "does not end in .pack" in wrong.stderr


def forge(path: Path, save: Callable[..., None] = np.savez, **changes: Any) -> None:
    """Give a pack another index, with a checksum that fits: whoever makes a file can do so."""
    whole = path.read_bytes()
    magic, at, length, _ = HEADER.unpack(whole[: HEADER.size])
    with np.load(io.BytesIO(whole[at : at + length])) as loaded:
        index = {key: entry for key, entry in (dict(loaded) | changes).items() if entry is not None}
    packed = io.BytesIO()
    save(packed, **index)
    content = packed.getvalue()
    head = HEADER.pack(magic, at, len(content), hashlib.sha256(content).digest())
    path.write_bytes(head + whole[HEADER.size : at] + content)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": np.array([1, 8, 9])}, "are not 115008 bytes"),
        ({"shape": np.array([-1, -8, 8])}, "three whole numbers"),
        ({"classes": np.array([["a"], ["b"]])}, "no text"),
        ({"train_labels": np.full(1437, 10)}, "no numbers of classes"),
        ({"train_labels": np.zeros(1437)}, "no whole numbers"),
        ({"train_checksums": np.zeros(3, np.uint32)}, "one for each image"),
        ({"test_pixel_sums": np.zeros((360, 2, 3), np.int64)}, "two for each image"),
        ({"test_labels": None}, "test_labels"),
        ({"classes": np.array([{}], dtype=object)}, "pickle"),
    ],
)
def test_a_forged_index_is_refused(digits_pack: Path, changes: dict[str, Any], message: str) -> None:
    forge(digits_pack, **changes)
    with pytest.raises(DataError, match=f"is no valid pack .*{message}"):
        load(digits_pack)


def test_an_index_that_could_unpack_to_any_size_is_refused(digits_pack: Path) -> None:
    forge(digits_pack, np.savez_compressed)
    with pytest.raises(DataError, match="its index is compressed"):
        load(digits_pack)


def test_a_head_that_promises_more_than_there_is_reads_nothing(digits_pack: Path) -> None:
    whole = digits_pack.read_bytes()
    magic, at, _, digest = HEADER.unpack(whole[: HEADER.size])
    digits_pack.write_bytes(HEADER.pack(magic, at, 2**63, digest) + whole[HEADER.size :])
    with pytest.raises(DataError, match="is cut off"):
        load(digits_pack)
