"""Signals: what ends a command, and when it does not."""

import os
import signal
from pathlib import Path

import pytest
import typer

from dilution.cli.signals import end_like_ctrl_c, writing_to

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(autouse=True)
def _handlers_are_restored():
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_command_like_ctrl_c(number):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_like_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_a_command_under_nohup_goes_on_when_the_terminal_closes():
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    end_like_ctrl_c()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_a_second_hangup_does_not_disturb_the_end():
    end_like_ctrl_c()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGHUP)


def write_page(folder, number):
    """Write a file as commands do, while a signal arrives."""
    with writing_to(folder):
        os.kill(os.getpid(), number)
        (folder / "page").write_text("whole")


@pytest.mark.parametrize("number", SIGNALS)
def test_files_are_written_to_the_end_before_a_signal_ends_the_command(tmp_path, capsys, number):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_like_ctrl_c()
    handler = signal.getsignal(number)
    with pytest.raises(typer.Exit) as ended:
        write_page(tmp_path, number)
    assert ended.value.exit_code == 130
    assert Path(tmp_path / "page").read_text() == "whole"
    assert "interrupted; the result is complete in" in capsys.readouterr().err
    assert signal.getsignal(number) == handler


def test_an_error_while_files_are_written_is_raised(tmp_path):
    with pytest.raises(OSError, match="full"), writing_to(tmp_path):
        raise OSError("full")
