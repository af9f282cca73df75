"""Several classes: lanes against loops over scikit-learn's binary machines, and its own votes."""

import jax
import numpy as np
import pytest
from sklearn.svm import SVC

from jaxml import Code, datasets, kernels, svm

IRIS = datasets.iris()
X, Y = np.asarray(IRIS.X, np.float64), np.asarray(IRIS.y, np.int32)
KERNEL = kernels.RBF(0.3)


def test_one_vs_one_is_svc():
    fit = svm.one_vs_one(svm.dual.fit, X, Y, n_classes=3, kernel=KERNEL, C=2.0, tol=1e-6)
    assert (np.asarray(fit.info.code) == 0).all()
    model = SVC(C=2.0, gamma=0.3, tol=1e-6).fit(X, Y)
    got = svm.one_vs_one_predict(svm.dual.decision_function, fit.params, X, n_classes=3)
    np.testing.assert_array_equal(got, model.predict(X))
    model = SVC(C=2.0, gamma=0.3, tol=1e-6, decision_function_shape="ovo").fit(X, Y)
    scores = jax.vmap(lambda params: svm.dual.decision_function(params, X))(fit.params)
    np.testing.assert_allclose(scores.T, model.decision_function(X), atol=1e-3)


@pytest.mark.parametrize("module", ["dual", "primal"])
def test_one_vs_rest_is_a_loop_over_binary_fits(module):
    verbs = getattr(svm, module)
    hyper = {"kernel": KERNEL, "tol": 1e-6} if module == "dual" else {"squared": True}
    s = np.random.default_rng(0).uniform(0.5, 2.0, len(Y))
    fit = svm.one_vs_rest(verbs.fit, X, Y, n_classes=3, sample_weight=s, **hyper)
    scores = []
    for c in range(3):
        one = verbs.fit(X, np.where(c == Y, 1, -1), sample_weight=s, **hyper)
        scores.append(np.asarray(verbs.decision_function(one.params, X)))
    got = svm.one_vs_rest_predict(verbs.decision_function, fit.params, X)
    np.testing.assert_array_equal(got, np.argmax(scores, axis=0))
    assert got.dtype == "int32"
    assert (np.asarray(got) == Y).mean() > 0.9


def test_what_is_refused_and_what_is_said():
    with pytest.raises(ValueError, match=r"outside 0\.\.1"):
        svm.one_vs_rest(svm.dual.fit, X, Y, n_classes=2, kernel=KERNEL)
    with pytest.raises(ValueError, match="n_classes"):
        svm.one_vs_one(svm.dual.fit, X, Y, n_classes=1, kernel=KERNEL)
    # A class without rows shows in the code of its lanes, and in no other's.
    two = Y < 2
    fit = svm.one_vs_one(svm.dual.fit, X[two], Y[two], n_classes=3, kernel=KERNEL)
    assert [Code(int(c)) for c in fit.info.code] == [0, Code.BAD_LABELS, Code.BAD_LABELS]
    lanes = jax.jit(lambda y: svm.one_vs_rest(svm.dual.fit, X, y, n_classes=3, kernel=KERNEL).info)
    assert (np.asarray(lanes(np.where(np.arange(150) == 4, 7, Y)).code) == Code.BAD_LABELS).all()


def test_votes_are_settled_by_scores():
    """A cycle of three wins: the class with the larger sum of scores."""
    params = {"z": np.array([[1.0], [-2.0], [0.5]])}  # 0 beats 1, 2 beats 0, 1 beats 2
    got = svm.one_vs_one_predict(lambda p, X: p["z"] + 0 * X[:, 0], params, X[:4], n_classes=3)
    np.testing.assert_array_equal(got, 2)
