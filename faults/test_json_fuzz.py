"""Hostile JSON: diagnoses to compare and to review, exports of Label Studio, answers of a page."""

import copy
import json
import random
import sys
import warnings
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reviewed_tables import CLASSES, diagnose_table, noisy_frame, noisy_rows
from reviews import label_issues, review_of_images, write_diagnosis, write_table

from dilution.cli import app
from dilution.diagnosis.label_studio import read_label_studio
from dilution.errors import DilutionError
from dilution.review.answers import FILE_NAME, AnswerFile
from dilution.review.server import ReviewServer

CASES = 300
FORGED = "\nerror: forged\x1b]0;title\x07\u202e"
TEXTS = ["", "x" * 10_000, FORGED, "=1+1", "os:getcwd", "stranger:data", "<script>", "\ud800", "#", "data"]
NUMBERS = [0, -1, 1, 7, 2**70, 0.5, 1e308, -1e308, True, "NUMBER:NaN", "NUMBER:1e999", "NUMBER:-Infinity"]
NUMBERS += ["NUMBER:" + "9" * 400, "NUMBER:" + "9" * 5_000]
VALUES = [*TEXTS, *NUMBERS, None, [], {}, [[]], [None] * 1_000, {"value": 1}, "DEEP"]


def places(value, path=()):
    """Yield the path of every value within a value of JSON."""
    yield path
    for key, inner in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield from places(inner, (*path, key))


def mutated(value, draw):
    """Return JSON text of a value with one to three parts replaced, removed, doubled or renamed."""
    value = copy.deepcopy(value)
    for _ in range(draw.randint(1, 3)):
        path = draw.choice(list(places(value)))
        if not path:
            continue
        *parents, last = path
        inner = value
        for key in parents:
            inner = inner[key]
        kind = draw.choice(["replace"] * 6 + ["remove", "double", "rename"])
        if kind == "replace":
            inner[last] = copy.deepcopy(draw.choice(VALUES))
        elif kind == "remove":
            del inner[last]
        elif isinstance(inner, list):
            inner.append(copy.deepcopy(inner[last]))
        elif kind == "rename":
            inner[draw.choice(TEXTS)] = inner.pop(last)
    text = json.dumps(value)
    for number in NUMBERS:
        if isinstance(number, str):
            text = text.replace(json.dumps(number), number.removeprefix("NUMBER:"))
    text = text.replace('"DEEP"', "[" * 100_000 + "]" * 100_000)
    if draw.random() < 0.1:
        text = draw.choice(
            [text[: len(text) // 2], "", "[" * 100_000, "{" + text, "\ufeff" + text, "null", "5"]
        )
    return text.encode("utf-8", "surrogatepass")


def check(result, case):
    """Check that a command ended as commands end: well, or with one message."""
    assert result.exit_code in (0, 2), (case, result.output, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), (case, result.exc_info)
    assert len(result.output) < 20_000, case
    assert not any(line.startswith("error: forged") for line in result.output.splitlines()), (
        case,
        result.output,
    )


@pytest.fixture(scope="module")
def diagnosis():
    pred_probs, labels, _ = noisy_rows(600, 0.2, 1)
    return json.loads(json.dumps(diagnose_table(noisy_frame(labels), pred_probs, name="may.csv").to_dict()))


def test_comparing_a_hostile_diagnosis_ends_well(diagnosis, tmp_path):
    (tmp_path / "sound.json").write_text(json.dumps(diagnosis))
    read = 0
    for case in range(CASES):
        (tmp_path / "x.json").write_bytes(mutated(diagnosis, random.Random(case)))
        files = [str(tmp_path / "sound.json"), str(tmp_path / "x.json")]
        out = ["--out", str(tmp_path / "out"), "--overwrite"]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = CliRunner().invoke(app, ["compare", *(files if case % 2 else files[::-1]), *out])
        check(result, case)
        read += result.exit_code == 0
    assert 20 < read < CASES - 100  # both happen


def test_reviewing_a_hostile_diagnosis_ends_well_and_runs_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stranger.py").write_text("open('was_run', 'w').close()\n")
    examples = write_table(Path("t.csv"))
    write_diagnosis(Path("diagnosis"), "t.csv#species", label_issues(examples))
    path = Path("diagnosis/diagnosis.json")
    content = json.loads(path.read_text())
    for case in range(100):
        path.write_bytes(mutated(content, random.Random(case)))
        words = ["review", "--write", "page.html", "--overwrite", "--no-browser"]
        check(CliRunner().invoke(app, words), case)
    for name in ("stranger:data", "stranger:data#x", "os:getcwd"):
        path.write_text(json.dumps(content | {"name": name}))
        result = CliRunner().invoke(app, ["review", "--write", "page.html", "--overwrite"])
        assert result.exit_code == 2, result.output
    assert not Path("was_run").exists()


TASKS = [
    {
        "data": {"example_id": f"row {number}", "example": {"a": "1"}},
        "annotations": [
            {"was_cancelled": False, "result": [{"type": "choices", "value": {"choices": [CLASSES[0]]}}]}
        ],
    }
    for number in range(3)
]


def test_a_hostile_export_of_label_studio_is_read_or_refused(tmp_path):
    path = tmp_path / "tasks.json"
    read = 0
    for case in range(CASES):
        path.write_bytes(mutated(TASKS, random.Random(case)))
        labels, said = {}, ()
        try:
            labels, said = read_label_studio(path)
            read += 1
        except DilutionError as refusal:
            said = (str(refusal),)
        assert all(isinstance(text, str) for pair in labels.items() for text in pair)
        assert all(text.isprintable() and len(text) < 1_000 for text in said), case
    assert 20 < read < CASES - 20


def test_hostile_answers_change_no_file(tmp_path):
    items, examples = review_of_images()
    with ReviewServer(items, AnswerFile(tmp_path / FILE_NAME, items, examples)) as server:
        for case in range(CASES):
            body = mutated({"answers": [[0, 1], [1, None], [2, -1]]}, random.Random(case))
            before = (tmp_path / FILE_NAME).read_bytes() if (tmp_path / FILE_NAME).exists() else None
            refusal = None
            try:
                server.record(body)
            except DilutionError as error:
                refusal = str(error)
            after = (tmp_path / FILE_NAME).read_bytes() if (tmp_path / FILE_NAME).exists() else None
            assert refusal is None or (len(refusal) < 1_000 and after == before), case
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME, ".dilution-files.json"}
