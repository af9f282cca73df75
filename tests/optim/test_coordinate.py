"""Coordinate descent in its three forms, and the solve that ends it."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.optim import coordinate


def _problem(rng, d=12, n=40):
    A = rng.normal(size=(d, n))
    q = A[:3].sum(0) + rng.normal(size=n)
    return jnp.asarray(A), jnp.asarray(q)


def _f(Q, h, l1, w):
    return 0.5 * w @ Q @ w - h @ w + l1 * np.abs(w).sum()


@pytest.mark.parametrize("l1", [0.0, 3.0, 1e3])
def test_the_minimizer_satisfies_the_conditions_of_optimality(l1, rng):
    A, q = _problem(rng)
    Q, h = A @ A.T, A @ q
    start = jnp.asarray(rng.normal(size=12))
    w, n = coordinate.coordinate_descent(Q, h, l1=l1, init=start, tol=1e-13, max_iter=1000)
    g = np.asarray(Q @ w - h)
    assert 1 <= int(n) < 1000
    nonzero = np.asarray(w) != 0
    np.testing.assert_allclose(g[nonzero], -l1 * np.sign(w)[nonzero], rtol=0, atol=1e-9)
    assert (np.abs(g[~nonzero]) <= l1 + 1e-9).all()
    assert nonzero.any() == (l1 < 1e3)


def test_a_coordinate_without_curvature_stays_where_it_is(rng):
    A, q = _problem(rng)
    A = A.at[4].set(0.0)
    start = jnp.zeros(12).at[4].set(2.0)
    w, _ = coordinate.coordinate_descent(A @ A.T, A @ q, l1=1.0, init=start, tol=1e-9)
    assert float(w[4]) == 2.0


@pytest.mark.parametrize("l2", [0.0, 5.0])
@pytest.mark.parametrize("count", [2, 3])
def test_residual_updates_take_the_steps_of_covariance_updates(l2, count, rng):
    A, q = _problem(rng)
    blocks = A.reshape(3, 4, -1)
    own = jnp.einsum("gbn,gcn->gbc", blocks, blocks) + l2 * jnp.eye(4)[None]
    w = jnp.asarray(rng.normal(size=12))
    how = {"tol": 0.0, "max_iter": 3}
    got, r, n = coordinate.sweep_residuals(
        blocks, own, q - A.T @ w, 2.0, l2, w.reshape(3, 4), count=jnp.int32(count), **how
    )
    Q = A @ A.T + l2 * jnp.eye(12)
    want, g, _ = coordinate.sweep(Q, Q @ w - A @ q, 2.0, w, count=jnp.int32(4 * count), **how)
    assert int(n) == 3
    np.testing.assert_allclose(got.reshape(-1), want, rtol=1e-12)
    np.testing.assert_allclose(r, q - A.T @ want, rtol=0, atol=1e-12)
    np.testing.assert_allclose(g, Q @ want - A @ q, rtol=0, atol=1e-11)


def test_only_the_coordinates_named_move_in_the_order_given(rng):
    A, q = _problem(rng)
    Q, h, start = A @ A.T, A @ q, jnp.zeros(12)
    order = jnp.array([5, 0, 9] + [0] * 9, jnp.int32)
    w, g, _ = coordinate.sweep(
        Q, -h, 1.0, start, tol=0.0, max_iter=1, count=jnp.int32(3), order=order
    )
    want = np.zeros(12)
    for j in (5, 0, 9):
        slope = float((Q @ want - h)[j])
        z = want[j] - slope / float(Q[j, j])
        want[j] = np.sign(z) * max(abs(z) - 1.0 / float(Q[j, j]), 0.0)
    np.testing.assert_allclose(w, want, rtol=1e-12)
    np.testing.assert_allclose(g, Q @ want - h, rtol=0, atol=1e-11)


def test_a_solve_on_the_nonzero_set_lowers_f_and_stops_at_the_first_change_of_sign(rng):
    A, q = _problem(rng)
    Q, h = A @ A.T, A @ q
    for _ in range(20):
        w = np.asarray(rng.normal(size=12)) * (rng.random(12) < 0.7)
        new = np.asarray(coordinate.solve_on_support(Q, h, 4.0, jnp.asarray(w)))
        assert (new * w >= 0).all()
        assert (new[w == 0] == 0).all()
        assert _f(Q, h, 4.0, new) <= _f(Q, h, 4.0, w)
        g = np.asarray(Q @ new - h) + 4.0 * np.sign(new)
        assert ((new == 0) & (w != 0)).sum() == 1 or np.abs(g[w != 0]).max() < 1e-8


def test_a_solve_of_a_singular_set_changes_nothing(rng):
    A, q = _problem(rng)
    A = A.at[1].set(A[0])
    w = jnp.zeros(12).at[:2].set(1.0)
    Q = A @ A.T
    Q = Q.at[0, 0].add(-1e-9)  # not even semi-definite: its factor is NaN
    np.testing.assert_array_equal(coordinate.solve_on_support(Q, A @ q, 1.0, w), w)
