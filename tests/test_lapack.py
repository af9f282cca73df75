"""Factorizations agree with NumPy, in lanes and differentiated; lanes wait for no thread pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import _lapack
from tests.processes import run


def _spd(rng, lanes, d):
    A = rng.normal(size=(lanes, d, d + 2))
    return A @ A.transpose(0, 2, 1)


SQUARE = {
    "inverse": (_lapack.inverse, np.linalg.inv),
    "inverse_factor": (_lapack.inverse_factor, lambda A: np.linalg.inv(np.linalg.cholesky(A))),
    "eigvalsh": (_lapack.eigvalsh, np.linalg.eigvalsh),
    "cholesky": (_lapack.cholesky, np.linalg.cholesky),
    "cho_solve": (
        lambda A: _lapack.cho_solve(_lapack.cholesky(A), A[0] ** 2),
        lambda A: np.linalg.solve(A, A[0] ** 2),
    ),
    "right_factor": (lambda A: _lapack.right_factor(A) ** 2, lambda A: np.linalg.qr(A)[1] ** 2),
    "qr": (lambda A: jnp.matmul(*_lapack.qr(A)), lambda A: A),
    "svd": (lambda A: _lapack.svd(A)[1], lambda A: np.linalg.svd(A)[1]),
    "eigh": (lambda A: _lapack.eigh(A)[1] ** 2, lambda A: np.linalg.eigh(A)[1] ** 2),
}


@pytest.mark.parametrize("name", SQUARE)
def test_lanes_and_derivatives(name, rng):
    f, want = SQUARE[name]
    A = _spd(rng, 3, 4)
    lanes = jax.jit(jax.vmap(f))(A)
    for lane, one in zip(lanes, A, strict=True):
        np.testing.assert_allclose(lane, want(one), rtol=1e-9, atol=1e-9)
    dA, h = _spd(rng, 1, 4)[0], 1e-5
    _, forward = jax.jvp(f, (A[0],), (dA,))
    difference = (want(A[0] + h * dA) - want(A[0] - h * dA)) / (2 * h)
    np.testing.assert_allclose(forward, difference, rtol=1e-5, atol=1e-6)
    _, pull = jax.vjp(f, A[0])
    u = rng.normal(size=np.shape(forward))
    np.testing.assert_allclose(np.sum(pull(u)[0] * dA), np.sum(u * forward), rtol=1e-9)


@pytest.mark.parametrize("d", [31, 33, 70, 256])
def test_inverse_factor_by_halves(d, rng):
    A = _spd(rng, 1, d)[0]
    W = np.asarray(jax.jit(_lapack.inverse_factor)(A))
    np.testing.assert_array_equal(W, np.tril(W))
    np.testing.assert_allclose(W @ np.linalg.cholesky(A), np.eye(d), atol=1e-9)


def check_eigh(A, values, V):
    d = len(A)
    size = np.linalg.norm(A, 2) * d * np.finfo(float).eps
    np.testing.assert_allclose(values, np.linalg.eigvalsh(A), rtol=0, atol=size)
    np.testing.assert_allclose(A @ V, V * values, rtol=0, atol=size)
    np.testing.assert_allclose(V.T @ V, np.eye(d), rtol=0, atol=d * np.finfo(float).eps)


@pytest.mark.parametrize("d", [31, 32, 50, 74, 75])
def test_eigh_of_every_width(d, rng):
    eigh = jax.jit(_lapack.eigh)
    repeated = np.linalg.qr(rng.normal(size=(d, d)))[0]
    repeated = repeated * np.repeat([-1.0, 0.0, 3.0], [d - 20, 12, 8]) @ repeated.T
    indefinite = rng.normal(size=(d, d))
    graded = _spd(rng, 1, d)[0] * np.geomspace(1, 1e-9, d) * np.geomspace(1, 1e-9, d)[:, None]
    for A in (repeated, indefinite + indefinite.T, graded, np.zeros((d, d)), np.ones((d, d))):
        for scale in (1.0, 1e-150, 1e150):
            values, V = map(np.asarray, eigh(jnp.asarray(scale * A)))
            check_eigh(0.5 * (A + A.T), values / scale, V)
    assert np.isnan(eigh(jnp.full((d, d), jnp.nan))[0]).all()


def test_eigh_of_an_accelerator_knows_no_schur_form():
    """It has none: what is lowered for CUDA must not hold that of a CPU."""
    traced = jax.jit(jax.vmap(_lapack.eigh)).trace(jnp.zeros((2, 50, 50)))
    assert "gees" in traced.lower(lowering_platforms=("cpu",)).as_text()
    assert "gees" not in traced.lower(lowering_platforms=("cuda",)).as_text()


def test_eigh_in_lanes_and_differentiated_twice_at_a_width_of_its_own(rng):
    d = 40
    A = _spd(rng, 3, d)
    for one, values, V in zip(A, *jax.jit(jax.vmap(_lapack.eigh))(A), strict=True):
        check_eigh(one, np.asarray(values), np.asarray(V))

    def f(t, eigh):  # of what has no sign
        values, V = eigh(jnp.asarray(A[0]) + t * jnp.asarray(A[1]) + t**2 * jnp.asarray(A[2]))
        return jnp.sum(values[3] * V[:, 3] ** 2 * jnp.arange(d))

    for g in (jax.grad(f), jax.grad(jax.grad(f))):
        np.testing.assert_allclose(g(0.1, _lapack.eigh), g(0.1, jnp.linalg.eigh), rtol=1e-8)


@pytest.mark.parametrize(
    ("n", "d"), [(461, 20), (5000, 20), (40_000, 3), (300, 60), (140, 70), (20, 600)]
)
def test_qr_by_blocks_of_rows(n, d, rng):
    A = rng.normal(size=(n, d))
    A[:, -1] = 0.0  # a rank below d
    Q, R = jax.jit(_lapack.qr)(A)
    np.testing.assert_allclose(Q @ R, A, atol=1e-12)
    np.testing.assert_allclose(Q.T @ Q, np.eye(min(n, d)), atol=1e-12)
    np.testing.assert_array_equal(R, np.triu(R))
    size = np.abs(np.diag(np.linalg.qr(A)[1]))
    np.testing.assert_allclose(np.abs(np.diag(R)), size, atol=1e-9)


def test_no_factor_of_an_indefinite_matrix_and_only_of_that_lane(rng):
    A = _spd(rng, 3, 4)
    A[1, 2, 2] = -1.0
    W = np.asarray(jax.vmap(_lapack.inverse_factor)(A))
    assert np.isnan(W[1]).any()
    assert np.isfinite(W[[0, 2]]).all()
    assert np.isnan(_lapack.cholesky(A[1])).any()


def test_fits_in_lanes_end_when_threads_run_them_at_once():
    """With jaxlib 0.10 batched calls that wait inside the pool of two threads did not."""
    out = run("""
        import faulthandler, threading
        import jax, jax.numpy as jnp, numpy as np
        from jaxml.linear import least_squares, logistic, ridge

        faulthandler.dump_traceback_later(200, exit=True)
        rng = np.random.default_rng(0)
        X, y = jnp.asarray(rng.normal(size=(80, 30))), jnp.asarray(rng.normal(size=80))
        lanes, labels = jnp.linspace(1.0, 2.0, 250), (y > 0).astype(int)
        fits = [
            jax.jit(jax.vmap(lambda c: ridge.fit(X, y, l2=c))),
            jax.jit(jax.vmap(lambda c: logistic.fit(X, labels, l2=c))),
            jax.jit(jax.vmap(lambda c: least_squares.fit(X * c, y, method="qr"))),
            jax.jit(jax.vmap(jax.grad(lambda c: ridge.fit(X, y, l2=c).params.coef.sum()))),
        ]
        jax.block_until_ready([f(lanes) for f in fits])

        def work(k):
            for _ in range(3):
                jax.block_until_ready([f(lanes + k) for f in fits])

        threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print("ended")
    """)
    assert out.split() == ["ended"]
