"""Messages of errors: the value received, the rule, the remedy."""

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from dilution.errors import _SYNONYMS, invalid, short_repr, unknown
from dilution.noise.registry import NOISES
from dilution.study import Run
from dilution.training.losses import LOSSES


def test_an_unknown_name_is_reported_with_the_most_similar_one():
    assert str(unknown("model", "convv2", ["mlp1", "conv2"])) == (
        "'convv2' is not a model. Did you mean 'conv2'? There are: conv2, mlp1."
    )
    assert str(unknown("model", "xyz", ["mlp1"])) == "'xyz' is not a model. There are: mlp1."


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("executor", "an executor"),
        ("argument", "an argument"),
        ("user", "a user"),
        ("key", "a key"),
    ],
)
def test_the_article_fits_the_kind(kind, expected):
    assert f"is not {expected}" in str(unknown(kind, "x", []))


def test_a_long_value_is_cut():
    assert short_repr("a" * 300) == "'" + "a" * 199 + "…"
    assert len(str(unknown("model", "a" * 10_000, ["mlp1"]))) < 300


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    steps: int
    rate: float = 0.1


def test_findings_of_pydantic_become_one_message():
    with pytest.raises(ValidationError) as caught:
        Settings(rate="fast", ste=3)
    message = str(invalid(caught.value, Settings.model_fields))
    assert message == (
        "steps is missing; it has no default. rate is 'fast'; it must be a valid number. "
        "'ste' is not a setting. Did you mean 'steps'? There are: rate, steps."
    )


@pytest.mark.parametrize(
    ("named", "names", "ours"),
    [
        ("ce", LOSSES, "cross_entropy"),
        ("CE", LOSSES, "cross_entropy"),
        ("generalized_cross_entropy", LOSSES, "gce"),
        ("sym", NOISES, "symmetric"),
        ("pairflip", NOISES, "pair_flip"),
    ],
)
def test_a_name_of_the_literature_leads_to_ours(named, names, ours):
    assert f"Did you mean {ours!r}?" in str(unknown("name", named, names))


def test_every_synonym_leads_to_a_name_that_exists():
    known = {*LOSSES, *NOISES, *Run.model_fields}
    assert set(_SYNONYMS.values()) <= known
    assert not set(_SYNONYMS) & known
