"""What shows how far a study is."""

import io

import pytest

from dilution.study import Run
from dilution.study.planner import Pack
from dilution.study.progress import Clock, Progress

RUN = Run.of(dataset="digits", n=60, model="mlp2", alpha=20, seed=3)
DONE = {"state": "done", "result": {"test_acc_at_best_clean_val": 0.876}}
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
            pack = Pack([run], 1, 2.0)
            progress.started(pack)
            progress.finished(pack, [outcome])
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
    rate = Run.of(dataset="digits", n=60, model="mlp2", eta=0.25)
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
        pack = Pack([RUN], 1, 1.0)
        progress.started(pack)
        progress.finished(pack, [DONE])


def test_a_study_that_is_finished_says_so():
    assert "3 of 3 runs are in the store already" in show(Terminal(), [], already=3)


def test_a_pack_that_ends_counts_whole_with_its_failures():
    stream = io.StringIO()
    progress = Progress(stream)
    with progress.of("mine", total=3, already=0):
        progress.start_clock(6.0)
        pack = Pack([RUN] * 3, 1, 6.0)
        progress.started(pack)
        progress.finished(pack, [DONE, FAILED, DONE])
    lines = stream.getvalue().splitlines()
    assert [line for line in lines if "left" in line] == [
        "mine: 3 of 3 runs, 1 failed, at this pace 0 s left; last: mlp2, alpha 20, seed 3: 87.6%"
    ]


def test_time_left_is_right_when_every_pack_takes_as_much_longer_as_the_first():
    now = [0.0]
    packs = [Pack([RUN], 1, 10.0) for _ in range(6)]
    clock = Clock(60.0, lambda: now[0])
    waiting, ends = list(packs), {}
    for lane in range(2):  # the second begins half a pack later
        now[0] = 15.0 * lane
        ends[lane] = now[0] + 30.0, packs[lane]
        clock.started(waiting.pop(0))
    whole, left = 105.0, []  # six packs of 30 s in two lanes, one of them 15 s late
    while ends:
        lane = min(ends, key=lambda each: ends[each][0])
        now[0], pack = ends.pop(lane)
        clock.finished(pack)
        if waiting:
            ends[lane] = now[0] + 30.0, waiting[0]
            clock.started(waiting.pop(0))
        left.append((now[0], clock.left()))
    for at, expected in left:
        assert expected == pytest.approx(whole - at, abs=15.0 / 2 + 1e-9)
    assert left[-1] == (whole, 0.0)


def test_a_pack_that_is_divided_counts_only_once():
    now = [0.0]
    clock = Clock(10.0, lambda: now[0])
    pack = Pack([RUN] * 2, 1, 10.0)
    clock.started(pack)
    now[0] = 3.0
    clock.dropped(pack)
    for half in [Pack([RUN], 1, 5.0), Pack([RUN], 1, 5.0)]:
        clock.started(half)
        now[0] += 5.0
        clock.finished(half)
    assert clock.left() == 0.0
