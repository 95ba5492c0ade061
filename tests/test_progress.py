"""Progress: a bar on a terminal, a line now and then in a log, nothing for what is over at once."""

import io
import time

import pytest

from runtime import progress
from runtime.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only where the test says so."""

    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_log_gets_whole_lines_with_count_rate_and_time_left(clock):
    log = io.StringIO()
    with Progress(10, "scene", extra="images", stream=log) as scenes:
        for _ in range(4):
            clock.now += 10.0
            scenes.add(1, extra=20)
    # After 20 s, and 20 s later: never more often than every 15 s. 40 images in 20 s; 8 scenes of 10 s are left.
    assert log.getvalue() == "2/10 scenes, 2.0 images/s, 01:20 left\n4/10 scenes, 2.0 images/s, 01:00 left\n"


def test_without_another_quantity_the_line_has_no_rate(clock):
    log = io.StringIO()
    with Progress(2, "finished scene", stream=log) as scenes:
        clock.now += 20.0
        scenes.add()
    assert log.getvalue() == "1/2 finished scenes, 00:20 left\n"


def test_what_an_earlier_run_has_done_is_counted_but_not_timed(clock):
    log = io.StringIO()
    with Progress(60, "step", done=40, stream=log) as steps:
        clock.now += 20.0
        steps.add(10, note="loss 0.1")
    assert log.getvalue() == "50/60 steps, loss 0.1, 00:20 left\n"


def test_a_log_hears_nothing_of_work_that_is_over_at_once(clock):
    log = io.StringIO()
    with Progress(3, "scene", stream=log) as scenes:
        for _ in range(3):
            clock.now += 1.0
            scenes.add()
    assert log.getvalue() == ""


def test_a_terminal_shows_a_bar_with_the_rate(monkeypatch, clock):
    monkeypatch.setattr(progress, "_DELAY_S", 0.0)
    terminal = Terminal()
    with Progress(4, "scene", extra="images", stream=terminal) as scenes:
        for _ in range(4):
            clock.now += 1.0
            scenes.add(1, extra=20)
    bar = terminal.getvalue().rsplit("\r", 1)[-1]
    assert "4/4" in bar and "20.0 images/s" in bar and "\n" in bar


def test_nothing_to_do_is_fine():
    with Progress(0, "scene", stream=io.StringIO()):
        pass


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_one_piece_of_work_says_how_long_it_takes_and_leaves_a_clean_line(monkeypatch, stream):
    monkeypatch.setattr(progress, "_DELAY_S", 0.05)
    monkeypatch.setattr(progress, "_LINE_EVERY_S", 0.05)
    with progress.waiting("scatter", stream=stream):
        time.sleep(0.2)
    said = stream.getvalue()
    assert "scatter: 0 s" in said
    if stream.isatty():
        assert said.endswith("\r") and "\n" not in said
    else:
        assert said.endswith("\n") and "\r" not in said


def test_work_that_is_over_at_once_says_nothing():
    log = io.StringIO()
    with progress.waiting("scatter", stream=log):
        pass
    assert log.getvalue() == ""
