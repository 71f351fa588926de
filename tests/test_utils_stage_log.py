"""A call that works in stages is never silent for long."""

from itertools import pairwise

import pytest

from dilution.utils import stage_log as module
from dilution.utils.stage_log import StageLog, begin_stage, track


class Clock:
    seconds = 0.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def log():
    lines: list[str] = []
    clock = Clock()
    stage_log = StageLog(lines.append, "reading", clock)
    return stage_log, lines, clock


def polls(log, clock, seconds):
    """Poll every fifth of a second, and return when lines were written."""
    stage_log, lines, _ = log
    times, before = [], len(lines)
    for _ in range(round(5 * seconds)):
        clock.seconds += 0.2
        stage_log.speak_up()
        if len(lines) > before:
            times.append(clock.seconds)
            before = len(lines)
    return times


def test_a_silent_stage_is_named_within_two_seconds(log):
    stage_log, lines, clock = log
    times = polls(log, clock, 10)
    assert times[0] <= 2
    assert all(later - earlier <= 2.01 for earlier, later in pairwise(times))
    assert lines[0] == "reading: 2 s so far"
    stage_log.begin("fitting the noise")
    polls(log, clock, 3)
    assert lines[-1].startswith("fitting the noise: ")


def test_a_line_puts_the_next_one_off(log):
    stage_log, lines, clock = log
    for _ in range(20):
        clock.seconds += 1
        stage_log("still here")
        stage_log.speak_up()
    assert lines == ["still here"] * 20


def test_long_stages_write_few_lines(log):
    _, _, clock = log
    times = polls(log, clock, 3600)
    assert len(times) < 300
    assert times[-1] - times[-2] == pytest.approx(15, abs=0.3)


def test_its_thread_ends_with_the_call():
    with StageLog(lambda _: None, "reading") as stage_log:
        thread = stage_log._thread
        assert thread.is_alive()
    assert not thread.is_alive()


def test_a_terminal_shows_one_line_that_changes_every_second():
    lines, shown, clock = [], [], Clock()
    stage_log = StageLog(lines.append, "reading", clock, shown.append)
    polls((stage_log, shown, clock), clock, 3600)
    assert lines == []
    assert len(shown) >= 3000
    assert shown[0] == "reading: 1 s so far"
    stage_log("a result")
    assert (lines, shown[-1]) == (["a result"], "")


def test_a_stage_whose_work_is_counted_says_how_much_is_done(log):
    stage_log, lines, clock = log
    stage_log.begin("fitting the noise")
    stage_log.advance(50, 1200)
    polls(log, clock, 3)
    assert lines[0] == "fitting the noise: 50 of 1,200, 2 s so far"
    stage_log.begin("writing")
    polls(log, clock, 3)
    assert lines[-1].startswith("writing: ")
    assert " of " not in lines[-1]


def test_a_terminal_shows_a_bar_of_what_is_counted():
    lines, shown, clock = [], [], Clock()
    stage_log = StageLog(lines.append, "fitting", clock, shown.append)
    for done in (0, 5, 10):
        stage_log.advance(done, 10)
        clock.seconds += 1
        stage_log.speak_up()
    assert [text.partition("]")[0] for text in shown] == ["[" + "." * 12, "[██████......", "[" + "█" * 12]
    assert shown[1] == "[██████......] fitting: 5 of 10, 2 s so far"


def test_tracked_items_are_counted_in_the_log_in_use(monkeypatch):
    monkeypatch.setattr(module, "_POLL_SECONDS", 100)
    lines, clock = [], Clock()
    with StageLog(lines.append, "reading", clock) as stage_log:
        for _ in track("abc", 3):
            clock.seconds += 10
            stage_log.speak_up()
    assert lines == [f"reading: {done} of 3, {10 * done + 10} s so far" for done in range(3)]
    assert list(track("abc", 3)) == ["a", "b", "c"]  # without a log


def test_a_log_within_another_speaks_alone_and_the_outer_one_from_its_next_stage_on(monkeypatch):
    monkeypatch.setattr(module, "_POLL_SECONDS", 100)
    outer_lines, inner_lines, clock = [], [], Clock()
    outer, inner = (
        StageLog(lines.append, stage, clock)
        for lines, stage in ((outer_lines, "loading"), (inner_lines, "reading"))
    )
    with outer:
        clock.seconds = 1
        with inner:
            clock.seconds = 1.9  # since the last line of either
            inner.speak_up()
            outer.speak_up()
            begin_stage("fitting")
            clock.seconds = 10
            inner.speak_up()
        outer.speak_up()
        assert (outer_lines, inner_lines) == ([], ["reading: 2 s so far", "fitting: 8 s so far"])
        begin_stage("writing")
        clock.seconds = 12
        outer.speak_up()
    assert outer_lines == ["writing: 2 s so far"]


def test_a_log_without_progress_leaves_the_outer_one_speaking(monkeypatch):
    monkeypatch.setattr(module, "_POLL_SECONDS", 100)
    lines, clock = [], Clock()
    with StageLog(lines.append, "loading", clock), StageLog.to_stderr("diagnosing", progress=False):
        begin_stage("fitting")
        clock.seconds = 3
        module._CURRENT.get().speak_up()
    assert lines == ["fitting: 3 s so far"]
    begin_stage("nobody listens")
    assert module._CURRENT.get() is None
