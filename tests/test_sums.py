"""Sums over rows, in blocks and in levels, and moments of data far from 0."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxml import _sums


def _lre(got, want):
    """Digits that agree: -log10 of the relative error, at most 15."""
    error = abs(mpmath.mpf(float(got)) - want) / abs(want)
    return 15.0 if error < 1e-15 else float(-mpmath.log10(error))


@pytest.mark.parametrize("n", [1, 2, 47, 48, 97, 4095, 4097, 12289, 48 * 86, 48 * 171 + 48])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sum_over_rows_is_the_sum(n, dtype, rng):
    X = rng.integers(-8, 9, (n, 3)).astype(dtype)  # small integers: any order gives the same sum
    s = rng.integers(0, 5, n).astype(dtype)

    def f(X, s):
        return {"gram": X.T @ (s[:, None] * X), "first": s @ X, "mass": s.sum()}

    got = jax.jit(lambda X, s: _sums.sum_over_rows(f, X, s))(X, s)
    for name, want in f(X.astype(np.float64), s.astype(np.float64)).items():
        assert got[name].dtype == dtype
        np.testing.assert_array_equal(got[name], want)


def test_sum_over_rows_has_derivatives_and_batches(rng):
    X = rng.normal(size=(9000, 2))
    w = jnp.array([0.3, -0.7])

    def f(w, X):
        return _sums.sum_over_rows(lambda X: jnp.sum(jnp.sin(X @ w)), X)

    want = np.cos(X @ w) @ X
    np.testing.assert_allclose(jax.jit(jax.grad(f))(w, X), want, rtol=1e-11)
    np.testing.assert_allclose(jax.jit(jax.jacfwd(f))(w, X), want, rtol=1e-11)
    W = jnp.stack([w, 2 * w])
    batched = jax.jit(jax.vmap(f, (0, None)))(W, X)
    np.testing.assert_allclose(batched, [np.sin(X @ w).sum() for w in np.asarray(W)], rtol=1e-11)


@pytest.mark.parametrize("n", [1, 3, 64, 1001, 65536, 99991])
def test_total_of_a_long_float32_column(n):
    values = np.full(n, 0.1, np.float32)
    got = float(jax.jit(_sums.total)(values))
    want = float(values.astype(np.float64).sum())
    assert abs(got - want) <= 4e-7 * np.sqrt(max(n / 64, 1)) * want


def _alternating(first, low, high, pairs):
    return [first] + [low, high] * pairs


# NIST StRD univariate sets that a formula generates: name, data, mean, standard deviation (n - 1),
# and the digits required of the float64 answer.
NUMACC = [
    ("numacc1", ["10000001", "10000003", "10000002"], "10000002", "1", 14),
    ("numacc2", _alternating("1.2", "1.1", "1.3", 500), "1.2", "0.1", 14),
    ("numacc3", _alternating("1000000.2", "1000000.1", "1000000.3", 500), "1000000.2", "0.1", 8),
    (
        "numacc4",
        _alternating("10000000.2", "10000000.1", "10000000.3", 500),
        "10000000.2",
        "0.1",
        8,
    ),
]


@pytest.mark.parametrize(("name", "data", "mean", "std", "digits"), NUMACC)
def test_moments_of_the_nist_sets(name, data, mean, std, digits):
    del name
    x = np.array([float(v) for v in data])
    n = len(x)
    got_m, got_s = _sums.moments(jnp.asarray(x)[:, None], jnp.full(n, 1 / n))
    with mpmath.workdps(50):
        exact = [mpmath.mpf(v) for v in data]
        m = mpmath.fsum(exact) / n
        s = mpmath.sqrt(mpmath.fsum((v - m) ** 2 for v in exact) / (n - 1))
        assert mpmath.almosteq(m, mpmath.mpf(mean), 1e-40)
        assert mpmath.almosteq(s, mpmath.mpf(std), 1e-40)
        assert _lre(got_m[0], m) >= 14.5
        assert _lre(got_s[0] * np.sqrt(n / (n - 1)), s) >= digits


@pytest.mark.parametrize(
    ("dtype", "offset", "rtol"), [("float32", 1e4, 1e-4), ("float64", 1e8, 1e-7)]
)
def test_moments_of_offset_data_are_those_of_the_rounded_data(dtype, offset, rtol, rng):
    X = (offset + rng.normal(size=(500, 3))).astype(dtype)
    p = rng.uniform(0.5, 1.5, 500)
    p = (p / p.sum()).astype(dtype)
    with mpmath.workdps(40):
        total = mpmath.fsum(map(float, p))
        for j in range(3):
            x = [mpmath.mpf(float(v)) for v in X[:, j]]
            m = mpmath.fsum(float(q) * v for q, v in zip(p, x, strict=True)) / total
            v = mpmath.fsum(float(q) * (v - m) ** 2 for q, v in zip(p, x, strict=True)) / total
            mean, std = _sums.moments(jnp.asarray(X), jnp.asarray(p))
            assert mean.dtype == std.dtype == dtype
            assert abs(float(mean[j]) - float(m)) <= 2 * np.finfo(dtype).eps * offset
            assert abs(float(std[j]) / float(mpmath.sqrt(v)) - 1) <= rtol


def test_moments_ignore_rows_of_weight_zero(rng):
    X = rng.normal(size=(50, 2))
    bad = np.concatenate([np.full((1, 2), 1e12), X])
    p = np.concatenate([[0.0], np.full(50, 1 / 50)])
    mean, std = _sums.moments(jnp.asarray(bad), jnp.asarray(p))
    np.testing.assert_allclose(mean, X.mean(0), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(std, X.std(0), rtol=1e-10)


def test_weighted_mean(rng):
    v, s = rng.normal(size=101), rng.uniform(size=101)
    np.testing.assert_allclose(_sums.weighted_mean(v, None), v.mean(), rtol=1e-13)
    np.testing.assert_allclose(_sums.weighted_mean(v, s), (s * v).sum() / s.sum(), rtol=1e-13)
    v[3], s[3] = np.inf, 0.0  # a removed row
    want = (s[s > 0] * v[s > 0]).sum() / s.sum()
    np.testing.assert_allclose(_sums.weighted_mean(jnp.asarray(v), jnp.asarray(s)), want)


@pytest.mark.parametrize("n", [2**17, 2**17 + 3])
def test_a_share_of_the_blocks_is_spread_over_the_rows(n):
    """A quarter of the rows, from all parts of them."""
    rows = np.arange(n, dtype=np.float64)

    def sums(rows, X):
        return {"rows": jnp.sum(rows), "count": jnp.float64(rows.shape[0])}

    X = np.zeros((n, 31))
    run = jax.jit(lambda share: _sums.sum_over_rows(sums, rows, X, share=share))
    whole, part = run(1.0), run(0.25)
    assert float(whole["rows"]) == rows.sum()
    if jax.default_backend() == "cpu":
        assert 0.2 * n < float(part["count"]) < 0.35 * n
        assert 0.3 * n < float(part["rows"] / part["count"]) < 0.7 * n


@pytest.mark.parametrize(("n", "d"), [(1, 2), (31, 3), (33, 2), (1000, 5), (4801, 3), (48 * 33, 1)])
def test_column_sums_in_levels(n, d, rng):
    X, u = rng.normal(size=(n, d)), rng.normal(size=(2, d))

    def f(X):
        return _sums.column_sums(X, X * X)

    first, second = jax.jit(f)(X)
    np.testing.assert_allclose(first, X.sum(0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(second, (X * X).sum(0), rtol=1e-12)
    lanes = jax.vmap(f)(jnp.stack([X, 2 * X]))
    np.testing.assert_allclose(lanes[1], [second, 4 * second], rtol=1e-12)
    _, pull = jax.vjp(f, jnp.asarray(X))
    np.testing.assert_allclose(pull(tuple(u))[0], u[0] + 2 * X * u[1], rtol=1e-12, atol=1e-12)


def test_moments_where_the_sampled_rows_are_unlike_the_weighted_ones(rng):
    """Nearly all weight lies 1e4 deviations from the center: a second pass, about the mean."""
    X = rng.normal(size=(20_000, 2)).astype(np.float32)
    X[7] += 1e4
    p = np.full(len(X), 1e-12, np.float32)
    p[7:12] = 1.0
    X[8:12] += 1e4
    p /= p.sum()
    mean, std = jax.jit(_sums.moments)(jnp.asarray(X), jnp.asarray(p))
    z, q = X.astype(float), p.astype(float)
    want = q @ z
    np.testing.assert_allclose(mean, want, rtol=1e-7)
    np.testing.assert_allclose(std, np.sqrt(q @ (z - want) ** 2), rtol=1e-5)
