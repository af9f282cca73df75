"""The search of the benchmark: both sides find the same, and the judge tells wrong neighbors."""

import jax
import numpy as np
import pytest

from benchmarks import neighbors


def test_both_sides_find_the_same_and_the_judge_sees_what_is_wrong():
    pytest.importorskip("sklearn", reason="the peer is an extra")
    problem = neighbors.search(np.random.default_rng(0), "float64", n=600, d=4, k=5)
    D, index = problem.read(problem.fit(*jax.device_put(problem.arrays), tol=None))
    assert index.shape == (600, 5)
    assert problem.gap(D, index) <= 1e-12
    assert min(problem.work(0)) > 0
    wrong = np.array(index)
    wrong[:, -1] = (wrong[:, -1] + 1) % 600
    assert problem.gap(D, wrong) > 1e-3
    assert problem.gap(np.asarray(D) * 1.01, index) > 1e-3
    assert problem.gap(D, np.repeat(np.arange(600)[:, None], 5, axis=1)) == np.inf
    for algorithm in ("brute", "kd_tree"):
        run, read = neighbors.sklearn_search(problem.given, None, algorithm=algorithm)
        theirs = read(run())
        assert problem.gap(*theirs) <= 1e-6
        assert (theirs[1] == np.asarray(index)).mean() > 0.999
