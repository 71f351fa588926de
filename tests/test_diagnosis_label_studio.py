import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from reviews import CLASSES, EVIL, examples_of_images, label_issues, write_table

from dilution.diagnosis.label_studio import read_label_studio
from dilution.diagnosis.verified_labels import read_verified_labels
from dilution.errors import DataError, InputError
from dilution.review import write_label_studio

EXAMPLES = examples_of_images()


def choice(label: str) -> dict[str, Any]:
    result = {"from_name": "label", "to_name": "example", "type": "choices", "value": {"choices": [label]}}
    return {"id": 7, "was_cancelled": False, "result": [result], "completed_by": 1}


def exported(folder: Path, *annotations: list[dict[str, Any]]) -> Path:
    """Return a file as Label Studio exports the tasks, with annotations of the first ones."""
    write_label_studio(label_issues(EXAMPLES), EXAMPLES, folder / "tasks.json")
    tasks = json.loads((folder / "tasks.json").read_text())
    for number, task in enumerate(tasks):
        task |= {"id": 100 + number, "annotations": annotations[number] if number < len(annotations) else []}
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


def test_tasks_have_the_example_and_the_suggestion_as_prediction(tmp_path):
    path, configuration = write_label_studio(label_issues(EXAMPLES), EXAMPLES, tmp_path / "tasks.json")
    task = json.loads(path.read_text())[0]
    assert task["data"]["example_id"] == "0"
    assert task["data"]["example"].startswith("data:image/png;base64,")
    (prediction,) = task["predictions"]
    assert prediction["result"][0]["value"] == {"choices": ["dog"]}
    view = ElementTree.fromstring(configuration.read_text())
    assert [tag.attrib["value"] for tag in view.iter("Choice")] == list(CLASSES)
    (image,), (choices,) = view.iter("Image"), view.iter("Choices")
    assert (image.attrib["name"], image.attrib["value"]) == ("example", "$example")
    assert (choices.attrib["name"], choices.attrib["toName"]) == ("label", "example")


def test_rows_of_a_table_are_tables_and_hostile_names_stay_text(tmp_path):
    examples = write_table(tmp_path / "t.csv")
    path, configuration = write_label_studio(
        label_issues(examples), f"{tmp_path / 't.csv'}#species", tmp_path / "tasks.json"
    )
    assert json.loads(path.read_text())[0]["data"]["example"] == {"weight": "0.50", "comment": EVIL}
    assert list(ElementTree.fromstring(configuration.read_text()).iter("Table"))
    hostile = examples_of_images(classes=(EVIL, '"', "&"))
    _, configuration = write_label_studio(label_issues(hostile), hostile, tmp_path / "hostile.json")
    view = ElementTree.fromstring(configuration.read_text())
    assert [tag.attrib["value"] for tag in view.iter("Choice")] == [EVIL, '"', "&"]


def test_annotations_are_verified_labels(tmp_path):
    skipped = choice("owl") | {"was_cancelled": True}
    export = exported(
        tmp_path, [choice("dog")], [choice("dog"), skipped], [skipped], [choice("cat"), choice("owl")]
    )
    assert read_label_studio(export)[0] == {"0": "dog", "1": "dog"}
    classes, notes = read_verified_labels(export, EXAMPLES)
    assert classes[:4].tolist() == [1, 1, -1, -1]
    assert notes == (
        "1 example has annotations of different classes and no verified label, the first is '3'",
    )


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        ("{", DataError, "cannot be read as JSON"),
        ("[" * 100_000, DataError, "cannot be read as JSON"),
        ('{"a": 1}', InputError, "no list of tasks"),
        ("[3]", InputError, "no list of tasks"),
        ('[{"id": 1, "label": "cat"}]', InputError, "not JSON-MIN"),
        ('[{"data": {"example_id": "0"}}]', InputError, "lacks data.example_id or annotations"),
    ],
)
def test_a_file_that_is_no_export_is_named(tmp_path, content, error, message):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(error, match=message):
        read_label_studio(tmp_path / "x.json")


def test_several_choices_of_one_annotation_are_refused(tmp_path):
    both = choice("dog")
    both["result"][0]["value"]["choices"] = ["dog", "owl"]
    with pytest.raises(InputError, match="one true label"):
        read_label_studio(exported(tmp_path, [both]))


def test_annotations_of_other_kinds_are_no_labels(tmp_path):
    odd = [{"result": None}, {"result": [3, {"type": "choices", "value": 4}, {"type": "rectanglelabels"}]}, 5]
    assert read_label_studio(exported(tmp_path, odd)) == ({}, ())
