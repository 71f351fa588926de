"""What shows how far a study is."""

import io

import pytest

from dilution.study import Run
from dilution.study.progress import Progress

RUN = Run.of(dataset="digits", n=60, network="mlp2", alpha=20, seed=3)
DONE = {"state": "done", "result": {"test_clean": 0.876}}
FAILED = {"state": "failed", "error": "Traceback\n  line [bold]\nValueError: no [luck]\n"}
DIVERGED = {"state": "diverged", "result": {"diverged_at": 7}}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(stream, outcomes, *, quiet=False, already=0, run=RUN):
    progress = Progress(stream, quiet=quiet)
    with progress.of("mine", total=len(outcomes) + already, already=already):
        progress.say("measuring")
        progress.start_clock(2.0 * len(outcomes))
        for outcome in outcomes:
            progress.finished(run, outcome, 2.0)
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    text = show(io.StringIO(), [DONE, FAILED, DONE], already=2)
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.splitlines()[:2] == ["mine: 2 of 5 runs are in the store already", "mine: measuring"]
    assert "mlp2, alpha 20, seed 3: failed: ValueError: no [luck]" in text
    last = text.splitlines()[-1]
    assert "5 of 5 runs, 1 failed" in last
    assert last.endswith("last: mlp2, alpha 20, seed 3: 87.6%")
    assert len(text.splitlines()) == 4  # not a line for each run


def test_plain_lines_come_at_most_every_few_seconds(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("dilution.study.progress.time.monotonic", lambda: next(clock))
    lines = show(io.StringIO(), [DONE] * 6).splitlines()[1:]
    assert 1 < len(lines) <= 6
    assert "left; last: mlp2" in lines[0]


def test_a_diverged_run_and_a_noise_rate_are_described():
    assert show(io.StringIO(), [DIVERGED]).rstrip().endswith("last: mlp2, alpha 20, seed 3: diverged")
    rate = Run.of(dataset="digits", n=60, network="mlp2", eta=0.25)
    assert "mlp2, eta 0.25, seed 0: 87.6%" in show(io.StringIO(), [DONE], run=rate)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_shows_nothing(stream):
    assert show(stream(), [DONE, FAILED], quiet=True, already=1) == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = show(Terminal(), [DONE, FAILED, DIVERGED], already=1)
    assert "\x1b[" in text
    assert "4/4" in text
    assert "ValueError: no [luck]" in text


def test_a_bar_that_was_interrupted_does_not_hinder_the_next(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(Terminal())
    with pytest.raises(KeyboardInterrupt), progress.of("mine", total=2, already=0):
        raise KeyboardInterrupt
    with progress.of("mine", total=2, already=1):
        progress.finished(RUN, DONE, 1.0)


def test_a_study_that_is_finished_says_so():
    assert "3 of 3 runs are in the store already" in show(Terminal(), [], already=3)
