import pytest
import torch

from dilution.data import Arrays, DataSet
from dilution.errors import InputError


def images(n: int, side: int = 4) -> torch.Tensor:
    return torch.zeros(n, 1, side, side, dtype=torch.uint8)


def test_arrays_name_the_classes_by_number_unless_told() -> None:
    assert Arrays(images(3), torch.tensor([0, 2, 1])).classes == ("0", "1", "2")
    assert Arrays(images(1), torch.tensor([0]), ("a", "b")).classes == ("a", "b")


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (images(2).double(), torch.tensor([0, 1]), "torch.float64"),
        (images(2)[:, 0], torch.tensor([0, 1]), "channel axis"),
        (images(2), torch.tensor([0, 1], dtype=torch.int32), "torch.int32"),
        (images(2), torch.tensor([0, 1, 1]), "for 2 images"),
        (images(0), torch.tensor([], dtype=torch.int64), "0 images"),
        (images(2), torch.tensor([-1, 1]), "run from -1 to 1"),
    ],
)
def test_arrays_refuse_what_breaks_a_rule(images: torch.Tensor, labels: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Arrays(images, labels)


def test_a_label_without_a_class_is_refused() -> None:
    with pytest.raises(InputError, match=r"with 2 classes they must lie in 0 … 1"):
        Arrays(images(1), torch.tensor([2]), ("a", "b"))


def test_halves_of_a_data_set_share_shape_and_classes() -> None:
    two = Arrays(images(2), torch.tensor([0, 1]))
    one = Arrays(images(1), torch.tensor([0]))
    small = Arrays(images(2, side=3), torch.tensor([0, 1]))
    assert DataSet("x", two, two).test is two
    for other in (one, small):
        with pytest.raises(InputError, match="both must be the same"):
            DataSet("x", two, other)
