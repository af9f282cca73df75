"""The picture of a run, and what is said where Matplotlib is missing."""

import builtins

import pytest

from jaxml.training import picture
from tests.processes import run

RECORDS = [
    {"step": 0, "task": "text", "unigram_entropy": 3.0, "bigram_entropy": 2.4},
    {"step": 2, "loss": 4.0, "learning_rate": 0.1},
    {"step": 3, "loss": None, "learning_rate": 0.1},
    {"step": 4, "loss": 2.0, "learning_rate": 0.1},
    {"step": 4, "validation_loss": 2.5, "test_accuracy": 0.5},
]


@pytest.mark.parametrize(("suffix", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_picture_is_made(tmp_path, suffix, start):
    picture.draw(RECORDS, tmp_path / f"loss.{suffix}", title="a run")
    made = (tmp_path / f"loss.{suffix}").read_bytes()
    assert made.startswith(start)
    assert len(made) > 2000


def test_picture_shows_what_was_logged(tmp_path, monkeypatch):
    import matplotlib.figure as matplotlib

    drawn = []
    monkeypatch.setattr(matplotlib.Figure, "savefig", lambda self, *a, **k: drawn.append(self))
    picture.draw(RECORDS, tmp_path / "loss.png")
    left, right = drawn[0].axes
    lines = {line.get_label(): line for line in (*left.lines, *right.lines)}
    assert list(lines["training loss"].get_xdata()) == [2, 4]
    assert list(lines["training loss"].get_ydata()) == [4.0, 2.0]
    assert list(lines["validation loss"].get_ydata()) == [2.5]
    assert set(lines["unigram entropy"].get_ydata()) == {3.0}
    assert set(lines["bigram entropy"].get_ydata()) == {2.4}
    assert list(lines["test accuracy"].get_ydata()) == [0.5]


def test_without_matplotlib_the_message_names_the_extra(tmp_path, monkeypatch):
    real = builtins.__import__

    def absent(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ImportError, match=r"pip install 'jaxml\[plot\]'"):
        picture.draw(RECORDS, tmp_path / "loss.png")


def test_matplotlib_is_not_imported_before():
    code = "import sys, jaxml.cli; print([m for m in sys.modules if m.startswith('matplotlib')])"
    assert run(code).strip() == "[]"
