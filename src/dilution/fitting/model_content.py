"""The description of a fitted model in its file, ``model.json``: which entries there are, and their types."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dilution.data.formats.image_encoding import ImageEncoding
from dilution.data.formats.table_encoding import TableEncoding
from dilution.fitting.label_types import LabelType

Side = Annotated[int, Field(ge=1, le=1 << 24)]


class Entry(BaseModel):
    """A part of the description; an unknown key in it is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NetworkEntry(Entry):
    """A network: its tensors, those stored as (b, h, w, c), and whether features are compressed."""

    kind: Literal["network"]
    tensors: list[str]
    channels_last: list[str]
    compress: bool = False


class TreesEntry(Entry):
    """Boosted trees."""

    kind: Literal["boosted trees"]


class ForestEntry(Entry):
    """A random forest."""

    kind: Literal["forest"]


class LinearHeadEntry(Entry):
    """Logistic regression on features of images."""

    kind: Literal["linear head"]


class LinearEntry(Entry):
    """Logistic regression on the features of a table."""

    kind: Literal["linear"]


class FeaturesEntry(Entry):
    """Features of images that the members take: the function by name, and the checksum of its weights."""

    name: str
    n_features: Side
    sha256: str | None


MemberEntry = NetworkEntry | TreesEntry | ForestEntry | LinearHeadEntry | LinearEntry


class Content(Entry):
    """The description of a model, ``model.json``."""

    schema_version: Literal[1]
    versions: dict[str, str]
    model: str
    shape: tuple[Side, Side, Side]
    dtype: Literal["uint8", "float32"]
    classes: tuple[str, ...] = Field(min_length=2)
    method: str
    encoding: Annotated[TableEncoding | ImageEncoding, Field(discriminator="kind")] | None
    facts: dict[str, Any]
    members: tuple[Annotated[MemberEntry, Field(discriminator="kind")], ...] = Field(min_length=1)
    shares: tuple[Annotated[float, Field(gt=0, le=1)], ...]
    features: FeaturesEntry | None = None
    label_type: LabelType = "text"
