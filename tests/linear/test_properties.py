"""Properties over drawn problems: what a certificate claims holds when recomputed in NumPy."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxml import Code
from jaxml._numerics import default_tol
from tests import tolerances
from tests.linear.family import FAMILY, code, problem

SHAPES = ((12, 2), (30, 4), (9, 12))  # few, so that examples share compilations


@st.composite
def problems(draw, member):
    """A dtype, features of drawn rank, scale, offset and noise, targets and weights."""
    n, d = draw(st.sampled_from(SHAPES))
    dtype = draw(st.sampled_from(["float32", "float64"]))
    X, y, s = problem(member, n, d, seed=draw(st.integers(0, 50)))
    rank = draw(st.integers(1, d))
    X[:, rank:] = X[:, : d - rank] if d - rank <= rank else X[:, :1]
    X = X * 10.0 ** draw(st.integers(-3, 3)) + draw(st.sampled_from([0.0, 1.0, 100.0]))
    kind = draw(st.sampled_from(["ones", "real", "integer"]))
    if kind == "integer":
        s = np.random.default_rng(n).integers(0, 4, n).astype(float)
        s[: 2 * member.n_classes or 2] = 1.0
    elif kind == "ones":
        s = np.ones(n)
    if not member.n_classes:
        y = y * 10.0 ** draw(st.integers(-3, 3))
    real = {
        name: value * draw(st.sampled_from([0.1, 1.0, 10.0])) for name, value in member.real.items()
    }
    return X.astype(dtype), y if member.n_classes else y.astype(dtype), s.astype(dtype), real


def residual(member, params, X, y, s, *, l1=0.0, l2=0.0):
    """The certificate named in the docstring of the fit, in float64 NumPy.

    Gradients are taken about the column means, as there: moving a column moves the intercept.
    """
    X, s = X.astype(np.float64), s.astype(np.float64)
    w, b = (np.asarray(leaf, np.float64) for leaf in params)
    p, z = s / s.sum(), X @ w + b
    A = X - p @ X
    sd = np.sqrt(p @ A**2)
    sd = np.where(sd <= 8 * np.finfo(np.float64).eps * np.abs(p @ X), np.inf, sd)
    if not member.n_classes:
        q = y - p @ y.astype(np.float64)
        r = z - y
        if not l1:
            sd_y = np.sqrt(p @ q**2)
            return max((np.abs(A.T @ (p * r) + l2 * w) / sd).max(), abs(p @ r)) / sd_y
        r = r - p @ r  # the gap at the best intercept
        J = 0.5 * p @ r**2 + l1 * np.abs(w).sum() + 0.5 * l2 * w @ w
        g = -(A.T @ (p * r)) - l2 * w
        t = min(1.0, l1 / max(np.abs(g).max(), 1e-300))
        dual = -t * p @ (q * r) - 0.5 * t**2 * (p @ r**2 + l2 * w @ w)
        return (J - dual) / (0.5 * p @ q**2)
    k = member.n_classes
    Z = z if k > 2 else np.stack([np.zeros_like(z), z], axis=1)
    top = Z.max(1, keepdims=True)
    log_sum = top[:, 0] + np.log(np.exp(Z - top).sum(1))
    R = np.exp(Z - log_sum[:, None]) - np.eye(k)[y]
    J = p @ (log_sum - Z[np.arange(len(y)), y]) + l1 * np.abs(w).sum() + 0.5 * l2 * (w**2).sum()
    R = R if k > 2 else R[:, 1]
    g_w, g_b = A.T @ (p * R.T).T + l2 * w, p @ R
    if l1:  # how far 0 is from the subdifferential: 0 at a minimizer
        g_w = np.where(w != 0, np.abs(g_w + l1 * np.sign(w)), np.maximum(np.abs(g_w) - l1, 0.0))
    worst = (np.abs(g_w).T / sd).max()
    return max(worst, np.abs(g_b).max()) / max(1.0, abs(J))


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
def test_converged_means_a_small_residual_recomputed_in_numpy(member):
    seen = []

    @given(problems(member))
    def holds(drawn):
        X, y, s, real = drawn
        fit = member.fit(X, y, sample_weight=s, **real)
        seen.append(code(fit))
        assert code(fit) < Code.DEGENERATE
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit.params))
        if code(fit) is not Code.CONVERGED:
            return
        tol = default_tol(X.dtype)
        assert float(fit.info.residual) <= tol
        again = residual(member, fit.params, X, y, s, **real)
        if member.label == "logistic_l1":
            # The certificate is a gap; the gradient beside an optimum is its square root.
            assert again <= 3 * np.sqrt(10 * tol), again
        else:
            assert again <= 10 * tol, again

    holds()
    assert Code.CONVERGED in seen or member.module == "least_squares"


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
def test_weights_rows_and_order(member):
    @given(st.integers(0, 100), st.sampled_from(["float32", "float64"]), st.data())
    def holds(seed, dtype, data):
        n = 24
        X, y, _ = problem(member, n, 3, seed=seed, dtype=dtype)
        s = np.array(data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n)))
        s[: 2 * member.n_classes or 6] = 1
        # Both fits have 72 rows, so that one compilation serves every draw.
        repeated = np.repeat(np.arange(n), s)
        index = np.concatenate([repeated, np.zeros(72 - len(repeated), int)])
        mask = np.concatenate([np.ones(len(repeated)), np.zeros(72 - len(repeated))])
        order = np.random.default_rng(seed).permutation(72)
        one = member.fit(np.tile(X, (3, 1)), np.tile(y, 3), sample_weight=np.tile(s / 3, 3))
        two = member.fit(X[index], y[index], sample_weight=mask)
        three = member.fit(X[index][order], y[index][order], sample_weight=mask[order])
        assert code(one) is code(two) is code(three)
        if code(one) is not Code.CONVERGED:
            return
        tol = tolerances.of(dtype).weights
        for other in (two, three):
            for a, b in zip(
                jax.tree.leaves(other.params), jax.tree.leaves(one.params), strict=True
            ):
                np.testing.assert_allclose(a, b, rtol=0, atol=tol * max(1.0, np.abs(b).max()))

    holds()


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
def test_batches_are_loops_whatever_the_weights(member):
    """Folds are weights: a vmapped fit over masks is the loop over them."""

    @given(st.integers(0, 100))
    def holds(seed):
        X, y, s = problem(member, seed=seed)
        masks = s * (np.random.default_rng(seed).uniform(size=(3, 24)) < 0.8)
        batch = member.vmapped()(np.stack([X] * 3), np.stack([y] * 3), masks)
        for i in range(3):
            one = member.jitted()(X, y, masks[i])
            assert int(batch.info.code[i]) == int(one.info.code)
            for a, b in zip(
                jax.tree.leaves(batch.params), jax.tree.leaves(one.params), strict=True
            ):
                if code(one) < Code.DEGENERATE:
                    np.testing.assert_allclose(a[i], b, rtol=0, atol=1e-9)

    holds()
