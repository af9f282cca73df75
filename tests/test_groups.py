"""Sums by group: every form gives what NumPy gives, under vmap and differentiated too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import _groups

K = 3
FORMS = ("kernel", "scatter", "accelerator")


@pytest.fixture(params=FORMS)
def form(request, monkeypatch):
    """Take one form, whatever the version of jaxlib, and whatever the device."""
    monkeypatch.setattr(_groups, "LOOPS_ARE_KERNELS", request.param == "kernel")
    if request.param == "accelerator":
        monkeypatch.setattr(jax.lax, "platform_dependent", lambda *a, default, **_: default(*a))


def _terms(X, s, c):
    A = X - c[None, :]
    return s[:, None], s[:, None] * A * A


def _summed(labels, X, s, c):
    return _groups.sums(_terms, labels, K, X, s, about=(c,))


def _expected(labels, X, s, c):
    groups = [labels == g for g in range(K)]
    squares = s[:, None] * (X - c) ** 2
    return [np.stack([V[g].sum(0) for g in groups]) for V in (s[:, None], squares)]


def _draw(rng, n):
    labels = rng.integers(0, 2, n).astype(np.int32)  # group 2 stays empty
    return labels, rng.normal(size=(n, 4)) + 2.0, rng.uniform(0.0, 2.0, n), rng.normal(size=4)


@pytest.mark.parametrize("n", [1, 7, 4096, 9001])
def test_against_numpy(form, rng, n):
    drawn = _draw(rng, n)
    for got, want in zip(jax.jit(_summed)(*drawn), _expected(*drawn), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-13)


def test_rows_at_hand(form, rng):
    labels, X, *_ = _draw(rng, 50)
    (got,) = _groups.sums(_groups.given, jnp.asarray(labels), K, jnp.asarray(X, jnp.float32))
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, [X[labels == g].sum(0) for g in range(K)], rtol=2e-6)


def test_lanes_and_derivatives(form, rng):
    labels, X, s, c = _draw(rng, 7)
    lanes = np.stack([labels, 1 - labels]), np.stack([s, 2 * s])
    both = jax.vmap(_summed, (0, None, 0, None))(lanes[0], X, lanes[1], c)
    for lane in range(2):
        want = _expected(lanes[0][lane], X, lanes[1][lane], c)
        for got, w in zip(both, want, strict=True):
            np.testing.assert_allclose(got[lane], w, rtol=1e-13)

    def squares(X, s, c):
        return jnp.sum(_summed(labels, X, s, c)[1])

    dX, ds, dc = jax.grad(squares, (0, 1, 2))(X, s, c)
    np.testing.assert_allclose(dX, 2 * s[:, None] * (X - c), rtol=1e-13)
    np.testing.assert_allclose(ds, ((X - c) ** 2).sum(1), rtol=1e-13)
    np.testing.assert_allclose(dc, -2 * (s[:, None] * (X - c)).sum(0), rtol=1e-13)
