"""The optimizers as steps: against optax, against the equations, at awkward gradients."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxml import optim

SCHEDULE = optax.exponential_decay(0.1, 5, 0.7)
PAIRS = {
    "gradient_descent": (optim.gradient_descent(0.1), optax.sgd(0.1)),
    "gradient_descent, schedule": (optim.gradient_descent(SCHEDULE), optax.sgd(SCHEDULE)),
    "momentum": (optim.momentum(0.05), optax.sgd(0.05, 0.9)),
    "momentum, schedule": (optim.momentum(SCHEDULE, 0.7), optax.sgd(SCHEDULE, 0.7)),
    "nesterov": (optim.momentum(0.05, 0.8, True), optax.sgd(0.05, 0.8, True)),
    "adam": (optim.adam(0.1), optax.adam(0.1)),
    "adam, all": (optim.adam(SCHEDULE, 0.7, 0.95, 1e-3), optax.adam(SCHEDULE, 0.7, 0.95, 1e-3)),
    "adamw": (optim.adamw(0.1), optax.adamw(0.1)),
    "adamw, all": (
        optim.adamw(SCHEDULE, 0.7, 0.95, 1e-3, 0.2),
        optax.adamw(SCHEDULE, 0.7, 0.95, 1e-3, weight_decay=0.2),
    ),
}
OURS = [name for name in PAIRS if "," not in name]


def _loss(params):
    a, b = params["a"], params["b"]
    A = jnp.array([[3.0, 1.0], [1.0, 0.5]], a.dtype)
    return 0.5 * a @ A @ a + jnp.sum(jnp.cos(b)) * a[0]


def _start(dtype):
    return {"a": jnp.array([1.0, -2.0], dtype), "b": jnp.arange(4, dtype=dtype).reshape(2, 2)}


def _path(optimizer, params, steps=40):
    def step(carry, _):
        params, state = carry
        updates, state = optimizer.update(jax.grad(_loss)(params), state, params)
        params = optax.apply_updates(params, updates)
        return (params, state), params

    return jax.lax.scan(step, (params, optimizer.init(params)), None, length=steps)[1]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", PAIRS)
def test_trajectories_equal_those_of_optax(name, dtype):
    ours, theirs = (_path(optimizer, _start(dtype)) for optimizer in PAIRS[name])
    chex.assert_trees_all_equal_dtypes(ours, theirs, _start(dtype))
    chex.assert_trees_all_close(ours, theirs, rtol=0, atol=1e-13 if dtype == "float64" else 2e-6)
    assert float(jnp.abs(ours["a"][-1] - ours["a"][0]).max()) > 0.1


def test_bfloat16_stays_bfloat16_and_finite():
    params = _start("bfloat16")
    for name in OURS:
        path = _path(PAIRS[name][0], params, steps=3)
        chex.assert_trees_all_equal_dtypes(path, params)
        chex.assert_tree_all_finite(path)


def test_adam_by_hand():
    # Two steps on g = 3, then g = -1, written out.
    lr, b1, b2, eps = 0.1, 0.6, 0.9, 1e-3
    optimizer = optim.adam(lr, b1, b2, eps)
    state = optimizer.init(jnp.zeros(1))
    first, state = optimizer.update(jnp.array([3.0]), state)
    second, state = optimizer.update(jnp.array([-1.0]), state)
    m = (b1 * 0.4 * 3.0 - 0.4 * 1.0) / (1 - b1**2)
    v = (b2 * 0.1 * 9.0 + 0.1 * 1.0) / (1 - b2**2)
    np.testing.assert_allclose(first, -lr * 3.0 / (3.0 + eps), rtol=1e-14)
    np.testing.assert_allclose(second, -lr * m / (np.sqrt(v) + eps), rtol=1e-12)
    assert int(state.applied) == 2


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("name", OURS)
def test_a_non_finite_gradient_is_skipped_and_counted(name, bad):
    optimizer, params = PAIRS[name][0], _start("float64")
    state = optimizer.init(params)
    good = jax.grad(_loss)(params)
    spoiled = {"a": good["a"].at[0].set(bad), "b": good["b"]}
    updates, after = optimizer.update(spoiled, state, params)
    chex.assert_trees_all_equal(updates, jax.tree.map(jnp.zeros_like, params))
    chex.assert_trees_all_equal(after, state._replace(skipped=jnp.int32(1)))
    chex.assert_trees_all_equal(
        optimizer.update(good, after, params)[0], optimizer.update(good, state, params)[0]
    )


@pytest.mark.parametrize("make", [optim.gradient_descent, optim.momentum, optim.adam, optim.adamw])
def test_the_learning_rate_is_traced(make):
    rates = jnp.array([0.01, 0.1, 0.3])
    batch = jax.jit(jax.vmap(lambda lr: _path(make(lr), _start("float64"), 5)["a"]))(rates)
    for lr, path in zip(rates, batch, strict=True):
        chex.assert_trees_all_close(path, _path(make(float(lr)), _start("float64"), 5)["a"])
    slope = jax.grad(
        lambda lr: _loss(jax.tree.map(lambda p: p[-1], _path(make(lr), _start("float64"), 5)))
    )
    assert np.isfinite(slope(0.1))


def test_adamw_is_not_adam_with_a_penalty():
    theta, g = jnp.array([2.0, -1.0]), jnp.array([0.5, 3.0])
    lr, decay, eps = 0.1, 0.4, 1e-8
    decoupled = optim.adamw(lr, eps=eps, weight_decay=decay)
    coupled = optim.adam(lr, eps=eps)
    one, _ = decoupled.update(g, decoupled.init(theta), theta)
    two, _ = coupled.update(g + decay * theta, coupled.init(theta), theta)
    np.testing.assert_allclose(one, -lr * np.sign(g) - lr * decay * theta, rtol=1e-6)
    np.testing.assert_allclose(two, -lr * np.sign(g + decay * theta), rtol=1e-6)
    assert float(jnp.abs(one - two).min()) > 0.01


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (partial(optim.gradient_descent, -0.1), "learning_rate must be >= 0"),
        (partial(optim.gradient_descent, float("nan")), "learning_rate"),
        (partial(optim.momentum, 0.1, 1.0), r"decay must be in \[0, 1\)"),
        (partial(optim.adam, 0.1, b1=1.0), r"b1 must be in \[0, 1\)"),
        (partial(optim.adam, 0.1, b2=-0.5), "b2 must be >= 0"),
        (partial(optim.adam, 0.1, eps=-1.0), "eps must be >= 0"),
        (partial(optim.adamw, 0.1, weight_decay=-1.0), "weight_decay must be >= 0"),
    ],
)
def test_hyperparameters_outside_their_interval(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_adamw_needs_params():
    optimizer = optim.adamw(0.1)
    with pytest.raises(ValueError, match="expected update"):
        optimizer.update(jnp.ones(2), optimizer.init(jnp.ones(2)))
