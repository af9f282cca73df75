"""Solutions against scikit-learn, enumeration and known values; certificates in NumPy."""

import itertools

import jax
import numpy as np
import pytest
from sklearn.svm import SVC

from jaxml import Code, datasets, kernels, losses
from jaxml.svm import dual, primal
from tests import processes, tolerances
from tests.svm.family import FAMILY, LINEAR, code, gap, kernel_matrix, problem

SIX = np.array([[-2.0, -1], [-1, -1], [-1, -2], [1, 1], [1, 2], [2, 1]])
SIGNS = np.array([-1, -1, -1, 1, 1, 1])


def test_six_points():
    """What libsvm finds: two support vectors, a margin of 1 along (1, 1) / 2."""
    fit = dual.fit(SIX, SIGNS, kernel=kernels.Linear(), C=1.0)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_allclose(fit.params.dual_coef, [0, -0.25, 0, 0.25, 0, 0], atol=1e-6)
    np.testing.assert_array_equal(dual.support(fit.params), [0, 1, 0, 1, 0, 0])
    assert abs(float(fit.params.intercept)) <= 1e-6
    scores = dual.decision_function(fit.params, SIX)
    np.testing.assert_allclose(scores, [-1.5, -1, -1.5, 1, 1.5, 1.5], atol=1e-6)
    np.testing.assert_array_equal(dual.predict(fit.params, SIX), SIGNS)
    np.testing.assert_allclose(dual.coef(fit.params), [0.5, 0.5], atol=1e-6)
    assert float(fit.info.gap) <= 1e-6


def test_precomputed_and_callable_kernels_and_the_scale_of_weights():
    X, y, _ = problem(30)
    want = dual.fit(X, y, kernel=kernels.Linear(), C=1.0, tol=1e-9)
    others = [
        dual.fit(X @ X.T, y, kernel="precomputed", C=1.0, tol=1e-9),
        dual.fit(X, y, kernel=lambda x, z: x @ z, C=1.0, tol=1e-9),
        dual.fit(X, y, kernel=kernels.Linear(), C=100.0, sample_weight=np.full(30, 0.01), tol=1e-9),
        dual.fit(X, y, kernel=kernels.Polynomial(1, 1.0, 0.0), C=1.0, tol=1e-9),
    ]
    Z = problem(9, seed=3)[0]
    for i, fit in enumerate(others):
        assert code(fit) is Code.CONVERGED
        np.testing.assert_allclose(fit.params.dual_coef, want.params.dual_coef, atol=1e-6)
        scores = dual.decision_function(fit.params, Z @ X.T if i == 0 else Z)
        np.testing.assert_allclose(scores, dual.decision_function(want.params, Z), atol=1e-6)
    with pytest.raises(TypeError, match="only the kernel Linear"):
        dual.coef(others[1].params)


@pytest.mark.parametrize("C", [0.05, 1.0, 10.0])
@pytest.mark.parametrize("name", ["rbf", "polynomial", "linear"])
def test_against_svc(name, C):
    X, y, s = problem(60)
    gamma = 1.0 / (3 * X.var())  # gamma="scale"
    kernel = {
        "rbf": kernels.RBF(gamma),
        "polynomial": kernels.Polynomial(2, gamma, 1.0),
        "linear": kernels.Linear(),
    }[name]
    name = "poly" if name == "polynomial" else name
    model = SVC(C=C, kernel=name, degree=2, coef0=1.0, tol=1e-8)
    for weight in (None, s):
        model.fit(X, y, sample_weight=weight)
        fit = dual.fit(X, y, kernel=kernel, C=C, sample_weight=weight, tol=1e-8)
        assert code(fit) is Code.CONVERGED
        scores = dual.decision_function(fit.params, X)
        atol = 1e-5 + 1e-5 * C  # libsvm keeps K in float32
        np.testing.assert_allclose(scores, model.decision_function(X), rtol=1e-5, atol=atol)
        b = np.zeros(60)
        b[model.support_] = model.dual_coef_[0]
        K = np.asarray(kernels.gram(kernel, X))
        J = 0.5 * b @ K @ b - y @ b
        assert float(fit.info.objective) <= J + 1e-7 * abs(J)
        alpha = np.asarray(fit.params.dual_coef) * y
        again = dual.objective(alpha, K, y.astype(float))
        np.testing.assert_allclose(fit.info.objective, again, rtol=1e-12)


def enumerate_sets(K, y, caps):
    """Minimize 1/2 b'K b - y'b by trying every assignment of rows to 0, free and cap."""
    n, best = len(y), (np.inf, None)
    for state in map(np.array, itertools.product((0, 1, 2), repeat=n)):
        F, u = state == 1, np.where(state == 2, y * caps, 0.0)
        A = np.block([[K[np.ix_(F, F)], np.ones((F.sum(), 1))], [np.ones((1, F.sum())), 0.0]])
        r = np.append((y - K @ u)[F], -u.sum())
        b = u.copy()
        b[F] = np.linalg.lstsq(A, r, rcond=None)[0][:-1]
        feasible = abs(b.sum()) < 1e-9 and (b * y > -1e-9).all() and (b * y < caps + 1e-9).all()
        J = 0.5 * b @ K @ b - y @ b
        if feasible and best[0] > J:
            best = J, b
    return best


@pytest.mark.parametrize("seed", range(4))
def test_against_enumeration(seed):
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(6, 2)), np.array([1, -1, 1, -1, 1, -1])
    s = rng.uniform(0.3, 2.0, 6)
    K = np.exp(-0.5 * ((X[:, None] - X[None]) ** 2).sum(-1))
    J, b = enumerate_sets(K, y, s)
    fit = dual.fit(X, y, kernel=kernels.RBF(0.5), C=1.0, sample_weight=s, tol=1e-10)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_allclose(fit.info.objective, J, rtol=1e-9)
    np.testing.assert_allclose(fit.params.dual_coef, b, atol=1e-7)


@pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_certificates_recomputed(member, dtype):
    X, y, s = problem(40, dtype=dtype, seed=2)
    tol = 1e-4 if dtype == "float32" else 1e-8
    C = member.hyper["C"]
    fit = member.fit(X, y, sample_weight=s, tol=tol)
    assert code(fit) is Code.CONVERGED
    assert float(fit.info.residual) <= tol
    if member.module is dual:
        b = np.asarray(fit.params.dual_coef)
        K = kernel_matrix(member, X)
        violation, outside = gap(K, y, (C * s).astype(dtype), b)
        assert violation <= 10 * tol
        assert outside <= 10 * tolerances.of(dtype).rounding
        f = K @ b.astype(np.float64) + float(fit.params.intercept)
        square = b @ K @ b
        primal_value = 0.5 * square + C * s @ np.maximum(0.0, 1 - y * f)
        dual_value = np.abs(b).sum() - 0.5 * square
        assert primal_value - dual_value <= 10 * tol * primal_value
        again = max((primal_value - dual_value) / primal_value, np.finfo(dtype).eps)
        assert abs(again - float(fit.info.gap)) <= 10 * tolerances.of(dtype).rounding
    else:
        w, c = (np.asarray(leaf, np.float64) for leaf in fit.params)
        slack = np.maximum(0.0, 1 - y * (X.astype(np.float64) @ w + c))
        J = 0.5 * w @ w + C * s @ (slack**2 if member.squared else slack)
        np.testing.assert_allclose(fit.info.objective, J, rtol=10 * tolerances.of(dtype).rounding)
        exact = member.fit(X.astype(np.float64), y, sample_weight=s.astype(float), tol=1e-10)
        least = float(exact.info.objective)
        assert J - least <= 10 * tol * J + 1e-9 * J


@pytest.mark.parametrize("member", LINEAR, ids=lambda m: m.label)
def test_primal_and_dual_meet(member):
    """Strong duality for the linear machines, by one evaluation of the primal loss."""
    X, y, s = problem(40, seed=4)
    fit = member.fit(X, y, sample_weight=s, tol=1e-11)
    C, squared = member.hyper["C"], member.squared
    w = dual.coef(fit.params) if member.module is dual else fit.params.coef
    params = primal.Params(w, fit.params.intercept)
    J = primal.loss(params, X, y, C=C, squared=squared, sample_weight=s)
    of = losses.squared_hinge if squared else losses.hinge
    z = X @ np.asarray(w) + float(params.intercept)
    want = 0.5 * float(w @ w) + C * float(s @ np.asarray(of(z, y)))
    np.testing.assert_allclose(J, want, rtol=1e-12)
    if squared:  # its dual point: a = 2 C s slack
        a = 2 * C * s * np.maximum(0.0, 1 - y * z)
        value = a.sum() - 0.5 * float(w @ w) - (a**2 / (4 * C * s)).sum()
        np.testing.assert_allclose(a * y @ X, w, rtol=1e-8)
    else:
        exact = dual.fit(X, y, kernel=kernels.Linear(), C=C, sample_weight=s, tol=1e-11)
        value = -float(exact.info.objective)
        np.testing.assert_allclose(w, dual.coef(exact.params), rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(J, value, rtol=1e-8)


def test_squared_hinge_against_scipy():
    """By BFGS: LinearSVC penalizes the intercept, so that it has another answer."""
    from scipy.optimize import minimize

    X, y, s = problem(50, seed=1)

    def J(v):
        slack = np.maximum(0.0, 1 - y * (X @ v[:3] + v[3]))
        g = -2 * 0.7 * s * slack * y
        return 0.5 * v[:3] @ v[:3] + 0.7 * s @ slack**2, np.append(v[:3] + g @ X, g.sum())

    want = minimize(J, np.zeros(4), jac=True, tol=1e-14, options={"gtol": 1e-10}).x
    fit = primal.fit(X, y, C=0.7, squared=True, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_allclose(np.append(fit.params.coef, fit.params.intercept), want, atol=1e-7)


def test_real_data_as_svc_sees_it():
    data = datasets.breast_cancer()
    X = np.asarray(data.X, np.float64)
    X, y = (X - X.mean(0)) / X.std(0), np.where(np.asarray(data.y) > 0, 1, -1)
    fit = dual.fit(X, y, kernel=kernels.RBF(1 / 30), C=10.0)
    model = SVC(C=10.0, gamma=1 / 30).fit(X, y)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_array_equal(dual.predict(fit.params, X), model.predict(X))
    np.testing.assert_allclose(
        dual.decision_function(fit.params, X), model.decision_function(X), atol=3e-3
    )


def test_a_grid_is_one_call():
    """C, gamma and folds as lanes; what they share is computed once, and each is the solo fit."""
    X, y, _ = problem(40, seed=6)
    folds = (np.arange(40)[None, :] % 4 != np.arange(4)[:, None]).astype(float)

    @jax.jit
    def grid(C, gamma, folds):
        def one(C, gamma, s):
            fit = dual.fit(X, y, kernel=kernels.RBF(gamma), C=C, sample_weight=s, tol=1e-6)
            return fit.params.dual_coef, fit.params.intercept, fit.info

        lanes = jax.vmap(one, (None, None, 0))
        lanes = jax.vmap(lanes, (0, None, None))
        return jax.vmap(lanes, (None, 0, None))(C, gamma, folds)

    C, gamma = np.array([0.3, 3.0]), np.array([0.1, 0.5])
    b, c, info = grid(C, gamma, folds)
    assert b.shape == (2, 2, 4, 40)
    assert (np.asarray(info.code) == 0).all()
    for g, k, f in ((0, 1, 2), (1, 0, 3)):
        kernel = kernels.RBF(gamma[g])
        kept = folds[f] > 0
        one = dual.fit(X[kept], y[kept], kernel=kernel, C=C[k], tol=1e-6)
        assert (np.asarray(b[g, k, f])[~kept] == 0).all()
        np.testing.assert_allclose(b[g, k, f][kept], one.params.dual_coef, atol=1e-4)
        np.testing.assert_allclose(c[g, k, f], one.params.intercept, atol=1e-4)


def test_warm_starts():
    """Along C: fewer pairs than from zero, the same answer; a start that is far is repaired."""
    X, y, s = problem(150, seed=3)
    kernel = kernels.RBF(0.3)
    first = dual.fit(X, y, kernel=kernel, C=1.0, sample_weight=s, tol=1e-8)
    cold = dual.fit(X, y, kernel=kernel, C=1.1, sample_weight=s, tol=1e-8)
    warm = dual.fit(X, y, kernel=kernel, C=1.1, sample_weight=s, tol=1e-8, init=first.params)
    again = dual.fit(X, y, kernel=kernel, C=1.1, sample_weight=s, tol=1e-8, init=cold.params)
    far = first.params._replace(dual_coef=10.0 * y + 5.0)
    repaired = dual.fit(X, y, kernel=kernel, C=1.1, sample_weight=s, tol=1e-8, init=far)
    assert int(again.info.n_iter) == 1 < int(warm.info.n_iter) < int(cold.info.n_iter)
    for other in (warm, again, repaired):
        assert code(other) is Code.CONVERGED
        np.testing.assert_allclose(other.info.objective, cold.info.objective, rtol=1e-12)
        np.testing.assert_allclose(other.params.dual_coef, cold.params.dual_coef, atol=1e-6)
        assert abs(np.sum(other.params.dual_coef)) < 1e-12
    tiny = primal.fit(X, y, C=0.5, squared=True)
    warm = primal.fit(X, y, C=0.5, squared=True, init=tiny.params)
    assert int(warm.info.n_iter) < int(tiny.info.n_iter)
    np.testing.assert_allclose(warm.params.coef, tiny.params.coef, rtol=1e-9)
    with pytest.raises(TypeError, match="init must be a Params: got tuple"):
        dual.fit(X, y, kernel=kernel, init=(1.0, 2.0))
    with pytest.raises(ValueError, match=r"init.dual_coef must have shape \(20,\): got \(150,\)"):
        dual.fit(X[:20], y[:20], kernel=kernel, init=cold.params)
    with pytest.raises(ValueError, match="squared=True alone"):
        primal.fit(X, y, init=tiny.params)


SHARDED = """
    from jaxml import kernels
    from jaxml.svm import dual, primal
    rng = np.random.default_rng(0)
    X, s = rng.normal(size=(96, 3)), rng.uniform(0.5, 2.0, 96)
    y = np.where(X @ [1.0, -1.0, 0.5] + 0.5 * rng.normal(size=96) > 0, 1, -1)
    how = {"C": 0.5, "kernel": kernels.RBF(0.3), "tol": 1e-10}
    same(lambda X, y, s: primal.fit(X, y, C=0.5, squared=True, sample_weight=s), X, y, s, atol=1e-9)
    same(lambda X, y, s: dual.fit(X, y, sample_weight=s, **how), X, y, s,
         atol=1e-7, only_sums=False)
"""


def test_sharded_rows():
    """The squared hinge by sums alone; the dual gives the same answer but moves rows of K."""
    processes.run_on_two_devices(SHARDED)
