"""The progress of a study: lines, a bar, and the time left."""

import io
import os

import pytest

from dilution.study import Run
from dilution.study.grouping import RunGroup
from dilution.study.progress import Clock, Progress
from dilution.utils.protected_output import OutputFile, _OutputStream, protected_output

RUN = Run.of(dataset="digits", n=60, model="mlp2", alpha=20, seed=3)
DONE = {"state": "done", "result": {"test_acc_at_best_clean_val": 0.876}}
FAILED = {"state": "failed", "error": "Traceback\n  line [bold]\nValueError: no [luck]\n"}
DIVERGED = {"state": "diverged", "result": {"diverged_at": 7}}


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(stream, outcomes, *, quiet=False, finished=0, run=RUN):
    progress = Progress(stream, quiet=quiet)
    with progress.for_study("mine", total=len(outcomes) + finished, finished=finished):
        progress.log("measuring")
        progress.start_clock(2.0 * len(outcomes))
        for outcome in outcomes:
            group = RunGroup([run], cost=2.0)
            progress.started(group)
            progress.finished(group, [outcome])
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    text = show(io.StringIO(), [DONE, FAILED, DONE], finished=2)
    assert "\x1b" not in text
    assert "\r" not in text
    assert text.splitlines()[:2] == ["mine: 2 of 5 runs are finished in the store", "mine: measuring"]
    assert "mlp2, alpha 20, seed 3: failed: ValueError: no [luck]" in text
    last = text.splitlines()[-1]
    assert "5 of 5 runs, 1 failed" in last
    assert last.endswith("last: mlp2, alpha 20, seed 3: 87.6%")
    assert len(text.splitlines()) == 4  # not one line per run


def test_plain_lines_come_at_most_every_few_seconds(monkeypatch):
    clock = iter(range(0, 1000, 10))
    monkeypatch.setattr("dilution.study.progress.time.monotonic", lambda: next(clock))
    lines = show(io.StringIO(), [DONE] * 6).splitlines()[1:]
    assert 1 < len(lines) <= 6
    assert "left; last: mlp2" in lines[0]


def test_a_diverged_run_and_a_noise_rate_are_described():
    assert show(io.StringIO(), [DIVERGED]).rstrip().endswith("last: mlp2, alpha 20, seed 3: diverged")
    rate = Run.of(dataset="digits", n=60, model="mlp2", eta=0.25)
    assert "mlp2, eta 0.25, seed 0: 87.6%" in show(io.StringIO(), [DONE], run=rate)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_shows_nothing(stream):
    assert show(stream(), [DONE, FAILED], quiet=True, finished=1) == ""


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    text = show(Terminal(), [DONE, FAILED, DIVERGED], finished=1)
    assert "\x1b[" in text
    assert "4/4" in text
    assert "ValueError: no [luck]" in text


def test_a_bar_can_follow_one_that_was_interrupted(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    progress = Progress(Terminal())
    with pytest.raises(KeyboardInterrupt), progress.for_study("mine", total=2, finished=0):
        raise KeyboardInterrupt
    with progress.for_study("mine", total=2, finished=1):
        group = RunGroup([RUN])
        progress.started(group)
        progress.finished(group, [DONE])


def test_a_finished_study_is_reported():
    assert "3 of 3 runs are finished in the store" in show(Terminal(), [], finished=3)


def test_a_group_that_ends_counts_with_all_its_runs():
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.for_study("mine", total=3, finished=0):
        progress.start_clock(6.0)
        group = RunGroup([RUN] * 3, cost=6.0)
        progress.started(group)
        progress.finished(group, [DONE, FAILED, DONE])
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if "left" in line] == [
        "mine: 3 of 3 runs, 1 failed, about 0 s left; last: mlp2, alpha 20, seed 3: 87.6%"
    ]


def test_time_left_is_right_if_every_group_takes_as_much_longer_as_the_first():
    now = [0.0]
    groups = [RunGroup([RUN], cost=10.0) for _ in range(6)]
    clock = Clock(60.0, lambda: now[0])
    waiting, ends = list(groups), {}
    for process in range(2):  # the second starts half a group later
        now[0] = 15.0 * process
        ends[process] = now[0] + 30.0, groups[process]
        clock.started(waiting.pop(0))
    end, estimates = 105.0, []  # six groups of 30 s in two processes, one of them 15 s late
    while ends:
        process = min(ends, key=lambda process: ends[process][0])
        now[0], group = ends.pop(process)
        clock.finished(group)
        if waiting:
            ends[process] = now[0] + 30.0, waiting[0]
            clock.started(waiting.pop(0))
        estimates.append((now[0], clock.left()))
    for time, left in estimates:
        assert left == pytest.approx(end - time, abs=15.0 / 2 + 1e-9)
    assert estimates[-1] == (end, 0.0)


def test_a_group_that_is_divided_counts_only_once():
    now = [0.0]
    clock = Clock(10.0, lambda: now[0])
    group = RunGroup([RUN] * 2, cost=10.0)
    clock.started(group)
    now[0] = 3.0
    clock.dropped(group)
    for single in group.single_runs():
        clock.started(single)
        now[0] += 5.0
        clock.finished(single)
    assert clock.left() == 0.0


def test_a_bar_of_a_command_moves_and_obeys_no_name(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = os.pipe()
    monkeypatch.setattr(OutputFile, "isatty", lambda _: True)
    with protected_output():
        stream = _OutputStream(OutputFile(writer), "utf-8")
        progress = Progress(stream)
        with progress.for_study("mine \x1b]0;title\x07", total=2, finished=1):
            progress.log("measuring \x1b[5m")
            progress.start_clock(2.0)
            group = RunGroup([RUN], cost=2.0)
            progress.started(group)
            progress.finished(group, [DONE])
        stream.flush()
    os.close(writer)
    with os.fdopen(reader, "rb") as file:
        text = file.read()
    assert b"\x1b[2K" in text
    assert b"\\x1b[2K" not in text
    assert b"\x1b]0;" not in text
    assert b"\x1b[5m" not in text
    assert b"mine \\x1b]0;title\\x07: measuring \\x1b[5m" in text


def test_runs_are_told_apart_by_the_settings_in_which_they_differ():
    runs = [
        Run.of(dataset="digits", n=60, model="mlp2", noise=noise, loss=loss, lr=0.25)
        for noise in ("symmetric(rate=0.4)", "pair_flip(rate=0.3)")
        for loss in ("gce", "mae")
    ]
    runs += [Run.of(dataset="digits", n=60, model="mlp2", alpha=2, mixup=0.5)]
    stream = io.StringIO()
    progress = Progress(stream)
    lines = []
    with progress.for_study("mine", total=len(runs), finished=0, runs=runs):
        for run in runs:
            group = RunGroup([run], cost=1.0)
            progress.start_clock(1.0)
            progress.started(group)
            progress.finished(group, [FAILED])
            lines.append(stream.getvalue().splitlines()[-1])
    assert "mlp2, symmetric(rate=0.4), gce, lr 0.25, mixup 0, replaced, seed 0: failed" in stream.getvalue()
    assert "mlp2, uniform, alpha 2, cross_entropy, lr 0.1, mixup 0.5, added, seed 0" in stream.getvalue()
    assert len(set(lines)) == len(runs)
