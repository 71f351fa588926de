"""The schema of diagnosis.json: every diagnosis fits it, and the published copy is that of the code."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError
from reviewed_tables import diagnose_table, noisy_frame, noisy_rows

from dilution.diagnosis import diagnosis_schema
from dilution.diagnosis.json_schema import check_diagnosis
from dilution.report.json_file import write_json

PUBLISHED = Path(__file__).parent.parent / "docs" / "diagnosis.schema.json"
KEYS_OF_VERSION_1 = {
    "schema_version", "kind", "name", "answer", "details", "caveats", "notes", "n_labels", "classes", "model",
    "learned", "is_upper_bound", "level", "noise_rate", "alpha", "noise_pattern", "class_similarity",
    "class_conditional_p_value", "n_verified", "n_verified_groups", "verified_noise_rate", "true_noise_rate",
    "n_groups", "copies", "per_class",
}  # fmt: skip


@pytest.fixture(scope="module")
def diagnosis():
    pred_probs, labels, _ = noisy_rows()
    return diagnose_table(noisy_frame(labels), pred_probs, verified={"3": "ant"})


def test_every_diagnosis_fits_the_schema_and_has_all_its_keys(diagnosis, tmp_path):
    variants = {
        "an estimate": diagnosis,
        "an upper bound": replace(diagnosis, labels=diagnosis.labels[:90]),
        "nothing learned": replace(diagnosis, learned=False),
    }
    for name, variant in variants.items():
        cleaning = variant.clean("relabel").to_dict() if name == "an estimate" else None
        path = write_json(tmp_path / f"{name}.json", {**variant.to_dict(), "cleaning": cleaning})
        content = json.loads(path.read_text("utf-8"))
        check_diagnosis(content)
        assert set(content) == set(diagnosis_schema()["properties"])
        for row in content["per_class"]:
            assert set(row) == set(diagnosis_schema()["$defs"]["ClassRow"]["properties"])


def test_keys_of_version_1_stay(diagnosis):
    schema = diagnosis_schema()
    assert set(schema["required"]) == KEYS_OF_VERSION_1
    assert set(diagnosis.to_dict()) > KEYS_OF_VERSION_1


def test_a_file_without_later_keys_fits_and_one_without_earlier_ones_does_not(diagnosis):
    content = diagnosis.to_dict()
    check_diagnosis({key: value for key, value in content.items() if key in KEYS_OF_VERSION_1})
    check_diagnosis({**content, "a later key": 1})
    for key in KEYS_OF_VERSION_1:
        with pytest.raises(ValidationError, match=key):
            check_diagnosis({name: value for name, value in content.items() if name != key})
    for change in ({"schema_version": 2}, {"noise_rate": 0.3}, {"classes": "ab"}, {"kind": "plan"}):
        with pytest.raises(ValidationError):
            check_diagnosis({**content, **change})


def test_the_published_schema_is_that_of_the_code():
    assert json.loads(PUBLISHED.read_text("utf-8")) == diagnosis_schema()
