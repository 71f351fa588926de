"""What is wrong for any data is refused before data are opened: these data cannot be."""

import sqlite3
from contextlib import closing

import pytest
from typer.testing import CliRunner

import dilution
from dilution.cli import app
from dilution.errors import DilutionError

BAD = {
    "model": (["--model", "xx"], "'xx' is not a model"),
    "model of the user": (["--model", "no_such_module:net"], "there is no module no_such_module"),
    "recipe": (["--recipe", "none.toml"], "the recipe 'none.toml' cannot be read"),
    "device": (["--device", "tpu"], "'tpu' is not a device"),
    "out": (["--out", "file"], "file"),
}
ONLY = {
    "diagnose": {
        "features": (["--features", "resnet"], "features is 'resnet'"),
        "features file": (["--features", "none.npy"], "none.npy does not exist"),
        "probabilities": (["--pred-probs", "none.npy"], "none.npy does not exist"),
        "kind of probabilities": (["--pred-probs", "p.txt"], "p.txt ends in '.txt'"),
        "verified": (["--verified", "none.csv"], "none.csv cannot be read: it does not exist"),
        "clean": (["--clean", "wash"], "'wash' is not a"),
        "limit": (["--fail-above", "much"], "--fail-above is 'much'"),
        "strategy": (["--recipe", "strategy.toml"], "Leave strategy out of the recipe"),
        "precision": (["--precision", "int4"], "'int4' is not a precision"),
    },
    "fit": {
        "method": (["--method", "best"], "'best' is not a method"),
        "strategy": (["--recipe", "strategy.toml"], "Leave strategy out of the recipe"),
        "verified": (["--verified", "none.csv"], "none.csv cannot be read: it does not exist"),
    },
    "plan": {
        "noise": (["--alpha", "-1"], "alpha is -1"),
        "better labels": (["--alpha", "1", "--better-alpha", "inf"], "better_alpha is inf"),
        "mode": (["--alpha", "1", "--label-mode", "both"], "'both' is not a value of label_mode"),
        "store": (["--alpha", "1", "--store", "file/s.sqlite"], "no store can be created"),
        "foreign store": (["--alpha", "1", "--store", "foreign.sqlite"], "of another program"),
    },
    "advise": {
        "noise": (["--eta", "1.5"], "eta is 1.5"),
        "estimator": (["--model", "sklearn:knn"], "takes no optimizer steps"),
        "mode": (["--label-mode", "both"], "'both' is not a value of label_mode"),
        "store": (["--store", "file/s.sqlite"], "no store can be created"),
    },
    "reproduce": {
        "preset": (["--preset", "huge"], "'huge' is not a preset"),
        "store": (["--store", "file/s.sqlite"], "no store can be created"),
    },
    "run": {
        "store": (["--store", "file/s.sqlite"], "no store can be created"),
        "foreign store": (["--store", "foreign.sqlite"], "of another program"),
    },
}
LACKS = {"advise": {"recipe"}, "reproduce": {"model", "model of the user"}}
LACKS["run"] = LACKS["reproduce"] | {"out"}
CASES = {
    f"{command}: {name}": (command, *case)
    for command, own in ONLY.items()
    for name, case in ({k: v for k, v in BAD.items() if k not in LACKS.get(command, ())} | own).items()
}
WORDS = {
    "plan": ["data.csv", "--target", "0.9"],
    "reproduce": ["fig1", "--dataset", "data.csv"],
    "run": ["study.toml"],
}
STUDY = 'name = "s"\n[base]\ndataset = "data.csv"\nmodel = "mlp1"\nn = 100\nalpha = 1.0\n'


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("precious")
    (tmp_path / "data.csv").write_text("a,b\n1,2\n")  # it has no labels
    (tmp_path / "study.toml").write_text(STUDY)
    (tmp_path / "strategy.toml").write_text('[recipe]\nstrategy = "co_teaching"\n')
    with closing(sqlite3.connect(tmp_path / "foreign.sqlite")) as connection:
        connection.execute("CREATE TABLE notes (text)")
    return tmp_path


@pytest.mark.parametrize(("command", "options", "message"), CASES.values(), ids=CASES)
def test_a_wrong_setting_is_reported_before_any_data_are_opened(folder, command, options, message):
    before = {path for path in folder.iterdir() if path.is_file()}
    words = [command, *WORDS.get(command, ["data.csv"]), *options]
    if command == "plan" and not {"--alpha", "--eta"} & set(options):
        words += ["--alpha", "1"]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert message in result.output
    assert "data.csv" not in result.output
    assert {path for path in folder.rglob("*") if path.is_file()} == before  # no store, no page
    assert (folder / "file").read_text() == "precious"


@pytest.mark.parametrize("command", ONLY)
def test_without_such_a_setting_the_data_are_what_is_wrong(command):
    options = ["--alpha", "1"] if command == "plan" else []
    result = CliRunner().invoke(app, [command, *WORDS.get(command, ["data.csv"]), *options])
    assert result.exit_code == 2
    assert "data.csv" in result.output


@pytest.mark.parametrize("function", [dilution.diagnose, dilution.fit, dilution.advise])
def test_an_object_that_is_no_model_is_refused_before_data_are_read(function):
    class Unreadable:
        def __getattr__(self, name):
            raise AssertionError(name)

    with pytest.raises(DilutionError, match="model is"):
        function(Unreadable(), model=3)
