"""The rows of the support vector machines: both sides solve one problem, the judge knows it."""

import numpy as np
import pytest

from benchmarks.svm import JOBS, duality_gap

SIZES = {"n": 60, "d": 3, "C": 1.0, "gamma": 0.3}
GRID = {
    "folds": 3, "bounds": 2, "least_C": 0.1, "most_C": 1.0,
    "widths": 2, "least_gamma": 0.01, "most_gamma": 0.1,
}  # fmt: skip


def both(job, sizes, dtype="float64"):
    """The problem, jaxml's answer and the peer's, at a tight tol."""
    job = JOBS[job]
    problem = job.build(np.random.default_rng(0), dtype, **sizes)
    ours = problem.read(problem.fit(*problem.arrays, tol=1e-6))
    run, read = job.peer(problem.given, 1e-6)
    return problem, ours, read(run())


@pytest.mark.parametrize(("job", "sizes"), [("svm.dual", SIZES), ("svm.dual_grid", GRID)])
def test_both_sides_solve_the_same_problem(job, sizes):
    problem, (ours,), (theirs,) = both(job, sizes)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-3)
    for b in (ours, theirs):
        assert 0 <= problem.gap(b) <= 1e-5
    n_bytes, flops = problem.work(10)
    assert n_bytes > 0
    assert flops > 0


def test_a_peer_option_is_passed_on():
    _, (ours,), (theirs,) = both("svm.dual_grid", GRID)
    problem = JOBS["svm.dual_grid"].build(np.random.default_rng(0), "float64", **GRID)
    run, read = JOBS["svm.dual_grid"].peer(problem.given, 1e-6, cache_size=100, n_jobs=2)
    np.testing.assert_array_equal(read(run())[0], theirs)
    assert ours.shape == theirs.shape


def test_the_judge_tells_right_from_wrong():
    problem, (b,), _ = both("svm.dual", SIZES)
    X, y = problem.arrays
    at = {"C": 1.0, "gamma": 0.3}
    exact = duality_gap(X, y, b, **at)
    # By brute force over the intercept: the judge takes the best of them.
    K = np.exp(-0.3 * ((X[:, None] - X[None]) ** 2).sum(-1))
    f = K @ b
    hinges = [np.maximum(0.0, 1 - y * (f + c)).sum() for c in np.append(y - f, 0.0)]
    primal = 0.5 * b @ f + min(hinges)
    want = (primal - (b @ y - 0.5 * b @ f)) / primal
    np.testing.assert_allclose(exact, max(want, 0.0), atol=1e-12)
    assert duality_gap(X, y, 0.5 * b, **at) > 1e-2
    assert duality_gap(X, y, 0.0 * b, **at) == pytest.approx(1.0)
    for wrong in (2.0 * b, -b, b + 0.01, np.full_like(b, np.nan)):
        assert duality_gap(X, y, wrong, **at) == float("inf")
