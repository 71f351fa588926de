"""The error output of the process, below Python."""

import os

import pytest

from dilution.utils.silent_stderr import silent_stderr


def test_what_is_written_below_python_is_discarded_until_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        os.write(2, b"inside")
        raise KeyError

    with pytest.raises(KeyError), silent_stderr():
        fail()
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_a_process_without_error_output_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(descriptor: int) -> int:
        raise OSError(9, "Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    with silent_stderr():
        pass
