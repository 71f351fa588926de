"""The description of a run: one training with all its settings, and its content hash as identity."""

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from dilution.data.label_file_source import without_label_file
from dilution.errors import DilutionError, invalid
from dilution.noise import PerExampleNoise, canonical_noise, check_noise_level, noise_named, takes_level
from dilution.noise.single_label import LabelMode, check_no_draw, check_no_level, resolve_label_mode
from dilution.training.config import DEFAULT_EPOCHS, TrainConfig, default_n_val
from dilution.training.estimators import ESTIMATORS, check_estimator_settings, check_model_name

PROTOCOL = 2
"""Version of the way in which runs train. It is a part of every key, so that no result of an older way is
taken for a result of today's.

Raise it with every change that makes equal settings train to other results: another order of the random
draws, another name of a random stream, another formula of an optimizer, a loss or a split. All keys change
then; finished runs stay in their stores under the old keys, and studies train their runs again.

Do not raise it for results that differ by rounding (a faster kernel, another number of threads), for a new
setting whose default trains as before (:data:`ADDED_SETTINGS`), for a new model, noise or optimizer, or
for a new name of a setting (``utils/migration.py`` converts the store). A store records the version of the
code beside every run, and tells the user where finished runs are those of another version."""

ADDED_SETTINGS = {
    **{"precision": "float32", "hflip": False, "translate": 0, "label_mode": "added"},
    **{"compare_gradients": False, "loss": "cross_entropy", "mixup": 0.0},
    **{"labels": "", "strategy": "plain", "early_stopping": "none", "test_part": None},
}
"""Settings that were added without raising :data:`PROTOCOL`, with the value that trains as before. That
value is left out of `spec`, so that results in stores keep their keys."""


class Run(TrainConfig):
    """One training. Two runs with equal settings are the same run and have the same `key`.

    Its other parameters are those of :class:`dilution.TrainConfig`.

    Parameters
    ----------
    dataset
        Name of a data set, or custom data as :func:`dilution.data.load` takes them.
    fingerprint
        SHA-256 of the files of custom data, of a custom model, loss, strategy, optimizer, schedule or rule of
        early stopping, and of a transition matrix of the loss, because other content is another run. Empty
        for what is built in.
    n
        Number of clean examples, validation examples included.
    n_val
        Number of clean examples held out for validation. Default: see
        :func:`dilution.training.config.default_n_val`.
    alpha, eta
        Noise level, or noise rate instead; neither with observed labels.
    noise, delta, noise_order, matrix
        Noise model. ``"uniform"``, ``"structured"`` with `delta` and `noise_order`, and ``"matrix"`` with
        `matrix` take a noise level. Others take none, and their parameters in brackets:
        ``"symmetric(rate=0.4)"``, ``"asymmetric(rate=0.4, flips='cifar10')"``; see
        :func:`dilution.list_noises`. ``"module:factory(parameter=value)"`` is one of your own.
        ``"observed"``: the labels that the data set has beside the true ones.
    labels
        File of observed labels of the training split, one per image in their order, as
        :func:`dilution.data.read_label_file` reads it; then `noise` is ``"observed"``.
    label_mode
        ``"added"``: noisy labels are added to the clean one; ``"replaced"``: each image has one
        label. Default: ``"added"``, and ``"replaced"`` with noise that takes no noise level.
    image_source
        Images of the noisy labels: ``"same"``, ``"fresh"``, ``"white_noise"``, or a data set as in
        `dataset`.
    stratified
        Whether label counts are exact to one.
    model
        Name of a model or estimator, or ``"module:factory"`` of a custom one.
    compare_gradients
        Whether the gradient over all training labels is compared with that over the clean ones after the
        last step: measures ``gradient_ratio`` and ``gradient_cosine``. Both are those of cross entropy,
        whatever the loss.
    seed
        Root seed; subset, noise, weights, batch order and augmentation have separate streams of it.
    """

    dataset: str
    fingerprint: str = ""
    n: Annotated[int, Field(ge=2)]
    n_val: Annotated[int, Field(ge=1)]
    alpha: float | None = None
    eta: float | None = None
    noise: str = "uniform"
    labels: str = ""
    delta: Annotated[float | None, Field(ge=0, le=1)] = None
    noise_order: Literal["confusing", "reverse", "random"] | None = None
    matrix: tuple[tuple[float, ...], ...] | None = None
    label_mode: LabelMode = "added"
    image_source: str = "same"
    stratified: bool = False
    model: str
    compare_gradients: bool = False
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Resolve defaults that depend on other settings, so that the hash covers what is used."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("n_val") is None:
            values["n_val"] = _default_n_val(values.get("n"))
        if values.get("noise") == "structured" and values.get("noise_order") is None:
            values["noise_order"] = "random"
        if values.get("labels"):
            values.setdefault("noise", "observed")
        noise = values.get("noise")
        if isinstance(noise, str) and not _needs_level(noise, values):
            values.setdefault("label_mode", "replaced")
        if values.get("epochs") is None and values.get("steps") is None:
            values["epochs"] = DEFAULT_EPOCHS
        return values

    @field_validator("alpha", "eta", "delta")
    @classmethod
    def _one_zero(cls, value: float | None) -> float | None:
        """Turn −0.0 into 0.0: equal settings must have equal keys."""
        return None if value is None else value + 0.0

    @field_validator("noise")
    @classmethod
    def _canonical_noise(cls, noise: str) -> str:
        """Return the canonical text: equal noise models must be equal settings."""
        return canonical_noise(noise)

    @field_validator("model")
    @classmethod
    def _known_model(cls, name: str) -> str:
        return check_model_name(name)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_noise()
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
                "noise='matrix' needs a matrix, one row per true class"
                if self.matrix is None
                else f"noise is {self.noise!r} and a matrix is given; a matrix goes with noise='matrix'"
            )
        if self.targets != "sampled" and self.image_source != "same":
            raise ValueError(
                f"targets is {self.targets!r} and image_source is {self.image_source!r}; such targets pool "
                "the labels of an image, which needs image_source='same'. Give targets='sampled'"
            )
        if self.compare_gradients and (self.image_source != "same" or self.model in ESTIMATORS):
            raise ValueError(
                f"compare_gradients is set, image_source is {self.image_source!r} and model is "
                f"{self.model!r}; gradients are those of a network, over noisy and clean labels of the same "
                "images. Give image_source='same' and a model that takes steps"
            )
        if self.model in ESTIMATORS:
            check_estimator_settings(self, self.model)
        if self.n_val >= self.n:
            raise ValueError(
                f"n_val is {self.n_val} and n is {self.n}; the n_val validation examples are some of the n "
                "clean ones, so n_val must be smaller"
            )
        return self

    def _check_noise(self) -> None:
        """Refuse settings that do not go with the noise model."""
        if self.labels and self.noise != "observed":
            raise ValueError(
                f"labels is {self.labels!r} and noise is {self.noise!r}; the labels in a file are observed "
                "ones. Leave noise out"
            )
        if self.labels and without_label_file(self.dataset) != self.dataset:
            raise ValueError(
                f"labels is {self.labels!r} and dataset is {self.dataset!r}, which has a file of labels. "
                "Name one of them"
            )
        level, per_example = takes_level(self.noise), None
        if level is False:
            noise = noise_named(self.noise)
            if isinstance(noise, PerExampleNoise):
                per_example = noise.name
                check_no_draw(noise.name, self.alpha, self.eta, self.stratified)
            check_no_level(noise.name, self.alpha, self.eta)
        elif level or self.alpha is not None or self.eta is not None:
            check_noise_level(self.alpha, self.eta)
        resolve_label_mode(self.label_mode, self.image_source, per_example=per_example)

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
    def config(self) -> TrainConfig:
        """The settings of the training, without data, noise, model and seed."""
        return TrainConfig.model_validate(self.model_dump(include=set(TrainConfig.model_fields)))

    # These two have no cache: model_copy would copy it to a run of other settings.
    @property
    def spec(self) -> str:
        """Canonical JSON of every setting."""
        settings = self.model_dump(mode="json")
        settings = {
            name: value
            for name, value in settings.items()
            if name not in ADDED_SETTINGS or ADDED_SETTINGS[name] != value
        }
        return json.dumps(settings, sort_keys=True, separators=(",", ":"))

    @property
    def key(self) -> str:
        """Identity of the run: the first 16 hex digits of the SHA-256 of `PROTOCOL` and `spec`."""
        return _key(PROTOCOL, self.spec)

    def has_key(self, key: str) -> bool:
        """Return whether a key is that of this run, in today's `PROTOCOL` or an earlier one."""
        return is_key(key, self.spec)


def is_key(key: str, spec: str) -> bool:
    """Return whether a key is that of a run by its `spec`, in today's `PROTOCOL` or an earlier one."""
    return any(_key(protocol, spec) == key for protocol in range(PROTOCOL, 0, -1))


def _key(protocol: int, spec: str) -> str:
    return hashlib.sha256(f"{protocol}/{spec}".encode()).hexdigest()[:16]


def _needs_level(noise: str, values: dict[str, Any]) -> bool:
    """Return whether a noise model takes alpha or eta: one of the user does if one of them is given."""
    try:
        level = takes_level(noise)
    except DilutionError:
        return True  # the validation of the noise reports the error
    has_level = values.get("alpha") is not None or values.get("eta") is not None
    return has_level if level is None else level


def _default_n_val(n: Any) -> int:
    try:
        return default_n_val(int(n))
    except (TypeError, ValueError, OverflowError):
        return 1  # the validation of n itself reports the error
