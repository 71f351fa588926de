"""diagnose, plan and advise: what reaches the functions. Their results are tested in their packages."""

import inspect
from importlib import import_module
from pathlib import Path

import pytest
from commands import dilution, refused
from photographs import write_class_folders

from dilution.study import Execution

COMMANDS = {
    "diagnose": ("dilution.diagnosis.diagnose", ["diagnose", "digits"]),
    "plan": ("dilution.planning.plan", ["plan", "digits", "--target", "0.9"]),
    "advise": ("dilution.advice.advise", ["advise", "digits"]),
}
every_command = pytest.mark.parametrize(("function", "words"), COMMANDS.values(), ids=COMMANDS)


class CalledError(Exception):
    """Raised in place of a training."""


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Run a command up to its call of a function; return the arguments of the call."""

    def call(function, *words):
        arguments = {}

        def record(data, **keywords):
            arguments.update(keywords, data=data)
            raise CalledError

        monkeypatch.setattr(function, record)
        result = dilution(*words, cwd=tmp_path)
        assert isinstance(result.exception, CalledError), result.output
        return arguments

    return call


@every_command
def test_execution_options_become_one_record(call, function, words):
    arguments = call(function, *words, "--workers", 0, "--device", "auto", "--data-root", "here")
    assert arguments["data"] == "digits"
    assert arguments["execution"] == Execution(workers=0, device="auto", data_root=Path("here"))


@every_command
def test_defaults_of_options_are_those_of_the_function(call, function, words):
    package, _, name = function.rpartition(".")
    parameters = inspect.signature(getattr(import_module(package), name)).parameters
    arguments = call(function, *words)
    for name, value in arguments.items():
        if name not in ("data", "target", "execution"):
            default = parameters[name].default
            assert (str(value) if isinstance(value, Path) else value) == default, name


@every_command
def test_an_output_folder_that_cannot_be_written_is_refused_first(tmp_path, monkeypatch, function, words):
    monkeypatch.setattr(function, None)
    (tmp_path / "file").touch()
    refused(dilution(*words, "--out", "file", cwd=tmp_path), "file cannot be written to")


@every_command
def test_ctrl_c_ends_with_130_and_says_what_is_kept(tmp_path, monkeypatch, function, words):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(function, interrupt)
    result = dilution(*words, cwd=tmp_path)
    assert result.exit_code == 130
    assert result.stderr.startswith("interrupted; ")
    assert "kept" in result.stderr


@every_command
def test_an_unknown_device_is_refused(tmp_path, monkeypatch, function, words):
    monkeypatch.setattr(function, None)
    refused(dilution(*words, "--device", "gpu", cwd=tmp_path), "gpu", "cpu")


@pytest.mark.parametrize("words", [["diagnose"], ["plan", "--target", "0.9", "--eta", "0.2"], ["advise"]])
@pytest.mark.parametrize("out", ["photos", "photos/results"])
def test_results_do_not_go_into_the_folder_of_the_images(tmp_path, words, out):
    write_class_folders(tmp_path / "photos")
    before = sorted(tmp_path.rglob("*"))
    data = "photos#16" if words == ["diagnose"] else "./photos"
    result = dilution(words[0], data, *words[1:], "--out", out, cwd=tmp_path)
    refused(result, "the folder of the data: plots would be read as images", "Give --out")
    assert sorted(tmp_path.rglob("*")) == before
