"""Implicit derivatives of a solution known in closed form, in both modes and under vmap."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxml._implicit import differentiable, solve_by_cg
from jaxml._loop import certify

# x* solves A(t) x = b(t): x* = A^-1 b, J = 1/2 x'A x - b'x.
A0 = jnp.array([[4.0, 1.0], [1.0, 3.0]])


def _objective(x, theta):
    A, b = theta
    return 0.5 * x @ A @ x - b @ x


def _solution(inverse):
    def solve(theta, how):
        A, b = theta
        x = jax.lax.while_loop(lambda _: False, lambda x: x, jnp.linalg.solve(A, b))
        J = _objective(x, theta)
        return certify(x, objective=J, residual=jnp.zeros(()), tol=how, n_iter=1)

    return differentiable(
        solve,
        objective=_objective,
        optimality=lambda x, theta: theta[0] @ x - theta[1],
        inverse=inverse,
    )


DIRECT = _solution(lambda x, theta: lambda g: jnp.linalg.solve(theta[0], g))
BY_CG = _solution(lambda x, theta: solve_by_cg(lambda v: theta[0] @ v, tol=1e-14))


def test_both_modes_give_the_closed_form():
    b = jnp.array([1.0, -2.0])
    want_b = np.linalg.inv(A0)
    x = np.linalg.solve(A0, b)
    want_A = -np.einsum("ij,k->ijk", want_b, x)  # dx_i/dA_jk = -(A^-1)_ij x_k
    for solution in (DIRECT, BY_CG):
        for mode in (jax.jacfwd, jax.jacrev):
            got_A, got_b = mode(lambda theta, s=solution: s(theta, 1e-3).params)((A0, b))
            np.testing.assert_allclose(got_b, want_b, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(got_A, want_A, rtol=1e-12, atol=1e-14)


def test_the_objective_moves_by_the_envelope_theorem():
    b = jnp.array([1.0, -2.0])
    x = np.linalg.solve(A0, b)
    got = jax.grad(lambda b: DIRECT((A0, b), 1e-3).info.objective)(b)
    np.testing.assert_allclose(got, -x, rtol=1e-13)


def test_certificates_and_guides_have_zero_derivative():
    b = jnp.array([1.0, -2.0])
    assert float(jax.grad(lambda b: DIRECT((A0, b), 1e-3).info.residual)(b).sum()) == 0.0
    assert float(jax.grad(lambda tol: DIRECT((A0, b), tol).params.sum())(1e-3)) == 0.0
    code = jax.jvp(lambda b: DIRECT((A0, b), 1e-3).info.code, (b,), (b,))[1]
    assert code.dtype == jax.dtypes.float0


def test_vmap_of_grad_is_the_loop():
    B = jnp.array([[1.0, -2.0], [0.5, 3.0], [0.0, 0.0]])
    for solution in (DIRECT, BY_CG):
        slope = jax.grad(lambda b, s=solution: jnp.sum(s((A0, b), 1e-3).params ** 2))
        batched = jax.jit(jax.vmap(slope))(B)
        np.testing.assert_allclose(
            batched, jnp.stack([slope(b) for b in B]), rtol=1e-12, atol=1e-14
        )


def test_second_derivatives():
    # |x*|^2 has the Hessian 2 A^-1 A^-T in b.
    f = lambda b: jnp.sum(DIRECT((A0, b), 1e-3).params ** 2)  # noqa: E731
    inv = np.linalg.inv(A0)
    for hessian in (
        jax.jacfwd(jax.jacrev(f)),
        jax.jacrev(jax.jacrev(f)),
        jax.jacfwd(jax.jacfwd(f)),
    ):
        np.testing.assert_allclose(hessian(jnp.array([1.0, -2.0])), 2 * inv @ inv.T, rtol=1e-12)
