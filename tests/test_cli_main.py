"""The command line as a whole: help, version, errors, notes, and how a process of it ends."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest
import typer
from commands import STUDY, dilution, refused, succeeded

from dilution.cli import app, main
from dilution.utils.migration import OldNamesWarning

SECTIONS = {
    "Researchers (figures and studies)": (
        "reproduce benchmark run status claims report compare-runs export import merge"
    ),
    "Doubtful labels": "diagnose review compare plan advise fit predict",
    "Look around": "show list data",
}


def start(*words, folder, **options):
    """Start the command line in a process of its own, with warnings as errors."""
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "dilution", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        **options,
    )


def test_help_groups_the_commands_by_their_users():
    text = succeeded(dilution("--help"))
    positions = [text.index(f"\n{heading}:\n") for heading in SECTIONS]
    assert positions == sorted(positions)
    for start, end, names in zip(positions, [*positions[1:], None], SECTIONS.values(), strict=True):
        listed = [row.split()[0] for row in text[start:end].splitlines()[2:] if row.strip()]
        assert listed == names.split()


def test_every_line_of_help_fits_80_columns_and_is_complete():
    command = typer.main.get_command(app)
    groups = [[], *([name] for name in command.commands if hasattr(command.commands[name], "commands"))]
    for words in groups:
        rows = succeeded(dilution(*words, "--help")).splitlines()
        assert all(len(row) <= 80 and not row.endswith("...") for row in rows[1:])  # rows[0] is the usage


def test_help_needs_neither_torch_nor_pandas():
    code = (
        "import sys; from dilution.cli import app\n"
        "try: app(['--help'])\nexcept SystemExit: pass\n"
        "print({'torch', 'pandas', 'matplotlib', 'scipy', 'pydantic'} & set(sys.modules))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.endswith("set()\n")


def test_version_is_that_of_the_code():
    assert succeeded(dilution("--version")).startswith("dilution 0.")


def test_an_unknown_command_gets_the_nearest_one():
    refused(dilution("reprduce", "fig1"), "'reprduce'", "Did you mean 'reproduce'?")


def test_old_names_are_reported_as_one_line_on_stderr(tmp_path, monkeypatch):
    def status(*_, **__):
        for _ in range(2):
            warnings.warn("s.toml uses names of version 0.1.", OldNamesWarning, stacklevel=2)
        warnings.warn("something else", RuntimeWarning, stacklevel=2)

    monkeypatch.setattr("dilution.study.store.Store.__init__", status)
    with pytest.warns(RuntimeWarning, match="something else"):
        result = dilution("status", cwd=tmp_path)
    assert result.stderr == "note: s.toml uses names of version 0.1.\n"


@pytest.mark.trains
def test_a_study_of_version_0_1_runs_and_its_old_names_are_reported(tmp_path):
    old = STUDY.replace("model", "network").replace('targets = "pooled"', 'order = "pooled"')
    (tmp_path / "old.toml").write_text(old)
    result = dilution("run", "old.toml", "--workers", 0, cwd=tmp_path)
    assert succeeded(result).count("done") == 4
    notes = [line for line in result.stderr.splitlines() if line.startswith("note: the study old")]
    assert len(notes) == 1
    assert "the study old uses names of version 0.1" in notes[0]
    assert "network is now model" in notes[0]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is a file of Linux")
def test_output_that_cannot_be_written_is_an_error_without_a_traceback(tmp_path):
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "dilution", "--version"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert process.returncode == 2
    assert process.stderr == "error: the output cannot be written: No space left on device.\n"


def test_a_mistake_ends_the_process_with_one_line_and_exit_code_2(tmp_path):
    process = start("data", "pack", "digits", "digits.bin", folder=tmp_path)  # needs no torch
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors == "error: digits.bin does not end in .pack. Write to digits.pack instead.\n"


def test_in_a_deleted_folder_the_module_ends_with_a_message_like_the_script(tmp_path):
    (tmp_path / "gone").mkdir()
    process = start(
        "--version", folder=tmp_path / "gone",
        preexec_fn=lambda: (tmp_path / "gone").rmdir(),  # runs in the child, once it is in the folder
    )  # fmt: skip
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert errors.startswith("error: the current folder cannot be used: No such file or directory.")
    assert errors.count("\n") == 1


def test_sigterm_ends_a_command_like_ctrl_c(monkeypatch):
    monkeypatch.setattr("dilution.cli.app", lambda **_: signal.raise_signal(signal.SIGTERM))
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(KeyboardInterrupt):
            main()
    finally:
        signal.signal(signal.SIGTERM, handler)


@pytest.mark.trains
def test_an_interrupted_study_keeps_finished_runs_and_its_workers_end(tmp_path):
    many = STUDY.replace("steps = 2", "steps = 20").replace("[0, 1]", str(list(range(100))))
    (tmp_path / "s.toml").write_text(many)
    process = start(
        "run", "s.toml", "--workers", "1", folder=tmp_path,
        # a process started in the background inherits SIGINT as ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    done, deadline = 0, time.monotonic() + 120
    while not done and time.monotonic() < deadline:
        time.sleep(0.05)
        done = count_done(tmp_path / "results.sqlite")
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)  # waits until the workers have closed stderr, too
    assert process.returncode == 130
    assert "interrupted; finished runs are kept. Run the same command again to resume." in errors
    assert "Traceback" not in errors
    assert 0 < done <= count_done(tmp_path / "results.sqlite") < 200


def count_done(store: Path) -> int:
    """Return how many runs of a store are done; 0 while there is no store."""
    try:
        connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    except sqlite3.OperationalError:
        return 0
    try:
        return int(connection.execute("SELECT count(*) FROM runs WHERE state = 'done'").fetchone()[0])
    except sqlite3.OperationalError:  # its tables are not there yet
        return 0
    finally:
        connection.close()


NAME = "x" * 10_000
TABLES = {
    "one class": f"a,label\n1,{NAME}\n2,{NAME}\n",
    "one example of a class": f"a,label\n1,{NAME}\n2,b\n3,b\n4,b\n",
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_a_long_class_is_cut_in_a_message(content, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    result = dilution("diagnose", "t.csv", "--out", "o", cwd=tmp_path)
    refused(result, "xxx…")
    assert len(result.output) < 1500


@pytest.mark.parametrize(
    "words",
    [
        ("diagnose", NAME),
        ("diagnose", "digits", "--out", NAME),
        ("claims", NAME),
        ("data", "pack", "digits", NAME),
        ("status", "--store", NAME),
        ("diagnose", "digits", "--clean", NAME),
    ],
    ids=lambda words: " ".join(words)[:20],
)
def test_a_long_argument_is_cut_in_a_message(words, tmp_path):
    result = dilution(*words, cwd=tmp_path)
    refused(result, "xxx…")
    assert len(result.output) < 3000


LONG, FORGED = "y" * 10_000, "x\x1b[31m\nerror: forged\u202e"
USAGES = {
    "command": ["{}"],
    "command of a group": ["data", "{}"],
    "option": ["status", "--{}"],
    "option before the command": ["--{}", "status"],
    "arguments": ["status", "{}", "{}"],
    "number": ["diagnose", "a.csv", "--seed", "{}"],
    "many words": ["status", *["{}"] * 500],
}


@pytest.mark.parametrize(
    "given", [LONG, FORGED, "words " * 5_000, "=" + LONG], ids=["long", "forged", "words", "="]
)
@pytest.mark.parametrize("words", USAGES.values(), ids=USAGES)
def test_errors_of_usage_show_the_beginning_of_what_was_typed_as_text(words, given):
    ended = dilution(*(word.format(given) for word in words))
    assert ended.exit_code == 2
    assert len(ended.output) < 1_200
    assert ended.output.count("rror: ") - ended.output.count("rror: forged") == 1
    assert not any(line.startswith("error: forged") for line in ended.output.splitlines())
    assert ended.output.replace("\n", "").isprintable()
