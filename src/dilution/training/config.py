"""Settings of a training: targets, optimizer, learning rate, schedule, batch size, budget."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from dilution.errors import InputError, invalid, unknown
from dilution.training.early_stopping import EarlyStopping, resolve_early_stopping
from dilution.training.losses import Loss, resolve_loss
from dilution.training.optimizers import OptimizerSetting, OwnOptimizer, resolve_optimizer
from dilution.training.schedules import Schedule, resolve_schedule
from dilution.training.strategies import Strategy, resolve_strategy
from dilution.utils.whole_numbers import check_digits

Targets = Literal["sampled", "pooled", "expected"]
PrecisionName = Literal["float32", "bfloat16"]

DEFAULT_EPOCHS = 10.0
"""Budget of a training without `epochs` or `steps`."""


def check_precision(name: str) -> None:
    """Refuse an unknown precision.

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
        Targets of the loss: ``"sampled"``, one label at a time from a shuffle of all n(1 + alpha)
        examples; ``"pooled"``, one image at a time with the histogram of its labels;
        ``"expected"``, one image at a time with the expected histogram, which gives the loss
        H_alpha.
    loss
        Name of the loss, with parameters in brackets if they are not the default: ``"gce"``,
        ``"gce(q=0.3)"``; or ``"module:factory(parameter=value)"`` of a loss of your own. See
        :func:`dilution.list_losses`.
    strategy
        Name of the training strategy, with parameters in brackets if they are not the default:
        ``"plain"``, ``"co_teaching(forget_rate=0.2)"``; or ``"module:factory(parameter=value)"`` of a
        strategy of your own. See :func:`dilution.list_strategies`.
    optimizer, lr, momentum, weight_decay
        Optimizer, with parameters in brackets if they are not the default, ``"adam(beta2=0.98)"``, or
        ``"module:factory(parameter=value)"`` of one of your own, such as ``"torch.optim:RMSprop"``; and its
        learning rate. Momentum is used by ``"sgd"``, weight decay by every optimizer. See
        :func:`dilution.list_optimizers`.
    schedule
        Schedule of the learning rate: ``"constant"``; ``"linear"``, constant and then falling to 0
        over the last 70 % of the steps; ``"cosine"``, falling to 0 along half a cosine; ``"step"``,
        divided by 10 after a third of the steps, after two thirds, and after eight ninths. With parameters in
        brackets: ``"cosine(warmup=0.05)"``, ``"step(drops=[0.5, 0.75], factor=0.1)"``; or
        ``"module:function(parameter=value)"`` of step and steps. See :func:`dilution.list_schedules`.
    batch_size
        Examples (sampled targets) or images (pooled and expected targets) per batch; at most 10⁹.
    epochs, steps
        The budget, one of the two: passes over the examples or images, or optimizer steps. Default:
        10 epochs. At most 10⁹ epochs, 10¹⁵ steps.
    ema_decay
        Decay of an exponential moving average of the weights, which is evaluated in their place; 0
        is off.
    hflip
        Whether each training image is mirrored left to right with probability 1/2. Validation and
        test images never are.
    translate
        Largest shift of training images, in pixels: each is shifted down and to the right by whole
        numbers of pixels, uniform on −translate … translate, and padded with black.
    mixup
        a of mixup: each training image is mixed with another of its batch, with weights λ and 1 − λ, and so
        are their labels; λ is drawn for each batch from the distribution Beta(a, a). 0 is off.
    precision
        Precision of matrix products and convolutions. Weights, their updates, losses and
        evaluations are float32; on a GPU evaluations with bfloat16 round their products to TF32.
    n_evals
        Number of evaluations, at equal distances, the last one after the last step; at most 1,000,000.
    early_stopping
        Rule by which a training stops before its last step: ``"none"``; ``"noisy_val(patience=5)"``, when the
        loss on noisy validation labels has not fallen for 5 evaluations; ``"clean_val(patience=5)"``; or
        ``"module:function(parameter=value)"`` of the history. See :func:`dilution.list_early_stopping`.
    test_part
        Number of test images that evaluations during the training measure: a part that is the same in all
        runs and has each class in proportion. The models of the steps that results report are measured on all
        images at the end. Default: all at every evaluation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    targets: Targets = "sampled"
    loss: str = "cross_entropy"
    strategy: str = "plain"
    optimizer: str = "adadelta"
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    schedule: str = "constant"
    batch_size: Annotated[int, Field(ge=1, le=1_000_000_000)] = 128
    epochs: Annotated[float | None, Field(gt=0, le=1e9, allow_inf_nan=False)] = None
    steps: Annotated[int | None, Field(ge=1, le=1_000_000_000_000_000)] = None
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    hflip: bool = False
    translate: Annotated[int, Field(ge=0)] = 0
    mixup: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0
    precision: PrecisionName = "float32"
    n_evals: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    early_stopping: str = "none"
    test_part: Annotated[int | None, Field(ge=1)] = None

    @field_validator("*", mode="before")
    @classmethod
    def _number_for_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse text and truth values where a number belongs: TOML distinguishes them."""
        if isinstance(value, str | bool):
            annotation = cls.model_fields[info.field_name or ""].annotation
            if annotation in (int, float, int | None, float | None):
                raise ValueError(f"{info.field_name} is {value!r}; it must be a number, without quotes")
        elif type(value) is not float:
            check_digits(info.field_name or "", value)
        return value

    @field_validator("loss", mode="before")
    @classmethod
    def _canonical_loss(cls, value: str | Loss) -> str:
        """Return the canonical text of a loss: equal losses must be equal settings."""
        return resolve_loss(value).text

    @field_validator("strategy", mode="before")
    @classmethod
    def _canonical_strategy(cls, value: str | Strategy) -> str:
        """Return the canonical text of a strategy: equal strategies must be equal settings."""
        return resolve_strategy(value).text

    @field_validator("optimizer", mode="before")
    @classmethod
    def _canonical_optimizer(cls, value: str | OptimizerSetting) -> str:
        return resolve_optimizer(value).text

    @field_validator("schedule", mode="before")
    @classmethod
    def _canonical_schedule(cls, value: str | Schedule) -> str:
        return resolve_schedule(value).text

    @field_validator("early_stopping", mode="before")
    @classmethod
    def _canonical_early_stopping(cls, value: str | EarlyStopping) -> str:
        return resolve_early_stopping(value).text

    if not TYPE_CHECKING:  # a checker of types knows the settings

        def __init__(self, **settings: Any) -> None:
            """Create the configuration; a setting that breaks its rule is an InputError."""
            try:
                super().__init__(**settings)
            except ValidationError as error:
                raise invalid(error, type(self).model_fields) from None

        __init__.__pydantic_base_init__ = True  # so that validation does not call it

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        if self.epochs is not None and self.steps is not None:
            raise ValueError(
                f"epochs is {self.epochs} and steps is {self.steps}; give one of them: the budget in "
                "passes over the data or in optimizer steps"
            )
        return self

    @model_validator(mode="after")
    def _one_weight_decay(self) -> Self:
        optimizer = resolve_optimizer(self.optimizer)
        if isinstance(optimizer, OwnOptimizer) and self.weight_decay:
            in_brackets = optimizer.parameters.get("weight_decay")
            if in_brackets is not None:
                raise InputError(
                    f"weight_decay is {self.weight_decay:g}, and {in_brackets!r} in the brackets of "
                    f"optimizer {self.optimizer!r}; one of them must hold. Give weight_decay=0 to use that "
                    "in brackets."
                )
        return self

    @model_validator(mode="after")
    def _linear_loss(self) -> Self:
        if resolve_loss(self.loss).is_linear is False and self.takes_weights:
            given = (
                f"targets is {self.targets!r}" if self.targets != "sampled" else f"mixup is {self.mixup:g}"
            )
            remedy = "targets='sampled'" if self.targets != "sampled" else "mixup=0"
            raise InputError(
                f"loss is {self.loss!r} and {given}; pooled labels and mixup need a loss that is linear in "
                f"the label, and this one depends on more than logits and one label. Give {remedy}."
            )
        return self

    @model_validator(mode="after")
    def _strategy_of_single_labels(self) -> Self:
        if self.strategy == "plain":
            return self
        if self.takes_weights:
            given = (
                f"targets is {self.targets!r}" if self.targets != "sampled" else f"mixup is {self.mixup:g}"
            )
            remedy = "targets='sampled'" if self.targets != "sampled" else "mixup=0"
            raise InputError(
                f"strategy is {self.strategy!r} and {given}; a strategy judges examples by one label each. "
                f"Give {remedy}, or leave strategy out."
            )
        resolve_strategy(self.strategy).check_loss(resolve_loss(self.loss))
        return self

    @property
    def takes_weights(self) -> bool:
        """Whether targets are weights of the labels, not single labels."""
        return self.targets != "sampled" or self.mixup > 0

    @property
    def takes_index(self) -> bool:
        """Whether targets are labels with the numbers of their examples."""
        by_loss = resolve_loss(self.loss).takes_index and not self.takes_weights
        return by_loss or self.strategy != "plain"

    def __repr__(self) -> str:
        """Return the settings that differ from the defaults."""
        values = ((name, getattr(self, name), field) for name, field in type(self).model_fields.items())
        changed = [f"{name}={value!r}" for name, value, field in values if value != field.default]
        return f"{type(self).__name__}({', '.join(changed)})"

    def total_steps(self, epoch_length: int) -> int:
        """Return the number of optimizer steps, for an epoch of `epoch_length` examples or images."""
        if self.steps is not None:
            return self.steps
        epochs = DEFAULT_EPOCHS if self.epochs is None else self.epochs
        return max(1, round(epochs * epoch_length / self.batch_size))


def default_n_val(n: int) -> int:
    """Return the default number of validation examples of n clean ones: a tenth, from 1 to 5,000."""
    return min(5000, max(1, n // 10))
