"""References module:name: their form, imports, reloads and source digests."""

import importlib
import os
import subprocess
import sys

import pytest

from dilution.errors import InputError
from dilution.utils.references import describe_exception, is_reference, resolve, source_digest


@pytest.mark.parametrize("name", ["my_nets:small", "my.nets:small.deep"])
def test_references_are_recognised(name):
    assert is_reference(name)


@pytest.mark.parametrize("name", ["digits", "a.csv", "a b:c", "a:", ":b", "a:b:c", "C:/data", ""])
def test_other_names_are_no_references(name):
    assert not is_reference(name)
    with pytest.raises(InputError, match="an object of your own is written module:name"):
        resolve(name, "model")


def test_a_changed_module_is_reloaded_and_has_another_digest(module, tmp_path):
    name = module("def answer(): return 1")
    assert resolve(f"{name}:answer", "model")() == 1
    digest = source_digest(f"{name}:answer", "model")
    (tmp_path / f"{name}.py").write_text("def answer(): return 'changed'")
    assert resolve(f"{name}:answer", "model")() == "changed"
    assert source_digest(f"{name}:answer", "model") != digest


def test_an_edit_of_the_same_size_within_a_second_is_seen(module, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    name = module("def answer(): return 1")
    file = tmp_path / f"{name}.py"
    for answer in range(1, 6):
        file.write_text(f"def answer(): return {answer}")
        os.utime(file, (1e9, 1e9))
        assert resolve(f"{name}:answer", "model")() == answer


def test_a_module_that_was_edited_after_its_import_by_others_is_reloaded(module, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    name = module("def answer(): return 1")
    imported = importlib.import_module(name)
    assert resolve(f"{name}:answer", "model") is imported.answer  # not edited: the same object
    other = module("def answer(): return 1")
    importlib.import_module(other)
    (tmp_path / f"{other}.py").write_text("def answer(): return 'edited'")
    assert resolve(f"{other}:answer", "model")() == "edited"


def test_a_module_of_the_same_name_in_another_folder_is_refused(module, tmp_path, monkeypatch):
    name = module("def answer(): return 1")
    assert resolve(f"{name}:answer", "model")() == 1
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    assert resolve(f"{name}:answer", "model")() == 1  # the folder has none
    (tmp_path / "other" / f"{name}.py").write_text("def answer(): return 2")
    with pytest.raises(InputError, match=f"{name} in this process is .*Start a new process"):
        resolve(f"{name}:answer", "model")


def test_what_is_missing_or_cannot_be_called_is_refused(module):
    name = module("number = 3\ndef small(): pass")
    with pytest.raises(
        InputError, match=f"'smal' is not a function or class in {name}. Did you mean 'small'"
    ):
        resolve(f"{name}:smal", "model")
    with pytest.raises(InputError, match="which is an int; it must be a function or class"):
        resolve(f"{name}:number", "model")


def test_exceptions_are_described_by_type_and_message():
    assert describe_exception(ValueError(" no rows ")) == "ValueError: no rows"
    assert describe_exception(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_named_module_is_found_first_and_what_is_installed_is_found_before_its_neighbours(tmp_path):
    (tmp_path / "nets.py").write_text(
        "import neighbour\n\ndef net(shape, classes):\n    import later\n    return shape, classes\n"
    )
    (tmp_path / "neighbour.py").touch()
    (tmp_path / "later.py").touch()
    (tmp_path / "threadpoolctl.py").write_text("raise RuntimeError('the decoy')")
    code = (
        "import dilution.utils.references as references, sys\n"
        "references.resolve('nets:net', 'model')((1, 8, 8), 2)\n"
        "import threadpoolctl as installed\n"  # a small package
        "assert 'later' in sys.modules and 'site-packages' in installed.__file__, installed.__file__\n"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
