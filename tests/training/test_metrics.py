"""The log: whole lines at once, finite numbers, and nothing twice."""

import json

import pytest

from jaxml.training.metrics import Log, read


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Log(path) as log:
        for step in range(4):
            log.write(step=step, loss=1.0 / (step + 1))
    return path


def test_each_record_is_there_as_soon_as_it_is_written(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Log(path) as log:
        log.write(step=0, loss=0.5)
        assert [json.loads(line) for line in path.read_text().splitlines()] == [
            {"step": 0, "loss": 0.5}
        ]
        log.write(step=1, loss=0.25)
        assert [record["step"] for record in read(path)] == [0, 1]


def test_not_finite_is_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    with Log(path) as log:
        log.write(step=0, loss=float("nan"), norm=float("-inf"), rate=0.1)
    assert path.read_text() == '{"step": 0, "loss": null, "norm": null, "rate": 0.1}\n'


def test_opened_anew_it_is_empty(path):
    with Log(path) as log:
        log.write(step=9)
    assert read(path) == [{"step": 9}]


def test_continued_after_a_step(path):
    with Log(path, upto=2) as log:
        log.write(step=3, loss=7.0)
    assert [r["step"] for r in read(path)] == [0, 1, 2, 3]
    assert read(path)[3]["loss"] == 7.0
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("cut", [1, 5, 15])
def test_a_line_that_was_cut_off_is_dropped(path, cut):
    path.write_bytes(path.read_bytes()[:-cut])
    assert [r["step"] for r in read(path)] == [0, 1, 2]
    with Log(path, upto=9) as log:
        log.write(step=3)
    assert [r["step"] for r in read(path)] == [0, 1, 2, 3]


def test_continued_where_there_is_none(tmp_path):
    with Log(tmp_path / "metrics.jsonl", upto=5) as log:
        log.write(step=6)
    assert read(tmp_path / "metrics.jsonl") == [{"step": 6}]


@pytest.mark.parametrize("line", ["{", "[1]", '{"loss": 1.0}', "", '{"step": "x"}'])
def test_damage_is_named(path, line):
    lines = path.read_text().splitlines()
    lines[1] = line
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"metrics.jsonl: line 2 is not a record of a step"):
        read(path)
