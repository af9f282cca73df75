"""The LSTM at its edges: padding that may hold anything, nothing to read, saturation, errors."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.nn import lstm
from tests.nn.lstm_problems import B, D, H, T, cotangents, paired, problem


def test_padding_may_hold_anything(rng):
    params, x, state = problem(rng)
    lengths, G = jnp.array([2, 0, 5]), cotangents(rng)
    behind = np.arange(T)[:, None] >= np.asarray(lengths)[None]

    def value_and_gradient(x):
        return jax.value_and_grad(
            lambda params, x, state: paired(lstm.apply(params, x, state, lengths=lengths), G),
            argnums=(0, 1, 2),
        )(params, x, state)

    clean = value_and_gradient(x)
    for junk in (jnp.nan, jnp.inf, 1e30):
        chex.assert_trees_all_equal(
            value_and_gradient(jnp.where(behind[:, :, None], junk, x)), clean
        )
    assert not np.asarray(clean[1][1])[behind].any()
    y, last = lstm.apply(params, x, state, lengths=lengths)
    assert not np.asarray(y)[behind].any()
    np.testing.assert_array_equal(last.cell[1], state.cell[1])
    np.testing.assert_array_equal(last.hidden[1], state.hidden[1])


def test_padded_equals_cut(rng):
    params, x, state = problem(rng)
    y, last = lstm.apply(params, x, state, lengths=[3, 3, 3])
    cut, end = lstm.apply(params, x[:3], state)
    np.testing.assert_array_equal(y[:3], cut)
    chex.assert_trees_all_equal(last, end)


def test_forward_mode_of_padding_that_holds_nan(rng):
    params, x, state = problem(rng)
    lengths = jnp.array([2, 0, 5])
    behind = jnp.arange(T)[:, None] >= lengths[None]
    x = jnp.where(behind[:, :, None], jnp.nan, x)
    primals = params, x, state
    _, out = jax.jvp(
        lambda *a: lstm.apply(*a, lengths=lengths), primals, jax.tree.map(jnp.ones_like, primals)
    )
    chex.assert_tree_all_finite(out)


def test_no_steps(rng):
    params, x, state = problem(rng, t=0)
    y, last = lstm.apply(params, x, state)
    assert y.shape == (0, B, H)
    chex.assert_trees_all_equal(last, state)
    g = jax.grad(lambda params, state: lstm.apply(params, x, state)[1].cell.sum(), argnums=(0, 1))
    dparams, dstate = g(params, state)
    assert not any(np.asarray(leaf).any() for leaf in dparams)
    np.testing.assert_array_equal(dstate.cell, np.ones((B, H)))


def test_no_sequences(rng):
    params, x, state = problem(rng, b=0)
    y, last = lstm.apply(params, x, state, lengths=np.zeros(0, int))
    assert y.shape == (T, 0, H)
    assert last.cell.shape == (0, H)


@pytest.mark.parametrize("size", [30.0, 1e4])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_saturated_gates_have_finite_derivatives(rng, size, dtype):
    params, x, state = problem(rng, dtype=dtype)
    params = jax.tree.map(lambda leaf: size * leaf, params)
    G = jax.tree.map(lambda a: a.astype(dtype), cotangents(rng))
    value, grads = jax.value_and_grad(lambda *a: paired(lstm.apply(*a), G), argnums=(0, 1, 2))(
        params, x, state
    )
    chex.assert_tree_all_finite((value, grads))


def test_traced_lengths_act_as_the_nearest_in_range(rng):
    params, x, state = problem(rng)
    run = jax.jit(lambda lengths: lstm.apply(params, x, state, lengths=lengths))
    chex.assert_trees_all_equal(run(jnp.array([-3, 99, 2])), run(jnp.array([0, T, 2])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x": np.zeros((T, B, D + 1))},
            rf"x must have shape \(t, b, {D}\): got \({T}, {B}, {D + 1}\)",
        ),
        ({"x": np.zeros((T, D))}, "x must have shape"),
        (
            {"state": lstm.State(np.zeros((B, H)), np.zeros((B, H + 1)))},
            "state.cell must have shape",
        ),
        ({"lengths": [1, 2]}, r"lengths must have shape \(3,\), one per sequence: got \(2,\)"),
        ({"lengths": [1, 2, 6]}, r"lengths must lie in 0..5: got 1..6"),
        ({"lengths": [1, -2, 3]}, r"lengths must lie in 0..5: got -2..3"),
    ],
)
def test_what_does_not_fit_is_refused(rng, change, message):
    params, x, state = problem(rng)
    arguments = {"x": x, "state": state, "lengths": None, **change}
    with pytest.raises(ValueError, match=message):
        lstm.apply(params, arguments["x"], arguments["state"], lengths=arguments["lengths"])


def test_other_refusals(rng):
    params, x, _ = problem(rng)
    with pytest.raises(TypeError, match="lengths must hold integers: got dtype float64"):
        lstm.apply(params, x, lengths=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"params\.bias must have shape"):
        lstm.apply(params._replace(bias=jnp.zeros(H)), x)
    with pytest.raises(ValueError, match="n_hidden must be >= 1: got 0"):
        lstm.init(key=jax.random.key(0), d=2, n_hidden=0)
