"""The gradient of a validation loss through the fit, used to choose a penalty on real data.

    V(u) = mean over folds of the held-out loss of fit(l2 = e^u),   u <- u - step V'(u)

V' comes from the implicit derivative of the fits; the referees are refits at u +- h and a grid.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import datasets
from jaxml.linear import logistic, ridge
from jaxml.model_selection import cross_validate, kfold_weights, stratified_kfold_weights

fit_logistic = functools.partial(logistic.fit, tol=1e-12)


def log_loss(params, X, y, *, sample_weight):
    return logistic.loss(params, X, y, sample_weight=sample_weight)


def squared_loss(params, X, y, *, sample_weight):
    return ridge.loss(params, X, y, l2=0.0, sample_weight=sample_weight)


def standardized(data):
    X = np.asarray(data.X, np.float64)
    return (X - X.mean(0)) / X.std(0)


def breast_cancer():
    data = datasets.breast_cancer(dtype=jnp.float64)
    y = data.y
    weights = stratified_kfold_weights(y, n_splits=3, n_classes=2, key=jax.random.key(0))
    return fit_logistic, log_loss, standardized(data), y, weights, np.log([1e-4, 1.0])


def diabetes():
    data = datasets.diabetes(dtype=jnp.float64)
    weights = kfold_weights(442, n_splits=3, key=jax.random.key(0))
    return ridge.fit, squared_loss, standardized(data), data.y / 77.0, weights, np.log([1e-4, 1.0])


@pytest.fixture(scope="module", params=[breast_cancer, diabetes], ids=lambda f: f.__name__)
def problem(request):
    fit, score, X, y, weights, (low, high) = request.param()
    X, y = jnp.asarray(X), jnp.asarray(y)

    def values(u):
        lanes = cross_validate(fit, score, X, y, weights=weights, grid={"l2": jnp.exp(u)})
        return lanes.mean(axis=1)

    @jax.jit
    def value_and_slope(u):
        return jax.value_and_grad(lambda u: values(u[None])[0])(u)

    return jax.jit(values), value_and_slope, np.linspace(low, high, 31)


def test_hypergradient_equals_differences_of_refits(problem):
    values, value_and_slope, grid = problem
    h, at = 2e-3, grid[[3, 15, 27]]
    refits = (at[:, None] + h * np.array([-2.0, -1.0, 1.0, 2.0])).ravel()
    # The rest of the grid rides along, so that this is the compiled call of the next test.
    V = np.asarray(values(np.r_[refits, grid[12:]]))[:12].reshape(3, 4)
    stencil = (V[:, 0] - 8 * V[:, 1] + 8 * V[:, 2] - V[:, 3]) / (12 * h)
    slopes = np.array([value_and_slope(u)[1] for u in at])
    assert np.all(abs(slopes - stencil) <= 1e-7 * np.maximum(abs(stencil), 1e-3))


def test_gradient_descent_finds_a_penalty_as_good_as_the_grid(problem):
    values, value_and_slope, grid = problem
    V = np.asarray(values(grid))
    best = V.argmin()
    start = best + 6
    assert 0 < best < start < len(grid) - 1  # the grid encloses the answer
    # Step 1/L, with L the largest second difference of V between the start and the answer.
    L = np.abs(np.diff(V[best - 1 : start + 2], 2)).max() / (grid[1] - grid[0]) ** 2
    u = grid[start]  # from a factor 5 or more off
    first = value_and_slope(u)[1]
    for _ in range(250):
        value, slope = value_and_slope(u)
        u = u - slope / L
    assert abs(slope) < 1e-4 * abs(first)
    assert value <= V[best] + 1e-12
    assert abs(u - grid[best]) <= grid[1] - grid[0]
