"""Output that loses no work: characters that a terminal lacks, a closed pipe, a closed terminal."""

import errno
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dilution.study.store import Store
from dilution.utils.protected_output import OutputFile, _OutputStream, protected_output, show_passing

CONTROLS = {chr(code) for code in (*range(32), *range(127, 160))} - set("\t\n")
DILUTION = [sys.executable, "-m", "dilution"]


def written(text: str, encoding: str) -> bytes:
    """Return the bytes that a protected stream writes."""
    reader, writer = os.pipe()
    with protected_output():  # registers the replacements
        stream = _OutputStream(OutputFile(writer), encoding)
        stream.write(text)
        stream.flush()
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        return file.read()


@given(st.text(max_size=50))
def test_no_text_has_a_control_character_left(text: str) -> None:
    assert not set(written(text, "utf-8").decode()) & CONTROLS


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cf"]), max_size=50),
    st.sampled_from(["ascii", "latin-1", "iso8859-9", "utf-8", "gbk"]),
)
def test_every_text_can_be_written_in_every_encoding(text: str, encoding: str) -> None:
    content = written(text, encoding)
    assert all(character.encode(encoding) in content for character in text if can_encode(character, encoding))


def can_encode(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def test_own_signs_are_transliterated_and_characters_of_names_are_escaped() -> None:
    assert written("η ≤ 0.5 ± 0.1 █ café 猫 \udce9", "ascii") == rb"eta <= 0.5 +- 0.1 # caf\xe9 \u732b \udce9"
    assert written("η café", "latin-1") == b"eta caf\xe9"


def test_a_terminal_is_sent_no_sequence_that_it_would_obey() -> None:
    title, clipboard, turned = "\x1b]0;title\x07", "\x9b2J", "\u202eexe.png"
    assert written(title + clipboard + turned, "utf-8") == rb"\x1b]0;title\x07\x9b2J\u202eexe.png"
    assert written("tab\tand\nline", "utf-8") == b"tab\tand\nline"


def test_a_passing_line_replaces_itself_and_escapes_what_is_in_it() -> None:
    reader, writer = os.pipe()
    with protected_output():
        stream = _OutputStream(OutputFile(writer), "utf-8")
        show_passing(stream, "fitting \x1b]0;title\x07")
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        assert file.read() == b"\r\x1b[2Kfitting \\x1b]0;title\\x07\r"


@pytest.fixture(scope="module")
def shown() -> subprocess.CompletedProcess[bytes]:
    """Run a command whose terminal knows ASCII alone, and whose standard error is always full.

    Its command does no more than to print: those with a bar in their output import torch.
    """
    full = "/dev/full" if Path("/dev/full").exists() else os.devnull
    code = (
        "import sys, typer\nfrom dilution import cli\n"
        "def app(**_):\n    typer.echo('progress', err=True)\n    typer.echo('\\u2588' * 10)\n"
        "cli.app = app\ncli.main()\n"
    )
    with open(full, "wb", buffering=0) as errors:  # noqa: PTH123
        return subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            stdout=subprocess.PIPE,
            stderr=errors,
        )


def test_a_command_writes_in_the_encoding_of_its_terminal(shown: subprocess.CompletedProcess[bytes]) -> None:
    assert shown.returncode == 0
    assert "##########" in shown.stdout.decode("ascii")


def test_the_encoding_of_a_protected_stream_can_be_looked_up() -> None:
    reader, writer = os.pipe()
    with protected_output():
        encoding = _OutputStream(OutputFile(writer), "ascii").encoding
    assert "text".encode(encoding) == b"text"
    with pytest.raises(UnicodeEncodeError):
        "√".encode(encoding)
    os.close(reader)
    os.close(writer)


@pytest.mark.trains
def test_a_backend_of_somebody_else_is_not_needed_and_a_deleted_folder_is_named(tmp_path: Path) -> None:
    environment = {**os.environ, "MPLBACKEND": "not_installed"}
    code = (  # a command that does no more than to draw: those with a figure import torch
        "from dilution import cli\n"
        "def app(**_):\n"
        "    from dilution.report.style import new_figure\n"
        "    new_figure()[0].savefig('plot.png')\n"
        "cli.app = app\ncli.main()\n"
    )
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True)
    assert process.returncode == 0, process.stderr
    assert (tmp_path / "plot.png").exists()
    (tmp_path / "gone").mkdir()
    script = shlex.join([str(Path(sys.executable).with_name("dilution")), "list", "models"])
    command = f"cd gone && rmdir ../gone && {script}"
    gone = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert gone.returncode == 2
    assert "the current folder cannot be used: No such file or directory" in gone.stderr


def test_what_nobody_reads_is_dropped() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    file = OutputFile(writer)
    assert file.write(b"lost") == 4
    assert file.reader_is_gone
    assert file.write(b"lost too") == 8
    os.close(writer)


def test_a_closed_pipe_ends_a_command_quietly_with_the_exit_code_of_sigpipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = subprocess.run([*DILUTION, "--help"], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert process.returncode == 128 + 13
    assert process.stderr == b""


@pytest.mark.trains
def test_a_model_that_prints_trains_after_the_reader_is_gone(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import torch\n\ndef net(shape, classes):\n    print('building', flush=True)\n"
        "    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, classes))\n"
    )
    (tmp_path / "study.toml").write_text(
        '[base]\ndataset = "digits"\nmodel = "loud:net"\nn = 50\nalpha = 0.0\nsteps = 2\n'
        "[grid]\nseed = [0, 1]\n"
    )
    reader, writer = os.pipe()
    os.close(reader)
    command = [*DILUTION, "run", "study.toml", "--workers", "1"]  # both processes print, and both must go on
    subprocess.run(command, cwd=tmp_path, stdout=writer, stderr=writer)
    os.close(writer)
    with Store(tmp_path / "results.sqlite", create=False) as store:
        assert [row["state"] for row in store.rows()] == ["done", "done"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_progress_that_has_no_room_is_dropped_and_results_are_not(
    shown: subprocess.CompletedProcess[bytes],
) -> None:
    assert shown.returncode == 0
    assert shown.stdout
    full = os.open("/dev/full", os.O_WRONLY)
    with protected_output():
        assert OutputFile(full, (errno.ENOSPC,)).write(b"progress") == 8
    with pytest.raises(OSError, match="No space"):
        OutputFile(full).write(b"results")
    os.close(full)


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_command_without_standard_output_or_error_runs(closed: str) -> None:
    command = f"{shlex.join(DILUTION)} --version {closed}"
    assert subprocess.run(["sh", "-c", command], capture_output=True).returncode == 0


def test_a_slow_reader_of_a_non_blocking_pipe_gets_everything() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    received = []

    def read() -> None:
        time.sleep(0.1)
        with os.fdopen(reader, "rb") as file:
            received.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    left = b"x" * 200_000  # more than a pipe takes
    while left:
        left = left[OutputFile(writer).write(left) :]
    os.close(writer)
    thread.join()
    assert received == [b"x" * 200_000]
