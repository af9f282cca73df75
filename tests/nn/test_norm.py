"""Batch and layer normalization: PyTorch's and flax's conventions, theorems, transformations."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml.nn.norm import batch_norm, layer_norm


def drawn(rng, d=3):
    """Parameters and a state that are not the initial ones."""
    params = batch_norm.Params(*(jnp.asarray(rng.uniform(0.5, 2.0, d)) for _ in range(2)))
    return params, batch_norm.State(
        jnp.asarray(rng.standard_normal(d)), jnp.asarray(rng.uniform(0.5, 2, d))
    )


def by_numpy(params, state, x, *, training, momentum, eps, unbiased=True):
    """(y, mean, variance) by NumPy's own moments, in float64."""
    scale, bias, mean, variance = (np.asarray(v, float) for v in (*params, *state))
    x = np.asarray(x, float)
    axes = tuple(range(x.ndim - 1))
    if not training:
        return scale * (x - mean) / np.sqrt(variance + eps) + bias, mean, variance
    mu, v, kept = x.mean(axes), x.var(axes), x.var(axes, ddof=1 if unbiased else 0)
    y = scale * (x - mu) / np.sqrt(v + eps) + bias
    return y, momentum * mean + (1 - momentum) * mu, momentum * variance + (1 - momentum) * kept


SHAPES = st.sampled_from([(6, 3), (2, 3, 2, 3), (4, 5, 3)])


@given(st.integers(0, 2**31 - 1), SHAPES, st.booleans(), st.booleans(), st.floats(0, 1),
       st.floats(1e-6, 1.0))  # fmt: skip
def test_numpy_agrees(seed, shape, training, unbiased, momentum, eps):
    rng = np.random.default_rng(seed)
    params, state = drawn(rng)
    x = 3 + 2 * rng.standard_normal(shape)
    kw = {"training": training, "momentum": momentum, "eps": eps, "unbiased": unbiased}
    y, new = batch_norm.apply(params, state, x, **kw)
    for got, want in zip((y, *new), by_numpy(params, state, x, **kw), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
@given(seed=st.integers(0, 2**31 - 1), shape=SHAPES, training=st.booleans(),
       momentum=st.floats(0.01, 1.0), eps=st.floats(1e-5, 0.1))  # fmt: skip
def test_pytorch_agrees(dtype, seed, shape, training, momentum, eps):
    """Outputs, gradients and running statistics of torch.nn.functional.batch_norm."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    rng = np.random.default_rng(seed)
    params, state = jax.tree.map(lambda v: v.astype(dtype), drawn(rng))
    x, g = (jnp.asarray(rng.standard_normal(shape), dtype) for _ in range(2))

    def first(a):  # channels second
        return torch.tensor(np.moveaxis(np.asarray(a), -1, 1).copy())

    t, scale, bias = (
        first(x).requires_grad_(),
        *(torch.tensor(np.asarray(v)).requires_grad_() for v in params),
    )
    mean, variance = (torch.tensor(np.array(v)) for v in state)
    want = torch.nn.functional.batch_norm(
        t, mean, variance, scale, bias, training=training, momentum=momentum, eps=eps
    )
    want.backward(first(g))

    def ours(params, x):
        return batch_norm.apply(params, state, x, training=training, momentum=1 - momentum, eps=eps)

    y, back, new = jax.vjp(ours, params, x, has_aux=True)
    grads, dx = back(g)
    atol = {jnp.float32: 2e-5, jnp.float64: 1e-12}[dtype]

    def last(a):
        return np.moveaxis(a.detach().numpy(), 1, -1)

    for got, theirs in (
        (y, last(want)), (dx, last(t.grad)), (grads.scale, scale.grad.numpy()),
        (grads.bias, bias.grad.numpy()), (new.mean, mean.numpy()), (new.variance, variance.numpy()),
    ):  # fmt: skip
        assert got.dtype == dtype
        size = max(1.0, float(np.abs(theirs).max()))
        np.testing.assert_allclose(got, theirs, rtol=0, atol=atol * size)


def test_flax_agrees(rng):
    """Flax's decay and its biased variance, carried over three batches."""
    linen = pytest.importorskip("flax.linen", reason="flax is not installed")
    params, state = drawn(rng)
    module = linen.BatchNorm(
        use_running_average=False, momentum=0.97, epsilon=1e-3, use_fast_variance=False
    )
    stats = {"mean": state.mean, "var": state.variance}
    for k in range(3):
        x = jnp.asarray(rng.standard_normal((5, 2, 3)) + k)
        variables = {"params": params._asdict(), "batch_stats": stats}
        want, new = module.apply(variables, x, mutable=["batch_stats"])
        stats = new["batch_stats"]
        y, state = batch_norm.apply(
            params, state, x, training=True, momentum=0.97, eps=1e-3, unbiased=False
        )
        np.testing.assert_allclose(y, want, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(state.mean, stats["mean"], rtol=1e-12)
        np.testing.assert_allclose(state.variance, stats["var"], rtol=1e-12)


@given(st.integers(0, 2**31 - 1))
def test_theorems(seed):
    """sum dx = 0 and sum dx xhat = 0 over a channel; y sees neither shift nor scale of x."""
    rng = np.random.default_rng(seed)
    params, state = drawn(rng)
    x, g = jnp.asarray(rng.standard_normal((6, 3))), jnp.asarray(rng.standard_normal((6, 3)))

    def f(x):
        return batch_norm.apply(params, state, x, training=True, eps=1e-30)[0]

    y, back = jax.vjp(f, x)
    (dx,) = back(g)
    xhat = (y - params.bias[None]) / params.scale[None]
    np.testing.assert_allclose(dx.sum(0), 0, atol=1e-10)
    np.testing.assert_allclose((dx * xhat).sum(0), 0, atol=1e-10)
    np.testing.assert_allclose(f(3.5 * x + 2.0), y, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(y.mean(0), params.bias, atol=1e-12)
    np.testing.assert_allclose(y.std(0), params.scale, rtol=1e-12)


def test_pytorch_layer_norm_agrees(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    params, x, g = drawn(rng)[0], rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 4, 3))
    t, scale, bias = (torch.tensor(np.array(v)).requires_grad_() for v in (x, *params))
    want = torch.nn.functional.layer_norm(t, (3,), scale, bias, eps=1e-3)
    want.backward(torch.tensor(g))
    ours = partial(layer_norm.apply, eps=1e-3)
    y, back = jax.vjp(ours, layer_norm.Params(*params), jnp.asarray(x))
    grads, dx = back(jnp.asarray(g))
    for got, theirs in (
        (y, want.detach()),
        (dx, t.grad),
        (grads.scale, scale.grad),
        (grads.bias, bias.grad),
    ):
        np.testing.assert_allclose(got, theirs.numpy(), rtol=1e-11, atol=1e-12)


def test_epsilon_and_momentum_are_traced(rng):
    """One compilation serves all values, and derivatives in them are those of the formula."""
    params, state = drawn(rng)
    x = jnp.asarray(rng.standard_normal((6, 3)))

    @jax.jit
    def total(eps, momentum):
        y, new = batch_norm.apply(params, state, x, training=True, eps=eps, momentum=momentum)
        z = layer_norm.apply(layer_norm.Params(*params), x, eps=eps)
        return (y**3).sum() + (z**3).sum() + (new.mean * new.variance).sum()

    got = jax.grad(total, (0, 1))(0.1, 0.7)
    for i, h in ((0, jnp.array([1e-5, 0])), (1, jnp.array([0, 1e-5]))):
        up, down = total(0.1 + h[0], 0.7 + h[1]), total(0.1 - h[0], 0.7 - h[1])
        np.testing.assert_allclose(got[i], (up - down) / 2e-5, rtol=1e-7)
    assert total._cache_size() == 1 or total._cache_size() == 2  # Python and array scalars


def test_transformations_agree(rng):
    params, state = drawn(rng)
    x = jnp.asarray(rng.standard_normal((4, 6, 3)))
    f = partial(batch_norm.apply, params, state, training=True)
    plain = [f(row) for row in x]
    many = jax.vmap(f)(x)
    for i, (y, new) in enumerate(plain):
        for got, want in zip(
            (many[0][i], many[1].mean[i], many[1].variance[i]), (y, *new), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    jitted = jax.jit(f)(x[0])
    np.testing.assert_allclose(jitted[0], plain[0][0], rtol=1e-14, atol=1e-14)
    np.testing.assert_array_equal(f(x[0])[0], plain[0][0])
