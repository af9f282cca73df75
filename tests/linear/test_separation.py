"""Labels that leave logistic and softmax regression without a minimizer, or without a meaning."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.linear import logistic, softmax
from tests.linear.family import code, overlapping

LINE = np.array([[-2.0], [-1.0], [1.0], [2.0]])
LONG_LINE = np.array([[-3.0], [-2.0], [-1.0], [1.0], [2.0], [3.0]])
SEPARABLE = {  # of few shapes: each is compiled
    "line": (LONG_LINE, [0, 0, 0, 1, 1, 1]),
    "plane": (np.array([[0.0, 0], [1, 0], [0, 1], [3, 3], [4, 3], [3, 4]]), [0, 0, 0, 1, 1, 1]),
    "far": (1e6 + 1e3 * LONG_LINE, [0, 0, 0, 1, 1, 1]),
    # Only in the limit: the two points at 0 keep different labels.
    "quasi": (np.array([[-2.0], [-1.0], [0.0], [0.0], [1.0], [2.0]]), [0, 0, 0, 1, 1, 1]),
    "wide": (np.eye(5), [0, 1, 0, 1, 0]),
}


@pytest.mark.parametrize("case", SEPARABLE)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_separable_classes_have_no_minimizer(case, dtype):
    X, y = SEPARABLE[case]
    X, y = X.astype(dtype), np.array(y)
    assert code(logistic.fit(X, y)) is Code.DEGENERATE
    assert code(softmax.fit(X, y, n_classes=2)) is Code.DEGENERATE
    # A little penalty gives the problem an answer again.
    if case != "far":
        assert code(logistic.fit(X, y, l2=0.1)) is Code.CONVERGED
        assert code(softmax.fit(X, y, n_classes=2, l2=0.1)) is Code.CONVERGED


def test_separation_is_judged_on_the_rows_that_weigh(rng):
    X, y = np.vstack([LINE, [[0.5]]]), np.array([0, 0, 1, 1, 0])  # the last row overlaps
    X = np.vstack([X, [[-1.5]]])
    y = np.append(y, 1)
    s = np.ones(6)
    assert code(logistic.fit(X, y, sample_weight=s)) is Code.CONVERGED
    s[4:] = 0.0
    assert code(logistic.fit(X, y, sample_weight=s)) is Code.DEGENERATE


@pytest.mark.parametrize("solver", ["newton", "lbfgs", "proximal"])
def test_overlapping_classes_are_never_called_separable(solver):
    for seed in range(5):
        if solver != "proximal":
            X, y = overlapping(np.random.default_rng(seed), k=2)
            assert code(logistic.fit(X, y, solver=solver, tol=1e-8)) is Code.CONVERGED
        if solver != "newton":
            X, y = overlapping(np.random.default_rng(seed), k=3)
            assert code(softmax.fit(X, y, n_classes=3, solver=solver, tol=1e-8)) is Code.CONVERGED


def test_three_classes_of_which_one_is_separable(rng):
    X, y = overlapping(rng, k=2)
    X = np.vstack([X, X[:5] + np.array([100.0, 0, 0])])
    y = np.append(y, np.full(5, 2))
    assert code(softmax.fit(X, y, n_classes=3)) is Code.DEGENERATE
    assert code(softmax.fit(X, y, n_classes=3, l2=1e-2)) is Code.CONVERGED


def test_one_class_only():
    y = np.ones(4, int)
    with pytest.raises(ValueError, match="1 class"):
        logistic.fit(LINE, y, l2=0.1)
    with pytest.raises(ValueError, match="1 class"):
        softmax.fit(LINE, y, n_classes=3, l2=0.1)
    assert code(jax.jit(lambda y: logistic.fit(LINE, y, l2=0.1))(y)) is Code.BAD_LABELS
    assert code(jax.jit(lambda y: softmax.fit(LINE, y, n_classes=3, l2=0.1))(y)) is Code.BAD_LABELS
    # The same if the weights remove the other class.
    s = np.array([0.0, 0.0, 1.0, 1.0])
    with pytest.raises(ValueError, match="1 class"):
        logistic.fit(LINE, [0, 0, 1, 1], sample_weight=s, l2=0.1)
    got = jax.jit(lambda s: logistic.fit(LINE, jnp.array([0, 0, 1, 1]), sample_weight=s, l2=0.1))(s)
    assert code(got) is Code.BAD_LABELS


@pytest.mark.parametrize("bad", [-1, 3])
def test_labels_out_of_range(bad):
    y = np.array([0, 1, 2, bad])
    with pytest.raises(ValueError, match=r"class label outside 0..2"):
        softmax.fit(LINE, y, n_classes=3, l2=0.1)
    assert code(jax.jit(lambda y: softmax.fit(LINE, y, n_classes=3, l2=0.1))(y)) is Code.BAD_LABELS
    y = np.array([0, 1, 0, bad])
    with pytest.raises(ValueError, match=r"class label outside 0..1"):
        logistic.fit(LINE, y, l2=0.1)
    assert code(jax.jit(lambda y: logistic.fit(LINE, y, l2=0.1))(y)) is Code.BAD_LABELS


def test_n_classes_is_static_and_at_least_two():
    with pytest.raises(ValueError, match="n_classes must be >= 2: got 1"):
        softmax.fit(LINE, [0, 0, 0, 0], n_classes=1, l2=0.1)
    with pytest.raises(TypeError, match="n_classes is static and must be an integer"):
        softmax.fit(LINE, [0, 1, 0, 1], n_classes=2.0, l2=0.1)


def test_a_class_without_rows_is_handled(rng):
    X, y = overlapping(rng, k=2)
    fit = softmax.fit(X, y, n_classes=4, l2=0.1)
    # Its intercept has no minimum: the loss falls for ever as it sinks.
    assert code(fit) in (Code.BAD_LABELS, Code.DEGENERATE)
