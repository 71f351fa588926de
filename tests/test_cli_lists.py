import re

import pytest
from commands import dilution, succeeded

import dilution as package
from dilution.data import DATASETS


@pytest.mark.parametrize(
    "kind",
    [
        *("models", "losses", "methods", "strategies", "optimizers", "schedules", "early_stopping"),
        *("datasets", "noises", "figures"),
    ],
)
def test_a_list_has_one_row_per_name_with_its_description(kind):
    rows = succeeded(dilution("list", kind.replace("_", "-"))).splitlines()
    for name, description in getattr(package, f"list_{kind}")().items():
        assert any(row.startswith(f"{name} ") and row.endswith(f"  {description}") for row in rows), name


def test_noises_are_listed_with_their_parameters():
    printed = succeeded(dilution("list", "noises"))
    for row in (
        r"structured +alpha or eta, delta, noise_order='random'  ",
        r"symmetric +rate, include_true=False  ",
        r"pmd +rate, kind='I'  ",
    ):
        assert re.search(f"^{row}", printed, re.MULTILINE), row


def test_models_are_listed_with_their_number_of_weights_and_beside_the_estimators():
    printed = succeeded(dilution("list", "models"))
    assert re.search(r"^perceptron +7,850  ", printed, re.MULTILINE)  # 784 · 10 + 10
    for name in package.list_estimators():
        assert f"\n{name} " in printed


def test_data_sets_are_listed_with_shape_counts_and_the_state_of_their_files(tmp_path):
    (tmp_path / "mnist").mkdir()
    for file in DATASETS["mnist"].files:
        (tmp_path / "mnist" / file).touch()
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "test_batch").touch()  # one of its files
    printed = succeeded(dilution("list", "datasets", "--data-root", tmp_path))
    assert re.search(r"^digits +10  1×8×8 +1,437 +360  built in ", printed, re.MULTILINE)
    assert re.search(r"^mnist +10  1×28×28 +60,000 +10,000  present ", printed, re.MULTILINE)
    assert re.search(r"^cifar10 +10  3×32×32 +50,000 +10,000  missing ", printed, re.MULTILINE)
    assert str(tmp_path) in printed
