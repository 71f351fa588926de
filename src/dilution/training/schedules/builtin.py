"""The built-in schedules of the learning rate."""

import math
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, field_validator

from dilution.errors import short_repr
from dilution.training.schedules.base import WarmedUpSchedule

_MAX_DENOMINATOR = 1_000_000  # of a share of the steps as a fraction: 1/3 is exactly a third


def _listed(drops: Any) -> Any:
    """Return drops as a tuple; refuse what is no list, or an empty one."""
    if not isinstance(drops, list | tuple) or not drops:
        shown = short_repr(list(drops) if isinstance(drops, tuple) else drops)
        raise ValueError(
            f"drops is {shown}; it must be a list of one or more shares of the steps. Give "
            "schedule='step(drops=[0.5])', or schedule='constant', which has none"
        )
    return tuple(drops)


class Constant(WarmedUpSchedule):
    """The same learning rate at every step after warm-up.

    Parameters
    ----------
    warmup
        Share of the steps in which the learning rate rises linearly first.
    """

    name: ClassVar[str] = "constant"

    def after_warmup(self, step: int, steps: int, rising: int) -> float:  # noqa: ARG002
        return 1.0


class Linear(WarmedUpSchedule):
    """Constant after warm-up, then falling linearly to 0.

    Step i of n steps after warm-up has the factor min(1, (n − i)/(decay n)).

    Parameters
    ----------
    decay
        Share of the steps after warm-up in which it falls, above 0 to 1.
    warmup
        Share of the steps in which the learning rate rises linearly first.
    """

    name: ClassVar[str] = "linear"

    decay: Annotated[float, Field(gt=0, le=1)] = 0.7

    def after_warmup(self, step: int, steps: int, rising: int) -> float:
        return min(1.0, (steps - step) / max(1.0, self.decay * (steps - rising)))


class Cosine(WarmedUpSchedule):
    """Falling to 0 along half a cosine after warm-up (Loshchilov and Hutter 2017, without restarts).

    Step i of n steps after warm-up has the factor (1 + cos(π i/n))/2.

    Parameters
    ----------
    warmup
        Share of the steps in which the learning rate rises linearly first.
    """

    name: ClassVar[str] = "cosine"

    def after_warmup(self, step: int, steps: int, rising: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))


class Step(WarmedUpSchedule):
    """Multiplied by a factor at some steps: by default after 30, 60 and 80 of 90 epochs (He et al. 2016).

    Parameters
    ----------
    drops
        Shares of all steps, warm-up included, after which the learning rate is multiplied; above 0 to below
        1, in ascending order.
    factor
        What it is multiplied by, above 0 to below 1.
    warmup
        Share of the steps in which the learning rate rises linearly first.
    """

    name: ClassVar[str] = "step"

    drops: Annotated[
        tuple[Annotated[float, Field(gt=0, lt=1)], ...],
        BeforeValidator(_listed),
    ] = (1 / 3, 2 / 3, 8 / 9)
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.1

    @field_validator("drops")
    @classmethod
    def _ascending(cls, drops: tuple[float, ...]) -> tuple[float, ...]:
        if list(drops) != sorted(set(drops)):
            raise ValueError(f"drops is {list(drops)}; they must be in ascending order, each once")
        return drops

    def after_warmup(self, step: int, steps: int, rising: int) -> float:  # noqa: ARG002
        return math.prod(self.factor for drop in _fractions(self.drops) if step >= drop * steps)


@lru_cache(maxsize=64)
def _fractions(shares: tuple[float, ...]) -> tuple[Fraction, ...]:
    """Return shares as fractions, with which whole steps are compared exactly."""
    return tuple(Fraction(share).limit_denominator(_MAX_DENOMINATOR) for share in shares)
