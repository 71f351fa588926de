"""A call that works in stages is never silent for long."""

from itertools import pairwise

import pytest

from dilution.utils.stage_log import StageLog


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
