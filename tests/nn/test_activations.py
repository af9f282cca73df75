"""Activations and softmax: against mpmath, SciPy and PyTorch, with masks and at extreme scores."""

from functools import partial

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxml.nn import activations

POINTS = np.array([-700.0, -40.0, -9.0, -1.3, -1e-8, 0.0, 0.4, 3.0, 40.0, 700.0])
EXACT = {
    "sigmoid": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
}


def exact(name, order=0):
    """The function, or its derivative, at the points, with 50 digits."""
    with mpmath.workdps(50):
        f = EXACT[name]
        if order:
            return [float(mpmath.diff(f, mpmath.mpf(z))) if z else None for z in POINTS]
        return [float(f(mpmath.mpf(z))) for z in POINTS]


@pytest.mark.parametrize("name", EXACT)
def test_values(name):
    got = np.asarray(getattr(activations, name)(POINTS))
    # The digits of the tails are kept: each entry relative to itself.
    np.testing.assert_allclose(got, exact(name), rtol=2e-14, atol=1e-300)


@pytest.mark.parametrize("name", EXACT)
def test_derivatives(name):
    slope = jax.vmap(jax.grad(getattr(activations, name)))
    want = exact(name, 1)
    want[5] = {"sigmoid": 0.25, "tanh": 1.0, "relu": 0.0, "gelu": 0.5}[name]
    rtol = {"tanh": 1e-7}.get(name, 1e-12)  # 1 - tanh^2 loses the digits that 1 - tanh has lost
    np.testing.assert_allclose(slope(jnp.asarray(POINTS)), want, rtol=rtol, atol=1e-15)


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
def test_dtypes_and_largest_numbers(name, dtype):
    f = getattr(activations, name)
    top = float(jnp.finfo(dtype).max)
    z = jnp.array([-top, -1.5, 0.0, 1.5, top], dtype)
    y, slope = f(z), jax.vmap(jax.grad(f))(z)
    assert y.dtype == slope.dtype == dtype
    assert np.isfinite(np.asarray(y, float)).all()
    assert np.isfinite(np.asarray(slope, float)).all()
    want = np.asarray(f(np.asarray(z, np.float64)))
    np.testing.assert_allclose(np.asarray(y, float), want, rtol=4 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_approximate_gelu(dtype):
    gelu = partial(activations.gelu, approximate=True)
    z = np.linspace(-6, 6, 301).astype(dtype)
    want = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
    np.testing.assert_allclose(gelu(z), want, rtol=0, atol=8 * np.finfo(dtype).eps)
    assert np.abs(gelu(z) - activations.gelu(z)).max() < 5e-4
    far = jnp.array([-1e30, -50.0, 50.0, 1e30], dtype)
    np.testing.assert_array_equal(gelu(far), np.maximum(far, 0))
    np.testing.assert_array_equal(jax.vmap(jax.grad(gelu))(far), [0, 0, 1, 1])


def test_integers_become_floats_and_words_are_refused():
    assert activations.relu([-1, 2]).dtype == jnp.float64
    with pytest.raises(TypeError, match="real numbers"):
        activations.relu(np.array(["a"]))
    assert np.isnan(activations.relu(jnp.nan))


SCORES = hnp.arrays(np.float64, (3, 4), elements=st.floats(-700, 700))
MASKS = hnp.arrays(bool, (3, 4))


@given(SCORES, MASKS, st.sampled_from([0, 1, -1, (0, 1)]))
def test_softmax_is_the_softmax_of_what_takes_part(z, where, axis):
    got = np.asarray(activations.softmax(z, axis=axis, where=where))
    logs = np.asarray(activations.log_softmax(z, axis=axis, where=where))
    total = np.asarray(activations.logsumexp(z, axis=axis, where=where))
    cut = np.where(where, z, -np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        lse = scipy.special.logsumexp(cut, axis=axis, keepdims=True)
        want = np.where(where, np.exp(cut - lse), 0.0)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-300)
    np.testing.assert_allclose(np.where(where, logs, 0), np.where(where, z - lse, 0), atol=1e-12)
    np.testing.assert_array_equal(np.isneginf(logs), ~where)
    np.testing.assert_allclose(total, np.squeeze(lse, axis), rtol=1e-12, atol=1e-12)
    sums = got.sum(axis=axis)
    np.testing.assert_allclose(sums, np.where(where.any(axis=axis), 1.0, 0.0), rtol=1e-12)


@given(SCORES, MASKS)
def test_no_gradient_passes_what_is_left_out(z, where):
    broken = jnp.where(where, z, jnp.nan)
    for f in (activations.softmax, activations.log_softmax, activations.logsumexp):
        y, back = jax.vjp(lambda z, f=f: f(z, where=where), broken)
        g = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
        (dz,) = back(g)
        assert np.isfinite(dz).all()
        np.testing.assert_array_equal(np.where(where, 0, dz), 0)
        if f is not activations.log_softmax:
            (along,) = jax.vjp(lambda z, f=f: f(z, where=where), jnp.where(where, z, 0.0))[1](g)
            np.testing.assert_array_equal(dz, along)


def test_scores_at_the_ends():
    """Rows of RELIABILITY 2.13."""
    for dtype in (jnp.float32, jnp.float64):
        np.testing.assert_array_equal(activations.softmax(jnp.array([1e30, 0], dtype)), [1, 0])
        both = jnp.full(2, -jnp.inf, dtype)
        assert activations.logsumexp(both) == -jnp.inf
        np.testing.assert_array_equal(jax.grad(activations.logsumexp)(both), [0, 0])
        np.testing.assert_array_equal(activations.softmax(both), [0, 0])
        np.testing.assert_array_equal(jax.jacrev(activations.softmax)(both), np.zeros((2, 2)))
        top = jnp.finfo(dtype).max
        np.testing.assert_array_equal(activations.softmax(jnp.array([top, -top])), [1, 0])
        masked = jnp.array([True, True, False])
        at = jnp.array([1.0, 2.0, 1e4], dtype)
        gradient = jax.grad(lambda z: activations.softmax(z, where=masked)[0])(at)
        s = 1 / (1 + np.e)
        np.testing.assert_allclose(gradient, [s * (1 - s), -s * (1 - s), 0], rtol=1e-6)
    assert np.isnan(activations.softmax(jnp.array([jnp.inf, 0.0]))).all()
    assert np.isnan(activations.softmax(jnp.array([jnp.nan, 0.0]))).all()
    assert activations.softmax(jnp.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_softmax_of_16_bits_is_rounded_once(dtype, rng):
    z = jnp.asarray(3 * rng.standard_normal((5, 300)), dtype)
    for f in (activations.softmax, activations.log_softmax):
        got = f(z)
        assert got.dtype == dtype
        np.testing.assert_array_equal(got, f(z.astype(jnp.float32)).astype(dtype))


def test_softmax_refuses():
    z = jnp.zeros((2, 3))
    with pytest.raises(TypeError, match="booleans: got dtype int"):
        activations.softmax(z, where=jnp.ones((2, 3), int))
    with pytest.raises(ValueError, match=r"shape of z, \(2, 3\): got \(2,\)"):
        activations.softmax(z, where=jnp.ones(2, bool))
    with pytest.raises(ValueError, match=r"\(2, 3\): got \(4, 2, 3\)"):
        activations.softmax(z, where=jnp.ones((4, 2, 3), bool))
    with pytest.raises(ValueError, match=r"axis must lie in -2\.\.1 for 2 axes: got 2"):
        activations.softmax(z, axis=2)


def test_transformations_agree(rng):
    z, where = jnp.asarray(rng.standard_normal((4, 5))), jnp.asarray(rng.random((4, 5)) > 0.3)
    for f in (activations.softmax, activations.log_softmax, activations.logsumexp):
        plain = f(z, where=where)
        np.testing.assert_array_equal(jax.jit(lambda z, w, f=f: f(z, where=w))(z, where), plain)
        np.testing.assert_allclose(
            jax.vmap(lambda z, w, f=f: f(z, where=w))(z, where), plain, rtol=1e-14
        )
        np.testing.assert_array_equal(f(z, where=where), plain)


def test_pytorch_agrees(rng):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    F = torch.nn.functional
    z = rng.standard_normal((4, 6))
    pairs = [
        (activations.sigmoid, torch.sigmoid), (activations.tanh, torch.tanh),
        (activations.relu, F.relu), (activations.gelu, F.gelu),
        (partial(activations.gelu, approximate=True), partial(F.gelu, approximate="tanh")),
        (activations.softmax, partial(F.softmax, dim=-1)),
        (activations.log_softmax, partial(F.log_softmax, dim=-1)),
        (activations.logsumexp, partial(torch.logsumexp, dim=-1)),
    ]  # fmt: skip
    for ours, theirs in pairs:
        t = torch.tensor(z, requires_grad=True)
        want = theirs(t)
        g = rng.standard_normal(want.shape)
        want.backward(torch.tensor(g))
        y, back = jax.vjp(ours, jnp.asarray(z))
        np.testing.assert_allclose(y, want.detach().numpy(), rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(back(jnp.asarray(g))[0], t.grad.numpy(), rtol=1e-11, atol=1e-12)
