"""The first classes of a data set by name: examples, names, notes, fingerprints, and wrong numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import dilution as command
from commands import succeeded

from dilution.data import load, registry
from dilution.data.first_classes import name_with_classes, split_classes
from dilution.data.named_data import is_own_data
from dilution.errors import InputError
from dilution.study import Run
from dilution.study.prepare import prepare


def test_the_first_classes_keep_their_examples_order_and_splits() -> None:
    whole, some = load("digits"), load("digits#classes=3")
    for kept, split in ((some.train, whole.train), (some.test, whole.test)):
        rows = split.labels < 3
        assert kept.classes == ("0", "1", "2")
        assert (kept.labels == split.labels[rows]).all()
        assert (kept.take(rows[rows].nonzero().flatten()) == split.images[rows]).all()
        assert kept.split_groups is None
    assert some.name == "digits#classes=3"
    assert load("digits#classes=3") is some


def test_a_note_says_what_was_left_out() -> None:
    (note,) = load("digits#classes=3").notes
    assert note == (
        "3 of 10 classes are used, from '0' to '2', with 429 of 1,437 training examples and 108 of 360 test "
        "examples; all others are left out"
    )


def test_all_classes_leave_nothing_out() -> None:
    assert load("digits#classes=10").notes == ()
    assert len(load("digits#classes=10").train) == len(load("digits").train)


def test_each_number_of_classes_has_a_fingerprint_of_its_own() -> None:
    names = ["digits", "digits#classes=10", "digits#classes=3", "digits#classes=4"]
    assert len({registry.fingerprint(name) for name in names}) == len(names)
    runs = prepare([Run.of(dataset=name, n=100, model="mlp1", alpha=1.0) for name in names], None)
    assert len({run.key for run in runs}) == len(names)


@pytest.mark.parametrize("count", [0, 1, 11])
def test_a_number_of_classes_that_the_data_do_not_have_is_refused(count: int) -> None:
    with pytest.raises(InputError, match=rf"'digits' has 10 classes, and classes is {count}; .* 2 to 10"):
        load(f"digits#classes={count}")


def test_data_of_the_user_have_first_classes_too(tmp_path: Path) -> None:
    frame = pd.DataFrame({"width": np.arange(40.0), "kind": np.repeat(["a", "b", "c", "d"], 10)})
    frame.to_csv(tmp_path / "t.csv", index=False)
    name = f"{tmp_path}/t.csv#kind,classes=3"
    assert load(name).train.classes == ("a", "b", "c")
    unsplit = registry.load_unsplit(name)
    assert len(unsplit.arrays) == 30
    assert unsplit.names is not None
    assert unsplit.names[-1] == "row 31"
    assert registry.fingerprint(name) != registry.fingerprint(f"{tmp_path}/t.csv#kind")
    assert registry.is_dataset_name(name)
    (status,) = registry.check(name)
    assert status.file == tmp_path / "t.csv"


def test_an_existing_path_with_such_an_ending_is_that_path(tmp_path: Path) -> None:
    path = tmp_path / "data#classes=2"
    path.mkdir()
    assert split_classes(str(path)) == (str(path), None)


@pytest.mark.parametrize("name", ["digits", "mine#48", "t.csv#label,drop=id", "own:data"])
def test_a_name_gains_and_loses_its_number_of_classes(name: str) -> None:
    assert split_classes(name_with_classes(name, 5)) == (name, 5)
    assert split_classes(name) == (name, None)


def test_a_built_in_data_set_with_few_classes_is_no_data_of_the_user() -> None:
    assert not is_own_data("digits#classes=3")
    assert is_own_data("own:data#classes=3")


@pytest.mark.trains
def test_a_table_with_its_first_classes_is_diagnosed_and_cleaned(tmp_path: Path) -> None:
    kinds = np.repeat(["a", "b", "c", "d"], 30)
    frame = pd.DataFrame({"width": np.arange(120) // 30 + np.tile([0.1, 0.2, 0.3], 40), "kind": kinds})
    frame.loc[::15, "kind"] = "b"
    frame.to_csv(tmp_path / "t.csv", index=False)
    short = "--model sklearn:logistic --repeats 1 --n-bootstrap 20 --workers 0 --clean drop --out d"
    for words in (["t.csv#kind,classes=3"], ["t.csv#classes=3", "--label", "kind"]):
        printed = succeeded(command("diagnose", *words, *short.split(), "--overwrite", cwd=tmp_path))
        assert "these 92 labels" in printed
        kept = pd.read_csv(tmp_path / "d" / "cleaned.csv")
        assert (kept["kind"] == "d").sum() == (frame["kind"] == "d").sum()  # not judged, so they stay


def test_first_classes_of_files_of_the_user_are_named_for_plans_too(tmp_path: Path) -> None:
    np.savez(tmp_path / "m.npz", images=np.zeros((20, 4, 4), np.uint8), labels=np.arange(20) % 4)
    name = f"{tmp_path}/m.npz#classes=3"
    assert registry.name_with_groups(name, None) == name
    assert registry.own_source(name) == registry.own_source(f"{tmp_path}/m.npz")
