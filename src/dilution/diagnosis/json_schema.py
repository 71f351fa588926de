"""The schema of ``diagnosis.json``, and the check of a file of that name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from dilution.errors import DataError
from dilution.utils.estimate import Estimate
from dilution.utils.printable import one_line
from dilution.utils.regular_file import check_regular
from dilution.utils.strict_json import parse_json

_MAX_PLACE = 200  # characters of a place in a message
_LARGEST = 100_000_000  # bytes of a file that is read: a diagnosis of 1,000 classes has 0.3 MB

Share = float | None


class _Part(BaseModel):
    """A part of the file. New names may come without a new version, so others are allowed."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)


class Interval(_Part):
    """A number with its interval; null where it was not estimated, or is infinite."""

    value: float | None
    low: float | None
    high: float | None

    def to_estimate(self) -> Estimate:
        """Return the number, NaN where it is null."""
        return Estimate(
            *(float("nan") if bound is None else bound for bound in (self.value, self.low, self.high))
        )


class ClassRow(_Part):
    """The noise of one class."""

    name: str = Field(alias="class")
    n_labels: int = Field(description="examples with this label")
    share: Share = Field(description="share of the examples that truly are of this class")
    noise_rate: Share = Field(description="share of wrong labels among the examples of this class")
    low: Share
    high: Share
    label_noise_rate: Share = Field(description="share of wrong labels among the examples with this label")
    label_low: Share
    label_high: Share


class Pattern(_Part):
    """How wrong labels are spread over the wrong classes."""

    kind: str
    delta: Interval


class Similarity(_Part):
    """Whether wrong labels favour similar classes."""

    kind: str
    correlation: Interval


class Copies(_Part):
    """What the labels of copies say about the noise."""

    disagreement: Interval
    noise_rate: Interval


class Cleaning(_Part):
    """What cleaning changed."""

    policy: Literal["drop", "relabel", "weight"]
    confidence: float
    n_kept: int
    n_verified: int
    n_dropped: int
    n_relabelled: int
    n_weighted: int
    sentences: list[str]


class DiagnosisFile(_Part):
    """The content of ``diagnosis.json``."""

    schema_version: Literal[1] = Field(description="rises if a name goes or changes its meaning")
    kind: Literal["diagnosis"]
    name: str = Field(description="name of the data")
    answer: str
    details: list[str]
    caveats: list[str]
    notes: list[str] = Field(description="what was left out, merged, converted or guessed")
    n_labels: int
    classes: list[str]
    model: str
    learned: bool = Field(description="whether the models predict labels better than the label frequencies")
    is_upper_bound: bool
    level: float = Field(gt=0, lt=1, description="probability that an interval contains the true number")
    noise_rate: Interval = Field(description="share of wrong labels")
    alpha: Interval = Field(
        description="noisy labels per clean label at which uniform noise has this noise rate"
    )
    noise_pattern: Pattern | None
    class_similarity: Similarity | None
    class_conditional_p_value: float | None
    n_verified: int
    n_verified_groups: int
    verified_noise_rate: Interval = Field(description="share of wrong labels among the verified ones")
    true_noise_rate: Share = Field(description="share of wrong labels, counted where true labels are known")
    n_groups: int
    copies: Copies
    per_class: list[ClassRow]
    excess: Interval | None = Field(
        None,
        description="by how much the noise fit overestimated planted noise, with one standard deviation on "
        "both sides; the noise rate is without it; null where it was not measured",
    )
    overlap: float | None = Field(
        None,
        description="by how much the noise rate may be overestimated because classes of a table overlap in "
        "its features; 0 for images",
    )
    min_per_class: int | None = Field(
        None, description="examples or groups per class below which the noise rate is an upper bound"
    )
    n_issues: int | None = Field(None, description="label issues that nobody has looked up")
    cleaning: Cleaning | None = Field(None, description="what cleaning changed; null without it")


def diagnosis_schema() -> dict[str, Any]:
    """Return the JSON schema of ``diagnosis.json``, draft 2020-12."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **DiagnosisFile.model_json_schema()}


def read_diagnosis_file(path: Path) -> DiagnosisFile:
    """Return the content of a ``diagnosis.json``.

    Parameters
    ----------
    path
        The file, or the folder of the diagnosis.

    Raises
    ------
    DataError
        If it cannot be read, or is no such file of this version.
    """
    path = path / "diagnosis.json" if path.is_dir() else path
    check_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(_LARGEST + 1)
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror}). Name a diagnosis.json, or the folder that diagnose "
            "wrote."
        ) from error
    try:
        if len(content) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST // 1_000_000} MB")
        return check_diagnosis(parse_json(content))
    except ValueError as error:
        raise DataError(
            f"{path} is no diagnosis.json of this version: {_reason(error)}. Diagnose the data again."
        ) from error


def check_diagnosis(content: Any) -> DiagnosisFile:
    """Return what :meth:`Diagnosis.to_dict` returned, checked against the schema.

    Raises
    ------
    ValueError
        If it breaks the schema.
    """
    file = DiagnosisFile.model_validate(content)
    names = [row.name for row in file.per_class]
    if len(set(names)) < len(names) or not set(names) <= set(file.classes):
        raise ValueError("per_class: its rows must be of different classes of the diagnosis")
    return file


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = one_line(".".join(map(str, first["loc"])), _MAX_PLACE) or "the content"
        return f"{place}: {first['msg']}"
    return str(error)
