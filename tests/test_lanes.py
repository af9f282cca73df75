"""Forms that differ under vmap give what a loop over the lanes gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml._lanes import any_lane, one_at_a_time, weighted_sums
from jaxml.linear import lasso


def test_lanes_in_turn_are_the_lanes_together(rng):
    def f(tree, w, nothing):
        assert nothing is None
        total = jax.lax.while_loop(lambda t: t < w.sum(), lambda t: t + tree["a"], 0.0)
        return {"total": total, "w": w * tree["b"]}

    once = one_at_a_time(f)
    a, b, w = rng.uniform(0.5, 1, 4), rng.normal(size=3), rng.uniform(1, 2, (4, 2))

    def lanes(f):
        inner = jax.vmap(lambda a, b, w: f({"a": a, "b": b}, w, None), (None, 0, None))
        return jax.jit(jax.vmap(inner, (0, None, 0)))(a, b, w)

    got, want = lanes(once), lanes(f)
    assert got["total"].shape == (4, 3)
    assert got["w"].shape == (4, 3, 2)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name])


def test_any_lane_is_the_largest_weight_of_a_row(rng):
    s = rng.uniform(size=(2, 3, 5))
    np.testing.assert_array_equal(any_lane(s[0, 0]), s[0, 0])
    over_one = jax.vmap(any_lane, out_axes=None)(s[0])
    np.testing.assert_array_equal(over_one, s[0].max(axis=0))
    over_both = jax.vmap(jax.vmap(any_lane, out_axes=None), out_axes=None)(s)
    np.testing.assert_array_equal(over_both, s.max(axis=(0, 1)))


def _lanes(kind, rng, n, lanes):
    base = rng.uniform(0.5, 2.0, n) * (rng.random(n) > 0.2)
    fold = rng.integers(0, lanes + 1, n)  # rows of the last are in every lane
    s = np.where(fold[None, :] == np.arange(lanes)[:, None], 0.0, base)
    if kind == "one row out twice":
        s[:2, np.argmax(base > 0)] = 0.0
    if kind == "other weights":
        s = rng.uniform(size=(lanes, n))
    return s


@pytest.mark.parametrize("kind", ["folds", "one row out twice", "other weights"])
@pytest.mark.parametrize(("n", "lanes"), [(700, 3), (131, 7), (40000, 5), (12, 2)])
def test_weighted_sums_of_lanes(kind, n, lanes, rng):
    X, shift = jnp.asarray(rng.normal(size=(n, 5))), jnp.asarray(rng.normal(size=5))
    s = _lanes(kind, rng, n, lanes)

    def f(s, X, shift):
        A = X - shift[None, :]
        return A.T @ (s[:, None] * A), s.sum()

    got = jax.jit(jax.vmap(lambda s: weighted_sums(f, s, (X,), (shift,))))(s)
    for lane, weight in enumerate(s):
        A = X - shift[None, :]
        np.testing.assert_allclose(got[0][lane], A.T @ (weight[:, None] * A), rtol=1e-10, atol=1e-9)
        np.testing.assert_allclose(got[1][lane], weight.sum(), rtol=1e-12)
    each = jax.vmap(lambda s, X: weighted_sums(f, s, (X,), (shift,)))(s[:2], jnp.stack([X, 2 * X]))
    np.testing.assert_allclose(each[0][0], got[0][0], rtol=1e-10, atol=1e-9)
    nested = jax.vmap(jax.vmap(lambda s: weighted_sums(f, s, (X,), (shift,))))(s[None])
    np.testing.assert_allclose(nested[0][0], got[0], rtol=1e-10, atol=1e-9)


def test_a_fold_may_hold_all_that_a_column_varies_by(rng):
    """What is left of the other rows is exactly nothing, not the rounding of a difference."""
    n = 90
    X, fold = rng.normal(size=(n, 4)), np.arange(n) % 3
    X[:, 2] = np.where(fold == 1, 1e6 * X[:, 2], 1.0)
    y = X[:, 0] + rng.normal(size=n)
    s = (fold[None, :] != np.arange(3)[:, None]).astype(float)
    l1 = np.geomspace(1.0, 0.01, 4)
    path = jax.jit(jax.vmap(lambda s: lasso.path(X, y, l1=l1, sample_weight=s)))(s)
    assert (np.asarray(path.params.coef)[1, :, 2] == 0).all()
    for lane, weight in enumerate(s):
        alone = lasso.path(X, y, l1=l1, sample_weight=weight)
        np.testing.assert_allclose(path.params.coef[lane], alone.params.coef, rtol=0, atol=1e-7)
        one = lasso.fit(X, y, l1=l1[-1], sample_weight=weight)
        np.testing.assert_allclose(path.params.coef[lane, -1], one.params.coef, rtol=0, atol=1e-7)


def test_nan_in_a_row_that_a_fold_leaves_out_shows_as_it_does_alone(rng):
    X, y = rng.normal(size=(60, 3)), rng.normal(size=60)
    X[7, 1] = np.nan
    s = (np.arange(60)[None, :] % 4 != np.arange(4)[:, None]).astype(float)
    l1 = np.array([0.3, 0.03])
    path = jax.jit(jax.vmap(lambda s, X: lasso.path(X, y, l1=l1, sample_weight=s), (0, None)))
    alone = jax.jit(lambda s, X: lasso.path(X, y, l1=l1, sample_weight=s))
    for lane, code in enumerate(np.asarray(path(s, X).info.code)):
        np.testing.assert_array_equal(code, alone(s[lane], X).info.code)
        assert (code == 9).all()
