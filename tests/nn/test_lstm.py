"""The LSTM against NumPy and PyTorch: values and gradients, by every route, and where it starts."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn import lstm
from tests import tolerances
from tests.nn.lstm_problems import cotangents, paired, problem


def numpy_lstm(params, x, state, lengths=None):
    """One sequence at a time, one unit at a time."""
    W, R, bias = map(np.asarray, params)
    x, (h, c) = np.asarray(x), (np.array(leaf) for leaf in state)
    t, b, _ = x.shape
    n = h.shape[1]
    y = np.zeros((t, b, n))
    for s in range(b):
        for k in range(t if lengths is None else lengths[s]):
            z = x[k, s] @ W + h[s] @ R + bias
            before = c[s].copy()
            for j in range(n):
                i, f, o = (1 / (1 + np.exp(-z[block * n + j])) for block in (0, 1, 3))
                c[s, j] = f * before[j] + i * np.tanh(z[2 * n + j])
                h[s, j] = o * np.tanh(c[s, j])
            y[k, s] = h[s]
    return y, (h, c)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", [None, [5, 0, 2]])
def test_cell_equations(rng, dtype, lengths):
    arrays = problem(rng, dtype=dtype)
    found = lstm.apply(*arrays, lengths=lengths)
    want = numpy_lstm(*arrays, lengths)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(want), strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, atol=4 * tolerances.of(dtype).rounding)


def torch_lstm(arrays, G, lengths):
    """PyTorch's outputs and the gradients of <G, outputs>, as a tree like (params, x, state)."""
    torch = pytest.importorskip(
        "torch", reason="PyTorch, the oracle of this test, is not installed"
    )
    (W, R, bias), x, (h, c) = jax.tree.map(lambda a: torch.tensor(np.asarray(a)), arrays)
    layer = torch.nn.LSTM(x.shape[2], h.shape[1]).to(x.dtype)
    with torch.no_grad():
        layer.weight_ih_l0.copy_(W.T)
        layer.weight_hh_l0.copy_(R.T)
        layer.bias_ih_l0.copy_(0.25 * bias)
        layer.bias_hh_l0.copy_(0.75 * bias)
    for leaf in (x, h, c):
        leaf.requires_grad_()
    if lengths is None:
        y, (h_n, c_n) = layer(x, (h[None], c[None]))
    else:
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x, torch.tensor(lengths), enforce_sorted=False
        )
        y, (h_n, c_n) = layer(packed, (h[None], c[None]))
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=x.shape[0])
    gy, (gh, gc) = jax.tree.map(lambda a: torch.tensor(np.asarray(a)), G)
    ((gy * y).sum() + (gh * h_n[0]).sum() + (gc * c_n[0]).sum()).backward()
    params = layer.weight_ih_l0.grad.T, layer.weight_hh_l0.grad.T, layer.bias_ih_l0.grad
    grads = (params, x.grad, (h.grad, c.grad))
    return jax.tree.map(lambda a: a.detach().numpy(), ((y, (h_n[0], c_n[0])), grads))


@given(
    shape=st.sampled_from([(5, 3, 2, 4), (1, 2, 3, 1), (7, 1, 1, 3)]),
    ragged=st.booleans(),
    seed=st.integers(0, 99),
)
def test_pytorch_agrees(shape, ragged, seed):
    rng = np.random.default_rng(seed)
    t, b, d, h = shape
    arrays, G = problem(rng, t, b, d, h), cotangents(rng, t, b, h)
    lengths = list(map(int, rng.integers(1, t + 1, size=b))) if ragged else None
    out, grads = torch_lstm(arrays, G, lengths)
    kept = None if lengths is None else jnp.asarray(lengths)
    found = lstm.apply(*arrays, lengths=kept)
    ours = jax.grad(lambda arrays: paired(lstm.apply(*arrays, lengths=kept), G))(arrays)
    for a, b in zip(jax.tree.leaves((found, ours)), jax.tree.leaves((out, grads)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_pytorch_agrees_in_float32(rng):
    arrays, G = problem(rng, dtype=np.float32), cotangents(rng)
    G = jax.tree.map(lambda a: a.astype(jnp.float32), G)
    out, grads = torch_lstm(arrays, G, None)
    ours = jax.grad(lambda arrays: paired(lstm.apply(*arrays), G))(arrays)
    found = lstm.apply(*arrays)
    for a, b in zip(jax.tree.leaves((found, ours)), jax.tree.leaves((out, grads)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_state_starts_at_zero(rng):
    params, x, state = problem(rng)
    zero = jax.tree.map(jnp.zeros_like, state)
    chex.assert_trees_all_equal(lstm.apply(params, x), lstm.apply(params, x, zero))


@pytest.mark.parametrize(("dtype", "bound"), [("bfloat16", 5e-2), ("float16", 5e-3)])
def test_sixteen_bits(rng, dtype, bound):
    arrays = problem(rng, dtype=np.float32)
    G = jax.tree.map(lambda a: a.astype(jnp.float32), cotangents(rng))

    def both(arrays):
        gradient = jax.grad(
            lambda arrays: paired(
                jax.tree.map(lambda a: a.astype(jnp.float32), lstm.apply(*arrays)), G
            )
        )
        return lstm.apply(*arrays), gradient(arrays)

    small = both(jax.tree.map(lambda a: a.astype(dtype), arrays))
    for a, b in zip(jax.tree.leaves(small), jax.tree.leaves(both(arrays)), strict=True):
        assert a.dtype == dtype
        assert np.linalg.norm(a.astype(np.float32) - b) <= bound * np.linalg.norm(b)


def test_second_derivatives(rng):
    params, x, state = problem(rng, t=3, b=2, d=1, h=2)
    G = cotangents(rng, 3, 2, 2)
    lengths = jnp.array([3, 2])

    def gradient(R):
        changed = params._replace(recurrent=R)
        return jax.grad(
            lambda p: paired(lstm.apply(p, x, state, lengths=lengths), G)
        )(changed).recurrent  # fmt: skip

    R, V = params.recurrent, jnp.asarray(rng.standard_normal((2, 8)))
    _, exact = jax.jvp(gradient, (R,), (V,))
    e = 1e-5
    np.testing.assert_allclose(
        exact, (gradient(R + e * V) - gradient(R - e * V)) / (2 * e), atol=1e-8
    )


def test_transformations_agree(rng):
    params, x, state = problem(rng, dtype=np.float32)
    lengths = jnp.array([5, 1, 3])
    many = jnp.stack([x, 2 * x])
    want = [lstm.apply(params, one, state, lengths=lengths) for one in many]
    traced = chex.assert_max_traces(
        lambda params, x, state, lengths: lstm.apply(params, x, state, lengths=lengths), n=1
    )
    step = jax.jit(traced)
    atol = tolerances.of("float32").routes
    for one, expected in zip(many, want, strict=True):
        chex.assert_trees_all_close(step(params, one, state, lengths), expected, atol=atol)
    mapped = jax.vmap(lambda x: lstm.apply(params, x, state, lengths=lengths))(many)
    chex.assert_trees_all_close(mapped, jax.tree.map(lambda *a: jnp.stack(a), *want), atol=atol)
    again = lstm.apply(params, x, state, lengths=lengths)
    chex.assert_trees_all_equal(again, want[0])


def test_weight_gradients_are_summed_behind_the_loop(rng):
    params, x, _ = problem(rng, t=4, b=3, d=2, h=5)
    program = jax.make_jaxpr(jax.grad(lambda p: lstm.apply(p, x)[0].sum()))(params)
    carried = [
        var.aval.shape
        for eqn in _equations(program.jaxpr)
        if eqn.primitive.name == "scan"
        for var, inner in zip(eqn.outvars, _open(eqn.params["jaxpr"]).outvars, strict=True)
        if var.aval.shape == inner.aval.shape  # what is stacked has the steps in front
    ]
    assert (3, 5) in carried  # the loops were found
    assert params.recurrent.shape not in carried


def _equations(jaxpr):
    for eqn in jaxpr.eqns:
        yield eqn
        for value in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda v: hasattr(v, "eqns")
        ):
            if hasattr(inner := _open(value), "eqns"):
                yield from _equations(inner)


def _open(jaxpr):
    return getattr(jaxpr, "jaxpr", jaxpr)


def test_init():
    params = lstm.init(key=jax.random.key(3), d=50, n_hidden=40, forget_bias=2.0)
    assert params.kernel.shape == (50, 160)
    assert params.recurrent.shape == (40, 160)
    np.testing.assert_array_equal(params.bias, np.repeat([0.0, 2.0, 0.0, 0.0], 40))
    for leaf, fan in ((params.kernel, 90), (params.recurrent, 80)):
        blocks = np.split(np.asarray(leaf), 4, axis=1)  # Var = 2 / (fan_in + fan_out) per gate
        assert all(abs(block.var() * fan / 2 - 1) < 0.15 for block in blocks)
        assert not np.array_equal(blocks[0], blocks[1])
    assert (
        lstm.init(key=jax.random.key(3), d=1, n_hidden=1, dtype=jnp.bfloat16).bias.dtype
        == "bfloat16"
    )
