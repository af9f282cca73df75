"""Losses against 50-digit arithmetic, their stated subgradients at kinks, and their far tails."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxml import losses

mpmath.mp.dps = 50
GRID = [-40.0, -3.7, -1.0, -0.25, 0.0, 1e-9, 0.5, 1.0, 2.3, 17.0, 40.0]


def _exp(x):
    return mpmath.exp(x)


# loss, targets, formula in mpmath, first and second derivative in z; kinks are tested apart.
SMOOTH = {
    "squared": (losses.squared, [-1.5, 0.3], lambda z, y: (z - y) ** 2 / 2, None),
    "logistic": (losses.logistic, [0.0, 1.0], lambda z, y: mpmath.log1p(_exp(z)) - y * z, None),
    "exponential": (losses.exponential, [-1.0, 1.0], lambda z, y: _exp(-y * z), None),
    "absolute": (losses.absolute, [0.1, -0.3], lambda z, y: abs(z - y), None),
    "huber": (
        losses.huber,
        [0.1, -0.3],
        lambda z, y: (z - y) ** 2 / 2 if abs(z - y) <= 1 else abs(z - y) - mpmath.mpf(1) / 2,
        None,
    ),
    "hinge": (losses.hinge, [-1.0, 1.0], lambda z, y: max(mpmath.mpf(0), 1 - y * z), (1.0, -1.0)),
    "squared_hinge": (
        losses.squared_hinge,
        [-1.0, 1.0],
        lambda z, y: max(mpmath.mpf(0), 1 - y * z) ** 2,
        (1.0, -1.0),
    ),
}


def _close(got, want, rtol):
    want = mpmath.mpf(want)
    # 1e-307: below it numbers are subnormal, and XLA rounds them to 0.
    assert abs(mpmath.mpf(float(got)) - want) <= rtol * abs(want) + 1e-307, (got, want)


def _jets(loss, z, y):
    """The loss and its first two derivatives in z, for arrays."""
    first = jax.grad(loss)
    return [jax.vmap(f)(z, y) for f in (loss, first, jax.grad(first))]


@pytest.mark.parametrize("name", SMOOTH)
def test_value_and_both_derivatives_match_50_digits(name):
    loss, targets, formula, kinks = SMOOTH[name]
    for y in targets:
        got = [np.asarray(jet) for jet in _jets(loss, jnp.asarray(GRID), jnp.full(len(GRID), y))]
        for i, z in enumerate(GRID):
            if kinks and z in kinks:
                continue
            for order, (jet, rtol) in enumerate(zip(got, (4e-16, 1e-13, 1e-13), strict=True)):
                # y is the decimal as rounded to float64: no rounding is billed to the loss.
                want = mpmath.diff(lambda t: formula(t, mpmath.mpf(y)), mpmath.mpf(z), order)
                # z - y and 1 - y z are rounded once, whatever comes after.
                floor = 0.0 if name in ("logistic", "exponential") else 2e-16 * (1 + abs(z)) ** 2
                error = abs(mpmath.mpf(float(jet[i])) - want)
                assert error <= rtol * abs(want) + floor + 1e-25, (order, z, y, jet[i], want)


@pytest.mark.parametrize(
    ("y", "z", "value", "slope", "curvature"),
    [
        (0.0, -1e20, 0.0, 0.0, 0.0),
        (1.0, -1e20, 1e20, -1.0, 0.0),
        (1.0, -37.0, 37.0, -1.0, 8.533047625744065e-17),
        (0.0, -37.0, 8.533047625744065e-17, 8.533047625744065e-17, 8.533047625744065e-17),
        (0.0, 232.8, 232.8, 1.0, 7.874892118601446713e-102),
        (1.0, 1e3, 0.0, 0.0, 0.0),
        (0.0, 1e20, 1e20, 1.0, 0.0),
        (1.0, 1e4, 0.0, 0.0, 0.0),
        (0.0, 1e4, 1e4, 1.0, 0.0),
        (1.0, -1e4, 1e4, -1.0, 0.0),
        (0.0, -1e4, 0.0, 0.0, 0.0),
    ],
)
def test_logistic_in_its_tails(y, z, value, slope, curvature):
    _close(losses.logistic(z, y), value, 1e-15)
    _close(jax.grad(losses.logistic)(z, y), slope, 1e-15)
    _close(jax.grad(jax.grad(losses.logistic))(z, y), curvature, 1e-15)


@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float64", 1e-12)])
def test_log_one_plus_exp_on_a_line(dtype, rtol):
    z = np.linspace(-40, 40, 300).astype(dtype)
    got = losses.logistic(jnp.asarray(z), jnp.zeros(300, dtype))
    assert got.dtype == dtype
    want = np.array([float(mpmath.log1p(_exp(mpmath.mpf(float(t))))) for t in z])
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=rtol)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [*SMOOTH])
def test_dtype_is_kept_and_extremes_stay_finite(name, dtype):
    loss, targets, *_ = SMOOTH[name]
    z = jnp.asarray([-1e4, -1e2, 0.0, 1e2, 1e4], dtype)
    if name == "exponential":
        z = z / 150.0  # e^67 is near the largest float32
    for y in targets:
        for jet in _jets(loss, z, jnp.full(5, y, dtype)):
            assert jet.dtype == dtype
            assert np.isfinite(jet).all()


def test_subgradients_at_kinks_are_the_stated_ones():
    assert float(jax.grad(losses.absolute)(0.5, 0.5)) == 0.0
    assert float(jax.grad(losses.hinge)(1.0, 1.0)) == 0.0
    assert float(jax.grad(losses.hinge)(-1.0, -1.0)) == 0.0
    assert float(jax.grad(losses.squared_hinge)(1.0, 1.0)) == 0.0
    assert float(jax.grad(losses.huber)(2.0, 1.0)) == 1.0
    assert float(jax.grad(losses.huber)(0.0, 1.0)) == -1.0
    assert float(jax.grad(jax.grad(losses.huber))(2.0, 1.0)) == 1.0
    # The same through forward mode, which must not fall back to JAX's own choice.
    for loss, y in ((losses.absolute, 1.0), (losses.hinge, 1.0), (losses.squared_hinge, 1.0)):
        assert float(jax.jacfwd(loss)(1.0, y)) == 0.0


def test_huber_delta_and_its_derivative():
    for delta in (0.3, 2.0):
        for z in (-5.0, 0.1, 5.0):
            r = z
            want = 0.5 * r * r if abs(r) <= delta else delta * (abs(r) - delta / 2)
            _close(losses.huber(z, 0.0, delta=delta), want, 1e-15)
            slope = jax.grad(lambda d, z=z: losses.huber(z, 0.0, delta=d))(delta)
            _close(slope, 0.0 if abs(r) <= delta else abs(r) - delta, 1e-14)


def _softmax_exact(z, y):
    z = [mpmath.mpf(float(t)) for t in z]
    top = max(z)
    return top + mpmath.log(mpmath.fsum(_exp(t - top) for t in z)) - z[y]


@pytest.mark.parametrize(
    "z",
    [
        [0.0, 0.0],
        [1.0, -2.0, 0.5],
        [1e4, 0.0, 7e-7],
        [-1e4, 0.0, 1e4],
        [40.0, 0.0, -40.0],
        [1e20, -1e20],
        [700.0, 701.0, 702.0],
    ],
)
def test_softmax_cross_entropy_matches_50_digits(z):
    f = losses.softmax_cross_entropy
    jets = jax.jit(lambda z, y: (f(z, y), jax.grad(f)(z, y), jax.hessian(f)(z, y)))
    for y in range(len(z)):
        value, slope, hessian = jets(jnp.asarray(z), y)
        _close(value, _softmax_exact(z, y), 1e-15)
        top = max(z)
        e = [_exp(mpmath.mpf(t) - top) for t in z]
        s = [t / mpmath.fsum(e) for t in e]
        others = [mpmath.fsum(s[:j] + s[j + 1 :]) for j in range(len(s))]
        for j, g in enumerate(np.asarray(slope)):
            _close(g, -others[j] if j == y else s[j], 1e-14)
        k = range(len(s))
        want = np.array([[float(s[i] * ((i == j) - s[j])) for j in k] for i in k])
        np.testing.assert_allclose(hessian, want, rtol=1e-12, atol=1e-16)


def test_softmax_cross_entropy_of_impossible_classes_and_bad_labels():
    f, inf = losses.softmax_cross_entropy, jnp.inf
    z = jnp.asarray([-inf, 0.0, 1.0])
    _close(f(z, 2), _softmax_exact([0.0, 1.0], 1), 1e-15)
    for derivative in (jax.grad(f), jax.jacfwd(f)):
        g = np.asarray(derivative(z, 2))
        assert g[0] == 0.0
        assert np.isfinite(g).all()
        np.testing.assert_allclose(g[1:], jax.grad(f)(z[1:], 1), rtol=1e-15)
    assert float(f(z, 0)) == np.inf
    for label in (-1, 3):
        assert np.isnan(float(f(z, label)))
    for broken in ([np.nan, 0.0, 1.0], [0.0, np.nan, 1.0]):
        assert np.isnan(float(f(jnp.asarray(broken), 1)))


def test_curvature_bounds_hold():
    z = jnp.linspace(-50.0, 50.0, 401)
    curvature = jax.vmap(jax.grad(jax.grad(losses.logistic)))(z, jnp.zeros(401))
    assert float(curvature.max()) == 0.25
    assert float(curvature.min()) > 0.0
    bound = (np.eye(3) - 1 / 3) / 2
    for scale in (0.1, 1.0, 10.0):
        H = jax.hessian(losses.softmax_cross_entropy)(scale * jnp.asarray([0.3, -1.0, 0.7]), 1)
        assert np.linalg.eigvalsh(bound - np.asarray(H)).min() >= -1e-15


@pytest.mark.parametrize("name", [*SMOOTH])
def test_jit_eager_and_vmap_agree(name):
    loss, targets, *_ = SMOOTH[name]
    z, y = jnp.asarray(GRID), jnp.full(len(GRID), targets[0])
    eager = loss(z, y)
    np.testing.assert_array_max_ulp(np.asarray(jax.jit(loss)(z, y)), np.asarray(eager), 4)
    np.testing.assert_array_max_ulp(np.asarray(jax.vmap(loss)(z, y)), np.asarray(eager), 4)
