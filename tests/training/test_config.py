"""Configurations: the shipped ones, defaults, and every error names its key."""

import tomllib
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pytest

from jaxml import training
from jaxml._table import Range, Table
from jaxml.training import ConfigError, digits, text
from jaxml.training.config import differences

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = """
task = "digits"
[optimizer]
name = "sgd"
learning_rate = 0.1
[train]
steps = 3
batch_size = 8
"""


def load(tmp_path, content):
    path = tmp_path / "config.toml"
    path.write_text(content)
    return training.load(path)


def test_defaults(tmp_path):
    config = load(tmp_path, SMALL)
    assert config.task == "digits"
    assert config.options == digits.Options(digits.Model(), digits.Data())
    assert config.train == training.Settings(steps=3, batch_size=8)
    assert config.optimizer.learning_rate(0) == 0.1


@pytest.mark.parametrize("name", ["train_resnet_digits", "train_transformer_text"])
def test_shipped_configurations_spell_out_every_key(name):
    config = training.load(CONFIGS / f"{name}.toml")
    written = tomllib.loads((CONFIGS / f"{name}.toml").read_text())
    for table, values in config.fingerprint.items():
        if table not in ("task", "optimizer"):
            assert set(written[table]) == set(values), table


def test_fingerprint_holds_defaults_and_tells_what_differs(tmp_path):
    one = load(tmp_path, SMALL).fingerprint
    same = load(tmp_path, SMALL + "seed = 0\n[data]\nshift = 1\n").fingerprint
    assert differences(one, same) == []
    longer = SMALL.replace("steps = 3", "steps = 9\ncheckpoint_every = 2\nevaluate_every = 7")
    assert differences(one, load(tmp_path, longer).fingerprint) == []
    other = SMALL.replace("0.1", "0.2") + "[model]\nwidths = [4]\nblocks = [1]\n"
    assert differences(one, load(tmp_path, other).fingerprint) == [
        "model.widths: [16, 32, 64], not [4]",
        "model.blocks: [1, 1, 1], not [1]",
        "optimizer.learning_rate: 0.1, not 0.2",
    ]
    adam = SMALL.replace('"sgd"', '"adam"\nb1 = 0.8')
    assert differences(one, load(tmp_path, adam).fingerprint) == [
        "optimizer.name: 'sgd', not 'adam'", "optimizer.b1: None, not 0.8",
    ]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "words"), [
    ("steps = 3", "", "train.steps: missing, expected an integer at least 1"),
    ("steps = 3", "steps = 0", "train.steps: expected an integer at least 1, got 0"),
    ("steps = 3", "steps = 3.5", "train.steps: expected an integer at least 1, got 3.5"),
    ("steps = 3", "steps = true", "train.steps: expected an integer at least 1, got True"),
    ("steps = 3", "steps = 3\nstep = 4", "train.step: unknown key, expected one of steps, batch"),
    ("steps = 3", "steps = 3\nclip_norm = 0", "train.clip_norm: expected a number greater than 0"),
    ("steps = 3", "steps = 3\nclip_norm = nan", "train.clip_norm: expected a number greater"),
    ("steps = 3", "steps = 3\nseed = -1", "train.seed: expected an integer at least 0 and at most"),
    ('"digits"', '"cats"', "task: expected one of digits, text, got 'cats'"),
    ('"digits"', "1", "task: expected a string, got 1"),
    ('task = "digits"', "", "task: missing, expected a string"),
    ("[train]", "[trian]", "train.steps: missing"),
    ("[train]", "[data]\nshift = 8\n[train]", "data.shift: expected an integer at least 0 and at"),
    ("[train]", "[model]\nwidths = 16\n[train]",
     "model.widths: expected a list, each entry an integer at least 1, got 16"),
    ("[train]", "[model]\nwidths = []\n[train]", "model.widths: expected a list"),
    ("[train]", "[model]\nwidths = [0]\n[train]", "model.widths: expected a list"),
    ("[train]", "[model]\nkind = 'wide'\n[train]",
     "model.kind: expected one of 'basic', 'bottleneck', got 'wide'"),
    ("[train]", "[model]\npreactivation = 1\n[train]",
     "model.preactivation: expected true or false, got 1"),
    ("[train]", "[sample]\nlength = 3\n[train]", "sample: unknown key, expected one of model"),
    ('task = "digits"', 'task = "digits"\nmodel = 3', "model: expected a table, got 3"),
    ("learning_rate", "rate", "optimizer.rate: unknown key"),
    ("[train]", "[train", "config.toml: "),
])  # fmt: skip
def test_errors_name_file_and_key(tmp_path, old, new, words):
    assert old in SMALL
    with pytest.raises(ConfigError) as error:
        load(tmp_path, SMALL.replace(old, new, 1))
    assert words in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "config.toml"))


def test_no_such_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml"):
        training.load(tmp_path / "none.toml")


@pytest.mark.parametrize(("content", "words"), [
    ("[model]\nblocks = [1, 1]\n", "model.blocks: expected 3 entries, as many as model.widths"),
    ("[train]\nsteps = 3\nbatch_size = 1500\n", "batch_size: expected at most 1437, got 1500"),
])  # fmt: skip
def test_what_does_not_fit_the_digits(tmp_path, content, words):
    base = SMALL if "[train]" not in content else SMALL[: SMALL.index("[train]")]
    with pytest.raises(ConfigError) as error:
        load(tmp_path, base + content).build()
    assert words in str(error.value)


@pytest.mark.parametrize(("content", "words"), [
    ("[model]\nn_heads = 3\n", "model.n_heads: expected a divisor of model.d_model = 128, got 3"),
    ("[sample]\nprompt = ''\n", "sample.prompt: expected characters of the text, got ''"),
    ("[sample]\nprompt = 'aé'\n", "sample.prompt: expected characters of the text, got 'aé'"),
    ("[data]\ncontext = 400000\n", "data.context: expected 382611 characters to hold"),
])  # fmt: skip
def test_what_does_not_fit_the_text(tmp_path, content, words):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, SMALL.replace("digits", "text") + content).build()
    assert words in str(error.value)


class Inner(NamedTuple):
    rate: float = 0.5


class Schema(NamedTuple):
    count: Annotated[int, Range(1, 9)]
    mode: Literal["a", "b"] = "a"
    sizes: tuple[int, ...] = (1,)
    inner: Inner = Inner()


def test_tables_fill_schemas():
    values = {"count": 4, "sizes": [2, 3], "inner": {"rate": 2}}
    filled = Table(values).fill(Schema)
    assert filled == Schema(4, "a", (2, 3), Inner(2.0))
    assert isinstance(filled.inner.rate, float)
    assert values["count"] == 4  # the caller's table is left alone
    with pytest.raises(ConfigError, match=r"inner.speed: unknown key, expected one of rate"):
        Table({"count": 4, "inner": {"speed": 2}}).fill(Schema)
    with pytest.raises(ConfigError, match="count: expected an integer at least 1 and at most 9"):
        Table({"count": 10}).fill(Schema)


def test_text_options_have_a_sample():
    assert text.Options().sample.prompt.startswith("\n\n")
