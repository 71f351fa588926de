"""What a training is: order, optimizer, lr, schedule, batch, budget. Frozen and validated."""

from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from dilution.errors import unknown

Targets = Literal["sampled", "pooled", "expected"]
OptimizerName = Literal["adadelta", "sgd", "adam", "adamw"]
ScheduleName = Literal["constant", "linear", "cosine", "step"]
PrecisionName = Literal["float32", "bfloat16"]


def check_precision(name: str) -> None:
    """Refuse a precision that does not exist.

    Raises
    ------
    InputError
        If there is none of this name.
    """
    if name not in get_args(PrecisionName):
        raise unknown("precision", name, get_args(PrecisionName))


class TrainConfig(BaseModel):
    """Settings of one training; every default is the paper's where the paper has one.

    Parameters
    ----------
    targets
        Batch order: ``"sampled"`` one label at a time over a shuffle of all n(1 + alpha) examples;
        ``"pooled"`` one image at a time with the histogram of its labels as target; ``"expected"``
        one image at a time with the expected histogram, the loss H_alpha.
    optimizer, lr, momentum, weight_decay
        Optimizer and its learning rate; momentum (Nesterov) is used by ``"sgd"``, weight decay by all.
    schedule
        ``"constant"``; ``"linear"``: constant, then falling to 0 over the last 70 % of the steps;
        ``"cosine"``: falling to 0 along half a cosine from the first step; ``"step"``: a tenth of it after a
        third of the steps, a hundredth after two thirds, a thousandth after eight ninths.
    batch_size
        Examples (order ``"sampled"``) or images (otherwise) in a batch.
    epochs, steps
        The budget, one of the two: passes over the examples or images, or optimizer steps.
    averaging
        Decay of an exponential average of the weights, which is then what is evaluated; 0 is off.
    hflip, translate
        Augmentation of training images, never of validation or test images: each is mirrored left to
        right with probability 1/2; each is shifted down and to the right by whole numbers of pixels,
        uniform on −translate … translate, and what it no longer covers is black.
    precision
        What products of matrices and convolutions are computed in. Weights, their updates, losses and
        evaluations are float32 in any case.
    evaluations
        How often, at even distances and after the last step, the network is evaluated.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: Targets = "sampled"
    optimizer: OptimizerName = "adadelta"
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    schedule: ScheduleName = "constant"
    batch_size: Annotated[int, Field(ge=1)] = 128
    epochs: Annotated[float | None, Field(gt=0, allow_inf_nan=False)] = None
    steps: Annotated[int | None, Field(ge=1)] = None
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    hflip: bool = False
    translate: Annotated[int, Field(ge=0)] = 0
    precision: PrecisionName = "float32"
    n_evals: Annotated[int, Field(ge=1)] = 10

    @field_validator("*", mode="before")
    @classmethod
    def _number_for_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse text and truth values where a number belongs: TOML can tell them apart."""
        kind = cls.model_fields[info.field_name or ""].annotation
        if isinstance(value, str | bool) and kind in (int, float, int | None, float | None):
            raise ValueError(f"{info.field_name} is {value!r}; it must be a number, without quotes")
        return value

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(
                f"epochs is {self.epochs} and steps is {self.steps}; give one of them: the budget in "
                "passes over the data or in optimizer steps"
            )
        return self

    def total_steps(self, length: int) -> int:
        """Return the optimizer steps of the whole training, for an epoch of `length` examples.

        Without a budget a training takes 10 epochs.
        """
        if self.steps is not None:
            return self.steps
        epochs = 10.0 if self.epochs is None else self.epochs
        return max(1, round(epochs * length / self.batch_size))


def default_validation(n: int) -> int:
    """Return how many of n clean examples are set aside: a tenth, at least 1 and at most 5,000."""
    return min(5000, max(1, n // 10))
