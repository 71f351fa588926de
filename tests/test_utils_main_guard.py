"""The main guard of a script is looked for in its text, before any process starts."""

import subprocess
import sys

import pytest

CALL = "from dilution.utils.main_guard import check_main_guard\n"
GUARDED = {
    "guard": 'if __name__ == "__main__":\n    check_main_guard()\n',
    "function": 'def main():\n    check_main_guard()\n\nif __name__ == "__main__":\n    main()\n',
    "own condition": "import sys\nif len(sys.argv) == 1:\n    check_main_guard()\n",
    "expression": '__name__ == "__main__" and check_main_guard()\n',
    "conditional expression": 'check_main_guard() if __name__ == "__main__" else None\n',
    "guard in a loop": 'for k in range(1):\n    if __name__ == "__main__":\n        check_main_guard()\n',
    "profiled": 'import cProfile\ndef main():\n    check_main_guard()\n\nif __name__ == "__main__":\n'
    '    cProfile.run("main()", "profile")\n',
    "executed text": 'if __name__ == "__main__":\n    exec("check_main_guard()")\n',
    "thread": "import threading\nt = threading.Thread(target=check_main_guard)\nt.start(); t.join()\n",
}
UNGUARDED = {
    "line": ("check_main_guard()\n", 2),
    "function": ("def main():\n    check_main_guard()\n\nmain()\n", 5),
    "function with a condition": ("def main():\n    if True:\n        check_main_guard()\nmain()\n", 5),
    "loop": ("for k in range(1):\n    print()\n    check_main_guard()\n", 4),
    "try": ("try:\n    check_main_guard()\nfinally:\n    print()\n", 3),
    "class": ("class A:\n    check_main_guard()\n", 2),
}


def run(folder, text):
    (folder / "script.py").write_text(CALL + text)
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("text", GUARDED.values(), ids=GUARDED)
def test_a_script_that_may_be_imported_by_workers_is_let_pass(tmp_path, text):
    assert run(tmp_path, text).stderr == ""


@pytest.mark.parametrize(("text", "line"), UNGUARDED.values(), ids=UNGUARDED)
def test_a_line_that_workers_would_execute_again_is_named(tmp_path, text, line):
    error = run(tmp_path, text).stderr
    assert f"line {line} of script.py has no main guard" in error
    assert 'Put the calls of the script under `if __name__ == "__main__":`' in error


@pytest.mark.parametrize("option", [["-c", f"{CALL}check_main_guard()"], ["-"]])
def test_code_without_a_file_is_not_judged(option):
    text = f"{CALL}check_main_guard()"
    done = subprocess.run([sys.executable, *option], input=text, capture_output=True, text=True)
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["package", "folder"])
def test_a_package_whose_main_module_no_worker_imports_is_let_pass(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__main__.py").write_text(f"{CALL}check_main_guard()\n")
    command = [sys.executable, *(["-m", name] if name == "package" else [name])]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stderr == ""


def test_a_module_that_workers_import_by_its_name_is_judged(tmp_path):
    (tmp_path / "study.py").write_text(f"{CALL}check_main_guard()\n")
    command = [sys.executable, "-m", "study"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert "line 2 of study.py has no main guard" in done.stderr


def test_a_script_that_was_deleted_is_not_judged(tmp_path):
    assert run(tmp_path, "import os\nos.remove(__file__)\ncheck_main_guard()\n").stderr == ""


def test_this_process_is_not_refused():
    from dilution.utils.main_guard import check_main_guard

    check_main_guard()
