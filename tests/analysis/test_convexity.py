"""Verdicts on functions whose convexity is known, and their witnesses, recomputed in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.analysis.convexity import Evidence, classify, midpoint_violation

KEY = jax.random.key(0)
REFUTED, NOT_REFUTED, PROVED = Evidence


def normal(*shape, scale=2.0, at=0.0, dtype=jnp.float32):
    return lambda key: at + scale * jax.random.normal(key, shape, dtype)


def positive(key):
    return jnp.exp(jax.random.normal(key))


def half_plane(key):
    x, y = jax.random.normal(key, (2,))
    return jnp.stack([2.0 * x, jnp.exp(y)])


PLANES = np.array([[0.0, 1.0], [2.0, -3.0], [-4.0, 5.0]])

CONVEX = {
    "abs": (jnp.abs, normal()),
    "minus log": (lambda x: -jnp.log(x), positive),
    "x^4 at 0": (lambda x: x**4, normal(scale=1e-3)),
    "logsumexp": (jax.nn.logsumexp, normal(4)),
    "softplus at 100": (jax.nn.softplus, normal(scale=1.0, at=100.0)),
    "x^2 / y": (lambda p: p[0] ** 2 / p[1], half_plane),
    "max of affine": (lambda x: jnp.max(PLANES @ x - jnp.arange(3.0)), normal(2)),
    "spectral norm": (lambda X: jnp.linalg.norm(X, 2), normal(3, 3)),
    "nuclear norm": (lambda X: jnp.linalg.svd(X, compute_uv=False).sum(), normal(2, 3)),
}

NOT_CONVEX = {
    "xy": (lambda p: p[0] * p[1], lambda p: p[0] * p[1], normal(2)),
    "Rosenbrock": (
        lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2,
        lambda p: (1 - p[0]) ** 2 + 100 * (p[1] - p[0] ** 2) ** 2,
        normal(2),
    ),
    "sin": (jnp.sin, np.sin, normal()),
    "sqrt abs": (lambda x: jnp.sqrt(jnp.abs(x)), lambda x: np.sqrt(abs(x)), normal()),
    "-x^2 + 1e-9 x^4": (lambda x: -(x**2) + 1e-9 * x**4,) * 2 + (normal(),),
    "GELU": (
        lambda x: jax.nn.gelu(x, approximate=False),
        lambda x: x * 0.5 * (1 + np.vectorize(__import__("math").erf)(x / np.sqrt(2))),
        normal(),
    ),
    "Motzkin": (
        lambda p: p[0] ** 4 * p[1] ** 2 + p[0] ** 2 * p[1] ** 4 - 3 * p[0] ** 2 * p[1] ** 2 + 1,
    )
    * 2
    + (normal(2),),
}


@pytest.mark.parametrize("name", CONVEX)
def test_convex_functions_are_not_refuted(name):
    verdict = classify(*CONVEX[name], key=KEY)
    assert verdict.convex is NOT_REFUTED
    assert verdict.strongly_convex is verdict.strictly_convex is NOT_REFUTED
    assert verdict.witness is None
    assert verdict.basis == "samples"


@pytest.mark.parametrize("name", NOT_CONVEX)
def test_other_functions_are_refuted_with_a_witness(name):
    loss, recomputed, sample = NOT_CONVEX[name]
    verdict = classify(loss, sample, key=KEY)
    assert (verdict.convex, verdict.strictly_convex, verdict.strongly_convex) == (REFUTED,) * 3
    a, b, t = (np.asarray(v) for v in verdict.witness[:3])
    assert a.dtype == np.float64
    gap = recomputed(t * a + (1 - t) * b) - t * recomputed(a) - (1 - t) * recomputed(b)
    size = abs(recomputed(a)) + abs(recomputed(b))
    assert gap > 1e-10 * size
    np.testing.assert_allclose(verdict.witness.violation, gap, rtol=1e-5)


def test_a_narrow_failure_is_found_by_the_hessian():
    # Concave only along one direction of ten, and there only a little: -1e-3 against 1. No random
    # segment shows it, since the other nine directions outweigh it.
    v = np.linspace(1.0, 2.0, 10) / np.linalg.norm(np.linspace(1.0, 2.0, 10))

    def loss(x):
        return 0.5 * jnp.sum(x**2) - 0.5 * 1.001 * jnp.dot(v, x) ** 2

    verdict = classify(loss, normal(10), key=KEY)
    assert verdict.convex is REFUTED
    np.testing.assert_allclose(verdict.curvature, -1e-3, rtol=1e-9)
    along = np.asarray(verdict.witness.b - verdict.witness.a)
    assert abs(along @ v) > 0.999 * np.linalg.norm(along)


def test_logsumexp_is_flat_along_the_ones():
    verdict = classify(*CONVEX["logsumexp"], key=KEY)
    along = np.asarray(verdict.flat.b - verdict.flat.a)
    np.testing.assert_allclose(along, along[0], rtol=1e-9)
    assert abs(verdict.curvature) < 1e-14


def test_curvature_bounds_every_modulus():
    # -log x on (0, 10]: mu = 1/100, attained at the end; sampled values approach it from above.
    verdict = classify(
        lambda x: -jnp.log(x), lambda k: 10 * jax.random.uniform(k, minval=0.01), key=KEY
    )
    assert 0.01 <= verdict.curvature < 0.03


def test_a_modulus_asked_for_is_tested():
    def loss(x):
        return x**2 + jnp.cosh(x)  # f'' = 2 + cosh x >= 3

    assert classify(loss, normal(), key=KEY, mu=2.9).strongly_convex is NOT_REFUTED
    verdict = classify(loss, normal(), key=KEY, mu=3.5)
    assert (verdict.convex, verdict.strongly_convex) == (NOT_REFUTED, REFUTED)


def test_float32_rounding_never_refutes():
    # At 100 the Hessian of softplus underflows in float32, and its differences are all rounding.
    x = np.float32(100) + np.arange(-4, 5, dtype=np.float32) / 8
    X = jnp.asarray(np.stack(np.meshgrid(x, x), -1).reshape(-1, 2))
    found = jax.vmap(lambda p: midpoint_violation(jax.nn.softplus, p[0], p[1], t=0.3))(X)
    assert found.violation.dtype == jnp.float32
    assert np.any(found.violation > 0)  # rounding does violate the inequality ...
    assert not np.any(found.refutes)  # ... within the tolerance


def test_classify_works_without_x64_and_leaves_it_alone():
    with jax.enable_x64(False):
        verdict = classify(jnp.sin, normal(), key=KEY)
        assert verdict.witness.a.dtype == np.float64
        assert jnp.zeros(()).dtype == jnp.float32
    assert verdict.convex is REFUTED


def test_classify_takes_pytrees_and_arguments():
    def loss(p, c):
        return c * p["w"] ** 2 + p["b"] ** 2

    def sample(key):
        w, b = jax.random.normal(key, (2,))
        return {"w": w, "b": b}

    verdict = classify(loss, sample, -1.0, key=KEY)
    assert verdict.convex is REFUTED
    assert set(verdict.witness.a) == {"w", "b"}
    verdict = classify(loss, sample, 3.0, key=KEY, n_samples=8)
    assert (verdict.convex, verdict.basis) == (PROVED, "a constant Hessian")
    np.testing.assert_allclose(verdict.modulus, 2.0, rtol=1e-12)


def test_points_outside_the_domain_of_definition_are_passed_over():
    verdict = classify(lambda x: -jnp.log(x), normal(), key=KEY)  # half of the samples give NaN
    assert verdict.convex is NOT_REFUTED
    with pytest.raises(ValueError, match="not finite on any segment"):
        classify(lambda x: -jnp.log(-(x**2)), normal(), key=KEY)


def test_classify_refuses_bad_numbers():
    with pytest.raises(ValueError, match="n_samples must be >= 2"):
        classify(jnp.sin, normal(), key=KEY, n_samples=1)
    with pytest.raises(ValueError, match="mu must be >= 0: got -1"):
        classify(jnp.sin, normal(), key=KEY, mu=-1.0)


@pytest.mark.parametrize("t", [0.5, 0.2])
def test_midpoint_violation_against_numpy(t):
    a, b = np.array([1.0, -2.0]), np.array([0.5, 3.0])

    def f(x):
        return jnp.sum(x**3)

    w = midpoint_violation(f, jnp.asarray(a), jnp.asarray(b), t=t, mu=1.5)
    m = t * a + (1 - t) * b
    want = (m**3).sum() - t * (a**3).sum() - (1 - t) * (b**3).sum()
    want += 0.75 * t * (1 - t) * ((a - b) ** 2).sum()
    np.testing.assert_allclose(w.violation, want, rtol=1e-13)
    batched = jax.jit(jax.vmap(lambda t: midpoint_violation(f, a, b, t=t, mu=1.5).violation))
    np.testing.assert_allclose(batched(jnp.array([t]))[0], want, rtol=1e-13)


def test_midpoint_violation_of_nothing_finite_does_not_refute():
    assert not midpoint_violation(jnp.log, jnp.array(-1.0), jnp.array(2.0)).refutes
