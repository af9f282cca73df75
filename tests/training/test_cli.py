"""``jaxml train``: a minute's configuration end to end, exit codes and messages."""

import builtins
import contextlib
import io
import json
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from jaxml import cli, training
from tests import processes

DIGITS = """
task = "digits"
[model]
widths = [4]
blocks = [1]
[optimizer]
name = "adam"
learning_rate = 0.01
[train]
steps = 6
batch_size = 16
log_every = 2
evaluate_every = 4
checkpoint_every = 4
"""
TEXT = """
task = "text"
[model]
d_model = 8
n_heads = 2
n_layers = 1
d_hidden = 16
[data]
context = 16
validation_size = 0.01
[sample]
prompt = "MAN, n.  "
length = 10
[optimizer]
name = "jaxml.adamw"
[optimizer.learning_rate]
name = "linear_schedule"
init_value = 0.01
end_value = 0.0
transition_steps = 4
[train]
steps = 4
batch_size = 4
log_every = 2
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "quick.toml"
    path.write_text(DIGITS)
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run of the digits and what it printed."""
    folder, out = tmp_path_factory.mktemp("first"), io.StringIO()
    (folder / "quick.toml").write_text(DIGITS)
    with contextlib.redirect_stdout(out):
        code = cli.main(["train", str(folder / "quick.toml"), "--out", str(folder / "run")])
    assert code == 0
    return folder / "run", out.getvalue()


@pytest.fixture
def run(tmp_path, first):
    """A copy of that run."""
    return shutil.copytree(first[0], tmp_path / "run")


def test_digits_end_to_end(first):
    folder, out = first
    for word in ("1437 training rows, 360 test rows", "parameters", "step      4", "test_accuracy",
                 "6 steps", "written to"):  # fmt: skip
        assert word in out
    records = training.metrics.read(folder / "metrics.jsonl")
    assert [r["step"] for r in records if "loss" in r] == [2, 4, 6]
    assert [r["step"] for r in records if "test_accuracy" in r] == [4, 6]
    assert {p.name for p in folder.iterdir()} >= {"checkpoint.npz", "metrics.jsonl"}


def test_text_end_to_end(capsys, tmp_path):
    path, run = tmp_path / "words.toml", tmp_path / "run"
    path.write_text(TEXT)
    assert cli.main(["train", str(path), "--out", str(run)]) == 0
    out = capsys.readouterr().out
    assert "entropy in nats per character: unigram 3.0936, bigram 2.4888" in out
    assert "validation_loss" in out
    sample = (run / "sample.txt").read_text()
    assert sample.startswith("MAN, n.  ")
    assert len(sample) == len("MAN, n.  ") + 10
    first = json.loads((run / "metrics.jsonl").read_text().splitlines()[0])
    assert first["task"] == "text"
    assert first["bigram_entropy"] < first["unigram_entropy"]


def test_picture_or_why_not(capsys, run, config, monkeypatch):
    assert (run / "loss.png").read_bytes().startswith(b"\x89PNG")
    (run / "loss.png").unlink()
    real = builtins.__import__

    def absent(name, *arguments, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", absent)
    assert cli.main(["train", str(config), "--out", str(run), "--resume"]) == 0
    assert "pip install 'jaxml[plot]'" in capsys.readouterr().out
    assert not (run / "loss.png").exists()


def test_existing_run(capsys, run, config):
    arguments = ["train", str(config), "--out", str(run)]
    before = (run / "checkpoint.npz").read_bytes()
    assert cli.main(arguments) == 2
    assert "--resume" in capsys.readouterr().err
    assert (run / "checkpoint.npz").read_bytes() == before
    config.write_text(DIGITS.replace("steps = 6", "steps = 5"))
    assert cli.main([*arguments, "--overwrite"]) == 0
    assert (run / "checkpoint.npz").read_bytes() != before
    with pytest.raises(SystemExit) as misuse:
        cli.main([*arguments, "--resume", "--overwrite"])
    assert misuse.value.code == 2


@pytest.mark.parametrize(("old", "new", "word"), [
    ("steps = 6", "steps = 0", "train.steps: expected an integer at least 1, got 0"),
    ("widths = [4]", "width = 4", "model.width: unknown key"),
    ('"adam"', '"adan2"', "optimizer.name: expected one of"),
    ("blocks = [1]", "blocks = [1, 2]", "model.blocks: expected 1 entries"),
])  # fmt: skip
def test_bad_configuration(capsys, tmp_path, config, old, new, word):
    config.write_text(DIGITS.replace(old, new))
    assert cli.main(["train", str(config), "--out", str(tmp_path / "run")]) == 2
    assert word in capsys.readouterr().err


def test_truncated_checkpoint(capsys, run, config):
    path = run / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:500])
    assert cli.main(["train", str(config), "--out", str(run), "--resume"]) == 2
    error = capsys.readouterr().err
    assert str(path) in error
    assert "truncated or not a checkpoint" in error


@pytest.mark.parametrize(("old", "new", "word"), [
    ("0.01", "0.02", "optimizer.learning_rate: 0.01, not 0.02"),
    ("[4]", "[6]", "model.widths: [4], not [6]"),
    ('"adam"', '"adamw"', "optimizer.name: 'adam', not 'adamw'"),
])  # fmt: skip
def test_another_configuration(capsys, run, config, old, new, word):
    config.write_text(DIGITS.replace(old, new))
    assert cli.main(["train", str(config), "--out", str(run), "--resume"]) == 2
    assert word in capsys.readouterr().err


def test_a_run_that_cannot_go_on_fails(capsys, tmp_path, config, monkeypatch):
    def fail(*arguments, **options):
        raise training.TrainingError("step 9: 3 steps in a row were not finite")

    monkeypatch.setattr(training, "run", fail)
    assert cli.main(["train", str(config), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "jaxml: step 9: 3 steps in a row were not finite\n"


def test_interrupt_ends_with_a_checkpoint(tmp_path, config):
    config.write_text(DIGITS.replace("steps = 6", "steps = 100000"))
    child = subprocess.Popen(
        [sys.executable, "-m", "jaxml", "train", str(config), "--out", str(tmp_path / "run")],
        env=processes.environment(), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    log, limit = tmp_path / "run" / "metrics.jsonl", time.monotonic() + 120
    while not (log.exists() and log.read_bytes().count(b"\n") > 4):
        assert time.monotonic() < limit
        assert child.poll() is None
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=120)
    assert child.returncode == 130
    step = int(out.split("stopped after step ")[1].split(";")[0])
    with np.load(tmp_path / "run" / "checkpoint.npz") as file:
        assert json.loads(file["about"].tobytes())["step"] == step
