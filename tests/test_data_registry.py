"""One loader for all data: names, fingerprints, states of files, and the folder of downloads."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dilution.data import DATASETS, load, registry
from dilution.errors import DataError, InputError


@pytest.mark.parametrize("call", [load, registry.fetch, registry.check, registry.fingerprint])
def test_an_unknown_name_is_refused_with_the_most_similar_one(call: Callable[[str], object]) -> None:
    with pytest.raises(InputError, match=r"'minst' is not a data set\. Did you mean 'mnist'"):
        call("minst")


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_an_image_folder_with_the_name_of_a_built_in_data_set_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(name).name == name
    (tmp_path / name / "figures").mkdir(parents=True)
    assert load(name).name == name  # a folder of something else, such as results
    (tmp_path / name / "figures" / "a.PNG").write_bytes(b"")
    with pytest.raises(InputError, match=rf"{name} is the name of .* Write \./{name} for the folder"):
        load(name)
    with pytest.raises(DataError, match="has images of one class only"):
        load(f"./{name}")
    monkeypatch.chdir(tmp_path / name)
    assert load(name).name == name


def test_every_listed_data_set_is_described_under_its_name() -> None:
    assert list(DATASETS) == [description.name for description in DATASETS.values()]
    assert "train-images-idx3-ubyte.gz" in DATASETS["mnist"].files
    assert DATASETS["digits"].files == ()


def test_a_data_set_is_read_once(tmp_path: Path) -> None:
    assert load("digits") is load(Path("digits"), tmp_path)


def test_a_built_in_data_set_has_nothing_to_fetch_or_check() -> None:
    assert registry.fetch("digits") == registry.check("digits") == []


def test_an_npz_file_is_checked_and_identified_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    (status,) = registry.check(path)
    assert (status.file, status.state, status.size) == (path, "missing", 0)
    with pytest.raises(DataError, match=r"mine\.npz cannot be read"):
        registry.fingerprint(path)
    np.savez(path, images=np.zeros((4, 2, 2), dtype=np.uint8), labels=[0, 1, 0, 1])
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    by_rules = hashlib.sha256(f"{registry.READING_RULES} {sha256}".encode()).hexdigest()
    assert registry.fingerprint(path) == by_rules
    (status,) = registry.fetch(path)
    assert (status.state, status.sha256, status.size) == (
        "present",
        sha256,
        path.stat().st_size,
    )


@pytest.mark.parametrize("name", ["digits", "mnist"])
def test_a_named_data_set_is_identified_by_its_name_alone(name: str, tmp_path: Path) -> None:
    assert registry.fingerprint(name, tmp_path) == ""


def test_the_root_is_the_argument_then_the_environment_then_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DILUTION_DATA", str(tmp_path / "environment"))
    assert registry.data_root(tmp_path / "argument") == tmp_path / "argument"
    assert registry.data_root() == tmp_path / "environment"
    monkeypatch.setenv("DILUTION_DATA", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert "dilution" in str(registry.data_root())


def test_data_that_are_read_by_other_rules_make_other_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, images=np.zeros((4, 2, 2), dtype=np.uint8), labels=[0, 1, 0, 1])
    before = registry.fingerprint(path)
    monkeypatch.setattr(registry, "READING_RULES", registry.READING_RULES + 1)
    assert registry.fingerprint(path) != before
