"""Gradient norms against depth: measured, bounded, and told apart by activation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.analysis.gradient_flow import gradient_norms
from jaxml.nn import activations, initializers


def dense(activation, *, residual=False):
    def layer(theta, h):
        W, b = theta
        out = activation(h @ W + jnp.broadcast_to(b, (h.shape[0], b.size)))
        return h + out if residual else out

    return layer


def stack(key, L, d, initializer=initializers.xavier_normal, dtype=jnp.float32):
    keys = jax.random.split(key, L)
    return [(initializer((d, d), key=k, dtype=dtype), jnp.zeros(d, dtype)) for k in keys]


def total(h):
    return jnp.sum(h**2) / 2


def test_norms_are_those_of_autodiff(key):
    params, layer = stack(key, 3, 4, dtype=jnp.float64), dense(jnp.tanh)
    x = jax.random.normal(jax.random.key(1), (5, 4), jnp.float64)
    flow = gradient_norms([layer] * 3, params, x, loss=total)

    def through(params, x):
        for theta in params:
            x = layer(theta, x)
        return total(x)

    dparams, dx = jax.grad(through, argnums=(0, 1))(params, x)
    np.testing.assert_allclose(jnp.exp(flow.inputs[0]), np.linalg.norm(dx), rtol=1e-12)
    for size, (dW, db) in zip(flow.params, dparams, strict=True):
        want = np.sqrt(np.linalg.norm(dW) ** 2 + np.linalg.norm(db) ** 2)
        np.testing.assert_allclose(jnp.exp(size), want, rtol=1e-12)


def test_sigmoids_vanish_where_relu_and_residual_layers_do_not(key):
    L, d = 10, 32
    x = jax.random.normal(jax.random.key(2), (16, d))
    change = {}
    for name, layer, initializer in (
        ("sigmoid", dense(activations.sigmoid), initializers.xavier_normal),
        ("relu", dense(activations.relu), initializers.he_normal),
        ("residual", dense(activations.sigmoid, residual=True), initializers.xavier_normal),
    ):
        params = stack(key, L, d, initializer)
        flow = gradient_norms([layer] * L, params, x, loss=total)
        change[name] = float(flow.inputs[0] - flow.inputs[-1])
        if name == "sigmoid":
            norms = [np.linalg.norm(np.asarray(W, np.float64), 2) for W, _ in params]
            assert change[name] <= L * np.log(0.25) + np.log(norms).sum() + 1e-3
    assert change["sigmoid"] < -7.5  # a factor below 1e-3 over 10 layers
    assert abs(change["relu"]) < 2.5
    assert change["residual"] > -1.5


def test_depths_at_which_float32_would_underflow(key):
    L, d = 30, 4
    layer = dense(activations.sigmoid)
    weak = [(0.1 * W, b) for W, b in stack(key, L, d)]
    single = gradient_norms([layer] * L, weak, jnp.ones((1, d), jnp.float32), loss=total)
    weak = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), weak)
    double = gradient_norms([layer] * L, weak, jnp.ones((1, d), jnp.float64), loss=total)
    assert single.inputs.dtype == jnp.float32
    assert float(single.inputs[0]) < -110  # e^-104 is below the smallest float32
    np.testing.assert_allclose(single.inputs, double.inputs, rtol=1e-5, atol=1e-4)


def test_a_gradient_of_zero(key):
    layers = [dense(activations.relu), lambda _, h: 0.0 * h]
    params = [stack(key, 1, 3)[0], None]
    flow = gradient_norms(layers, params, jnp.ones((2, 3)), loss=jnp.sum)
    assert flow.inputs.tolist()[:2] == [-np.inf, -np.inf]
    assert flow.params.tolist() == [-np.inf, -np.inf]
    np.testing.assert_allclose(flow.inputs[2], np.log(np.sqrt(6)), rtol=1e-6)


def test_no_layers():
    flow = gradient_norms([], [], jnp.array([3.0, 4.0]), loss=total)
    np.testing.assert_allclose(jnp.exp(flow.inputs), [5.0], rtol=1e-6)
    assert flow.params.shape == (0,)


def test_params_of_another_length():
    with pytest.raises(ValueError, match="expected 2, got 1"):
        gradient_norms([lambda w, h: w * h] * 2, [1.0], jnp.ones(2), loss=jnp.sum)
