"""Optimizers and schedules by name: all of optax's, with what their tables may say."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxml import optim, training
from jaxml._table import Table
from jaxml.training import ConfigError, optimizers
from jaxml.training._step import check_drives, initial
from tests.training import tiny


def build(**table):
    return optimizers.build(Table(table, "optimizer"))


def follow(transformation, steps=4):
    """Return where an optimizer goes on f(x) = |x|^2 / 2."""
    x = jnp.array([1.0, -2.0, 0.5])
    state = transformation.init(x)
    for _ in range(steps):
        updates, state = transformation.update(x, state, x)
        x = optax.apply_updates(x, updates)
    return np.asarray(x)


@pytest.mark.parametrize(("table", "direct"), [
    ({"name": "sgd", "learning_rate": 0.1}, optax.sgd(0.1)),
    ({"name": "sgd", "learning_rate": 1, "momentum": 0.8, "nesterov": True},
     optax.sgd(1.0, momentum=0.8, nesterov=True)),
    ({"name": "adamw", "learning_rate": 0.1, "b2": 0.9, "weight_decay": 0.3},
     optax.adamw(0.1, b2=0.9, weight_decay=0.3)),
    ({"name": "adam", "learning_rate": 0.1, "mu_dtype": "float32"},
     optax.adam(0.1, mu_dtype="float32")),
    ({"name": "contrib.prodigy", "learning_rate": 0.5}, optax.contrib.prodigy(0.5)),
    ({"name": "jaxml.momentum", "learning_rate": 0.1, "decay": 0.5},
     optim.momentum(0.1, decay=0.5)),
    ({"name": "jaxml.adam", "learning_rate": 0.1, "b1": 0.5}, optim.adam(0.1, b1=0.5)),
])  # fmt: skip
def test_named_equals_called(table, direct):
    np.testing.assert_array_equal(follow(build(**table).transformation), follow(direct))


def test_all_of_optax_is_known():
    aliases = {
        name
        for name, f in vars(optax).items()
        if inspect.isfunction(f)
        and not name.startswith(("_", "scale_by"))
        and any(p.endswith("learning_rate") for p in inspect.signature(f).parameters)
    }
    assert {"adam", "adamw", "sgd", "lion", "lamb", "lbfgs", "polyak_sgd", "yogi"} <= aliases
    known = set(optimizers.optimizer_names())
    assert aliases <= known
    assert {"contrib.muon", "contrib.schedule_free_adamw", "jaxml.adamw"} <= known


SPECIAL = {"noisy_sgd": {"key": 0}, "polyak_sgd": {"max_learning_rate": 0.1}}


def arguments(name):
    rate = {} if name == "polyak_sgd" else {"learning_rate": 0.01}
    return {**rate, **SPECIAL.get(name, {})}


@pytest.mark.parametrize("name", ["adafactor", "noisy_sgd", "polyak_sgd", "jaxml.momentum"])
def test_the_loop_is_driven_and_resumed(tmp_path, name):
    settings = tiny.SETTINGS._replace(steps=4, log_every=1, evaluate_every=9, checkpoint_every=2)
    optimizer = build(name=name, **arguments(name))
    whole = tiny.train(tmp_path / "whole", settings=settings, optimizer=optimizer)
    start = tiny.task().init(jax.random.split(jax.random.key(settings.seed), 4)[0])[0]
    assert whole.skipped == 0
    assert np.isfinite(whole.params["w"]).all()
    assert not np.array_equal(whole.params["w"], start["w"])
    half = settings._replace(steps=2)
    tiny.train(tmp_path / "half", settings=half, optimizer=optimizer)
    resumed = tiny.train(tmp_path / "half", settings=settings, optimizer=optimizer, resume=True)
    np.testing.assert_array_equal(resumed.params["w"], whole.params["w"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "name", [n for n in optimizers.optimizer_names() if not n.startswith("contrib.")]
)
def test_every_one_of_optax_and_jaxml_fits_the_loop(name):
    chosen = build(name=name, **arguments(name)).transformation
    key = jax.random.key(0)
    check_drives(chosen, jax.eval_shape(lambda: initial(tiny.task(), chosen, key)))


@pytest.mark.parametrize(("table", "direct"), [
    ({"name": "cosine_decay_schedule", "init_value": 0.1, "decay_steps": 10},
     optax.cosine_decay_schedule(0.1, 10)),
    ({"name": "warmup_cosine_decay_schedule", "init_value": 0.0, "peak_value": 0.1,
      "warmup_steps": 3, "decay_steps": 10, "end_value": 0.01},
     optax.warmup_cosine_decay_schedule(0.0, 0.1, 3, 10, 0.01)),
    ({"name": "exponential_decay", "init_value": 0.1, "transition_steps": 2, "decay_rate": 0.5,
      "staircase": True}, optax.exponential_decay(0.1, 2, 0.5, staircase=True)),
    ({"name": "piecewise_constant_schedule", "init_value": 0.1,
      "boundaries_and_scales": {"3": 0.5, "7": 0.1}},
     optax.piecewise_constant_schedule(0.1, {3: 0.5, 7: 0.1})),
])  # fmt: skip
def test_schedules(table, direct):
    built = build(name="sgd", learning_rate=table)
    for step in range(12):
        assert float(built.learning_rate(step)) == float(direct(step))
    np.testing.assert_array_equal(
        follow(built.transformation, steps=8), follow(optax.sgd(direct), steps=8)
    )


def test_any_argument_may_be_a_schedule():
    table = {"name": "linear_schedule", "init_value": 0.5, "end_value": 0.0, "transition_steps": 4}
    built = build(name="adamw", learning_rate=0.1, weight_decay=table)
    direct = optax.adamw(0.1, weight_decay=optax.linear_schedule(0.5, 0.0, 4))
    np.testing.assert_array_equal(follow(built.transformation), follow(direct))
    assert built.learning_rate(3) == 0.1


def test_constant_and_missing_rates():
    assert build(name="sgd", learning_rate=0.25).learning_rate(100) == 0.25
    assert build(name="lbfgs").learning_rate(0) is None


LINEAR = {"name": "linear_schedule", "init_value": 0.1, "end_value": 0.0}


@pytest.mark.parametrize(("table", "words"), [
    ({}, ("optimizer.name: missing, expected a string",)),
    ({"name": 3}, ("optimizer.name: expected a string, got 3",)),
    ({"name": "adamm", "learning_rate": 0.1},
     ("optimizer.name: expected one of", "adamw", "jaxml.adam", "got 'adamm'")),
    ({"name": "scale_by_adam"}, ("optimizer.name: expected one of",)),
    ({"name": "apply_updates"}, ("optimizer.name: expected one of",)),
    ({"name": "adam"}, ("optimizer.learning_rate: missing, adam needs it",)),
    ({"name": "adam", "learning_rate": 0.1, "beta": 0.9},
     ("optimizer.beta: unknown key, expected one of learning_rate, b1, b2",)),
    ({"name": "adam", "learning_rate": 0.1, "b1": "0.9"},
     ("optimizer.b1: expected a number, got '0.9'",)),
    ({"name": "adam", "learning_rate": 0.1, "nesterov": 1},
     ("optimizer.nesterov: expected true or false, got 1",)),
    ({"name": "adam", "learning_rate": "fast"},
     ("optimizer.learning_rate: expected a number or a schedule, got 'fast'",)),
    ({"name": "jaxml.adam", "learning_rate": 0.1, "b1": 1.5},
     ("optimizer: jaxml.adam refuses its arguments: b1 must be in [0, 1)",)),
    ({"name": "adam", "learning_rate": {"init_value": 0.1}},
     ("optimizer.learning_rate.name: missing, expected a string",)),
    ({"name": "adam", "learning_rate": {"name": "cosine", "init_value": 0.1}},
     ("optimizer.learning_rate.name: expected one of", "cosine_decay_schedule", "got 'cosine'")),
    ({"name": "adam", "learning_rate": LINEAR},
     ("optimizer.learning_rate.transition_steps: missing, linear_schedule needs it",)),
    ({"name": "adam", "learning_rate": {**LINEAR, "transition_steps": 9, "power": 2}},
     ("optimizer.learning_rate.power: unknown key",)),
    ({"name": "adam", "learning_rate": {**LINEAR, "transition_steps": "9"}},
     ("optimizer.learning_rate", "linear_schedule refuses its arguments")),
    ({"name": "adam", "learning_rate": {
        "name": "piecewise_constant_schedule", "init_value": 0.1,
        "boundaries_and_scales": {"first": 0.5}}},
     ("learning_rate.boundaries_and_scales: expected steps as keys, got first",)),
])  # fmt: skip
def test_errors_name_the_key(table, words):
    with pytest.raises(ConfigError) as error:
        build(**table)
    for word in words:
        assert word in str(error.value)


def _mean_of_examples(updates, state, params=None):
    return jax.tree.map(lambda g: g.mean(axis=0), updates), state


def _lacks(updates, state, params=None, *, hessian):
    return updates, state


@pytest.mark.parametrize("update", [_mean_of_examples, _lacks])
def test_an_optimizer_that_needs_another_loop_is_refused(tmp_path, update):
    transformation = optax.GradientTransformationExtraArgs(lambda params: (), update)
    optimizer = training.Optimizer(transformation, lambda step: None)
    with pytest.raises(ConfigError, match="optimizer: it cannot drive this loop"):
        tiny.train(tmp_path, optimizer=optimizer)
    assert not (tmp_path / "checkpoint.npz").exists()
