"""A run that another training loop trained: its settings, as far as they are known, and its key."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from dilution.errors import DilutionError, invalid, short_repr
from dilution.noise import canonical_noise
from dilution.study.run_spec import Run
from dilution.training.losses import resolve_loss
from dilution.utils.whole_numbers import check_digits

TRAINED_BY = "trained_by"
"""Name under which a recorded run keeps who trained it; runs of this package have no such setting."""

MAX_TRAINER = 100
"""Most characters of the name of who trained a run."""

_MAX_TEXT = 500  # characters of a setting
_OWN_NAMES = ("optimizer", "schedule")
"""Settings that are one of a few names for Dilution, and any text for another training loop."""


class _Settings(BaseModel):
    """Settings that every recorded run states, and their checks; :class:`RecordedRun` adds those of `Run`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trained_by: str
    dataset: str
    model: str
    n: Annotated[int, Field(ge=1)]
    seed: Annotated[int, Field(ge=0)] = 0

    @field_validator("*", mode="before")
    @classmethod
    def _check_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse text where a number belongs and the reverse, and text that no line of a table can hold."""
        name = info.field_name or ""
        annotation = cls.model_fields[name].annotation
        if isinstance(value, str | bool) and annotation in (int, float, int | None, float | None):
            raise ValueError(f"{name} is {value!r}; it must be a number, without quotes")
        if isinstance(value, str) and (
            not value.isprintable() or len(value) > _MAX_TEXT or value != value.strip()
        ):
            raise ValueError(
                f"{name} is {short_repr(value)}; it must be a text on one line of at most {_MAX_TEXT} "
                "characters, without blanks at its ends"
            )
        check_digits(name, value)
        return value + 0.0 if type(value) is float else value  # −0.0 is 0.0

    @field_validator(TRAINED_BY)
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if not name or len(name) > MAX_TRAINER:
            raise ValueError(
                f"trained_by is {short_repr(name)}; it must name who or what trained the run, in at most "
                f"{MAX_TRAINER} characters, such as 'my loop'"
            )
        return name

    @model_validator(mode="after")
    def _check_level(self) -> Self:
        alpha, eta = getattr(self, "alpha", None), getattr(self, "eta", None)
        if alpha is not None and eta is not None:
            raise ValueError(
                f"alpha is {alpha} and eta is {eta}; give one of them: noise level or noise rate"
            )
        for name, value, largest in (("alpha", alpha, None), ("eta", eta, 1)):
            if value is not None and not (value >= 0 and (largest is None or value <= largest)):
                rule = "0 or more" if largest is None else "from 0 to 1"
                raise ValueError(f"{name} is {value}; it must be {rule}")
        return self

    @classmethod
    def of(cls, **settings: Any) -> Self:
        """Return the run of these settings.

        Raises
        ------
        InputError
            If a setting is unknown or breaks its rule.
        """
        if isinstance(settings.get("noise"), str):
            settings["noise"] = canonical_noise(settings["noise"])
        if isinstance(settings.get("loss"), str):
            settings["loss"] = _canonical_loss(settings["loss"])
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise invalid(error, cls.model_fields) from None

    @property
    def spec(self) -> str:
        """Canonical JSON of the settings that were stated."""
        return json.dumps(
            self.model_dump(mode="json", exclude_none=True), sort_keys=True, separators=(",", ":")
        )

    @property
    def key(self) -> str:
        """Identity of the run, 16 hex digits. What is hashed begins as that of no :class:`Run` does."""
        return hashlib.sha256(f"recorded/{self.spec}".encode()).hexdigest()[:16]

    def has_key(self, key: str) -> bool:
        """Return whether a key is that of this run."""
        return key == self.key


def _optional_settings() -> dict[str, Any]:
    """Return the settings of a run of this package as optional ones: a recorded run states what it knows."""
    fields: dict[str, Any] = {}
    for name, field in Run.model_fields.items():
        if name not in _Settings.model_fields:
            annotation: Any = str if name in _OWN_NAMES else field.annotation
            optional = annotation | None
            fields[name] = (Annotated[optional, *field.metadata] if field.metadata else optional, None)
    return fields


class RecordedRun(_Settings):
    """A run of another training loop. Settings that nobody stated are None.

    Parameters
    ----------
    trained_by
        Who or what trained it.
    dataset, model, n, seed
        As for :class:`dilution.Run`; `model` is any text.
    **settings
        Other settings of :class:`dilution.Run`. `loss`, `optimizer` and `schedule` are any text; noise is
        that of this package by name, or ``"module:factory"``.
    """


if not TYPE_CHECKING:  # the other settings are those of Run, whatever they are
    RecordedRun = create_model(
        "RecordedRun", __base__=RecordedRun, __doc__=RecordedRun.__doc__, **_optional_settings()
    )


def _canonical_loss(text: str) -> str:
    """Return the text of a loss as runs of this package have it; that of another loss as it is."""
    try:
        return resolve_loss(text).text
    except DilutionError:
        return text


def stored_run(settings: Mapping[str, Any]) -> Run | RecordedRun:
    """Return the run of settings as a store keeps them.

    Raises
    ------
    InputError
        If a setting is unknown or breaks its rule.
    """
    return RecordedRun.of(**settings) if TRAINED_BY in settings else Run.of(**settings)
