"""What a run shows in a terminal, and without one."""

import io

from rich.console import Console

from jaxml.training.progress import shown
from tests.training import tiny


def show(tmp_path, *, terminal):
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160, color_system=None)
    with shown(console, steps=tiny.SETTINGS.steps) as watch:
        tiny.train(tmp_path, watch=watch)
        watch.advance(tiny.SETTINGS.steps, 0.4321)
    return out.getvalue()


def test_terminal_has_a_bar_with_loss_and_speed(tmp_path):
    text = show(tmp_path, terminal=True)
    for word in ("training", "13/13", "loss 0.4321", "steps/s", "step      5  test_accuracy"):
        assert word in text


def test_elsewhere_there_are_only_lines(tmp_path):
    lines = show(tmp_path, terminal=False).splitlines()
    assert [line.split()[:2] for line in lines] == [["step", s] for s in ("5", "10", "13")]
