"""What a run is: one training, described completely, frozen, with its content hash as identity."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from dilution.errors import invalid
from dilution.noise.single_label import LabelMode, check_observed, resolve_label_mode
from dilution.training.config import TrainConfig, default_validation
from dilution.training.estimators import check_name

PROTOCOL = 2
"""Raised when equal settings would train otherwise, rounding aside: no old result is taken for a new."""

LATER = {"precision": "float32", "hflip": False, "translate": 0, "label_mode": "added"}
"""Settings that runs of older versions did not have, and what these did: left out of `spec`, so that
results in stores keep their keys."""

IMAGE_SOURCES = ("same", "fresh", "white_noise")
"""Image sources that are no data set."""

NoiseName = Literal["uniform", "structured", "matrix", "observed"]


class Run(TrainConfig):
    """One training. Two runs with equal settings are the same run and have the same `key`.

    Parameters
    ----------
    dataset
        Name of a data set, or data of the user's own as :func:`dilution.data.load` takes them.
    fingerprint
        SHA-256 of the user's own data file and of the file that holds their own network; empty for those that
        have names: other content is another run.
    n
        Clean examples, those set aside for validation included.
    n_val
        Clean examples set aside from the n.
    alpha, eta
        Noise level, or noise rate instead; neither with observed labels.
    noise, delta, noise_order, matrix
        Noise model; `delta` and `noise_order` are for ``"structured"``, `matrix` for ``"matrix"``.
        ``"observed"``: the labels that the data set holds beside the true ones.
    label_mode
        Noisy labels ``"added"`` to the clean ones, or ``"replaced"``: one label an image. Default: added,
        and replaced with observed labels.
    image_source
        Image source: ``"same"``, ``"fresh"``, ``"white_noise"``, or a data set as in `dataset`.
    stratified
        Label counts exact to one.
    network
        Name of a network or learner, or ``"module:factory"`` of one's own.
    seed
        Root seed; subset, noise, weights, order and augmentation are separate streams of it.
    """

    dataset: str
    fingerprint: str = ""
    n: Annotated[int, Field(ge=2)]
    n_val: Annotated[int, Field(ge=1)]
    alpha: Annotated[float | None, Field(ge=0, allow_inf_nan=False)] = None
    eta: Annotated[float | None, Field(ge=0, lt=1)] = None
    noise: NoiseName = "uniform"
    delta: Annotated[float | None, Field(ge=0, le=1)] = None
    noise_order: Literal["confusing", "reverse", "random"] | None = None
    matrix: tuple[tuple[float, ...], ...] | None = None
    label_mode: LabelMode = "added"
    image_source: str = "same"
    stratified: bool = False
    model: str
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Resolve defaults that depend on other settings, so that the hash covers what is used."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("n_val") is None:
            values["n_val"] = _validation_for(values.get("n"))
        if values.get("noise") == "structured" and values.get("noise_order") is None:
            values["noise_order"] = "random"
        if values.get("noise") == "observed":
            values.setdefault("label_mode", "replaced")
        if values.get("epochs") is None and values.get("steps") is None:
            values["epochs"] = 10.0
        return values

    @field_validator("alpha", "eta", "delta")
    @classmethod
    def _one_zero(cls, value: float | None) -> float | None:
        """Turn −0.0 into 0.0: equal settings must have equal keys."""
        return None if value is None else value + 0.0

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        return check_name(name)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.noise == "observed":
            check_observed(self.alpha, self.eta, self.stratified)
        resolve_label_mode(self.label_mode, self.image_source, observed=self.noise == "observed")
        if self.noise != "observed" and (self.alpha is None) == (self.eta is None):
            given = "neither" if self.alpha is None else "both"
            raise ValueError(
                f"{given} of alpha and eta given; give one: alpha (noisy labels added for each clean "
                "one) or eta (share of wrong labels)"
            )
        if (self.noise == "structured") != (self.delta is not None):
            raise ValueError(
                "noise='structured' needs a delta, from 0 (uniform) to 1 (most skewed)"
                if self.delta is None
                else f"noise is {self.noise!r} and delta is {self.delta}; delta goes with noise='structured'"
            )
        if self.noise_order is not None and self.noise != "structured":
            raise ValueError(
                f"noise is {self.noise!r} and noise_order is {self.noise_order!r}; noise_order goes "
                "with noise='structured' only"
            )
        if (self.noise == "matrix") != (self.matrix is not None):
            raise ValueError(
                "noise='matrix' needs a matrix, one row for each true class"
                if self.matrix is None
                else f"noise is {self.noise!r} and a matrix is given; a matrix goes with noise='matrix'"
            )
        if self.targets != "sampled" and self.image_source != "same":
            raise ValueError(
                f"targets is {self.targets!r} and image_source is {self.image_source!r}; this order pools the labels of a "
                "image, which needs image_source='same'. Give targets='sampled'"
            )
        if self.n_val >= self.n:
            raise ValueError(
                f"n_val is {self.n_val} and n is {self.n}; n_val is set aside from the n "
                "clean examples and must be smaller"
            )
        return self

    @classmethod
    def of(cls, **settings: Any) -> "Run":
        """Return the run of these settings.

        Raises
        ------
        InputError
            If a setting is unknown or breaks its rule.
        """
        try:
            return cls.model_validate(settings)
        except ValidationError as error:
            raise invalid(error, cls.model_fields) from None

    @property
    def settings(self) -> TrainConfig:
        """The part that says how to train."""
        return TrainConfig.model_validate(self.model_dump(include=set(TrainConfig.model_fields)))

    # No cache for these two: model_copy would carry it over to a run of other settings.
    @property
    def spec(self) -> str:
        """Canonical JSON of every setting."""
        settings = self.model_dump(mode="json")
        settings = {n: v for n, v in settings.items() if n not in LATER or LATER[n] != v}
        return json.dumps(settings, sort_keys=True, separators=(",", ":"))

    @property
    def key(self) -> str:
        """Identity: the first 16 hex digits of the SHA-256 of `PROTOCOL` and `spec`."""
        return hashlib.sha256(f"{PROTOCOL}/{self.spec}".encode()).hexdigest()[:16]


def _validation_for(n: Any) -> int:
    try:
        return default_validation(int(n))
    except (TypeError, ValueError, OverflowError):
        return 1  # such an n is refused itself, and that is what the error must speak of
