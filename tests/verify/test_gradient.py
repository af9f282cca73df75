"""check_gradient: what a user sees for a right and for a wrong derivation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.verify import Tolerance, check_gradient

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((8, 3)), RNG.standard_normal(8)


def _loss(params, X, y):
    return jnp.mean((X @ params["w"] + params["b"] - y) ** 2)


def _right(params, X, y):
    r = 2 * (X @ params["w"] + params["b"] - y) / len(y)
    return {"b": r.sum(), "w": X.T @ r}


def _wrong_entry(params, X, y):
    g = _right(params, X, y)
    return {"b": g["b"], "w": g["w"].at[1].multiply(2.0)}


def _point(dtype):
    params = {"w": jnp.asarray([0.3, -1.2, 0.8], dtype), "b": jnp.asarray(0.5, dtype)}
    return params, jnp.asarray(X, dtype), jnp.asarray(Y, dtype)


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_right_derivation_agrees(dtype, x64):
    if dtype == "float64" and not x64:
        params, *rest = ({"w": np.array([0.3, -1.2, 0.8]), "b": np.array(0.5)}, X, Y)
    with jax.enable_x64(x64):
        if x64 or dtype == "float32":
            params, *rest = _point(dtype)
        verdict = check_gradient(_loss, _right, params, *rest)
    assert verdict.passed, verdict.report()
    assert verdict.dtype == dtype
    assert set(verdict.routes) == {"autodiff", "forward", "differences"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_report_names_leaf_entry_and_values(dtype):
    verdict = check_gradient(_loss, _wrong_entry, *_point(dtype))
    assert not verdict.passed
    text = str(verdict)
    assert "_wrong_entry" in text
    assert "DISAGREES" in text
    assert "args[0]['w'][1]" in text
    assert "hand / autodiff = 2" in text
    for name in ("hand", "autodiff", "forward", "differences"):
        assert name in text
    assert {r.leaf for r in verdict.readings if not r.holds} == {"['w']"}


def test_scalar_argument_and_numpy_derivation():
    verdict = check_gradient(jnp.sin, lambda t: np.cos(np.asarray(t)), jnp.asarray(0.7))
    assert verdict.passed, verdict.report()
    wrong = check_gradient(jnp.sin, lambda t: -np.cos(np.asarray(t)), jnp.asarray(0.7))
    assert "hand / autodiff = -1" in str(wrong)


def test_many_entries_are_differenced_along_random_directions():
    w = jnp.asarray(RNG.standard_normal(3000))
    assert check_gradient(lambda w: jnp.sum(jnp.cos(w)), lambda w: -jnp.sin(w), w).passed
    wrong = check_gradient(lambda w: jnp.sum(jnp.cos(w)), jnp.sin, w)
    assert {r.route for r in wrong.readings if not r.holds} >= {"autodiff", "differences"}


def test_own_tolerance():
    loose = Tolerance(0.9, 0.9, "deliberately loose", stencil=0.9)
    assert check_gradient(_loss, _wrong_entry, *_point("float64"), tol=loose).passed


def test_nan_in_the_derivation_does_not_pass():
    verdict = check_gradient(
        _loss, lambda p, X, y: jax.tree.map(lambda g: g * jnp.nan, p), *_point("float64")
    )
    assert not verdict.passed
    assert "nan" in str(verdict)


@pytest.mark.parametrize(("loss", "hand", "args", "match"), [
    (lambda w: w, lambda w: w, (jnp.ones(2),), "scalar"),
    (jnp.sum, lambda w: w[:1], (jnp.ones(2),), "shapes"),
    (jnp.sum, lambda w: w, (jnp.ones(2, int),), "floating"),
    (lambda w: 0.0, lambda w: w, ((),), "no arrays"),
    (lambda: 0.0, lambda: 0.0, (), "at least one"),
])  # fmt: skip
def test_misuse_is_told(loss, hand, args, match):
    with pytest.raises(TypeError, match=match):
        check_gradient(loss, hand, *args)
