"""The metrics of the benchmark: both sides find the exact value, and the judge tells wrong ones."""

import jax
import numpy as np
import pytest

from benchmarks import metrics

SIZES = {
    "metrics.roc_auc": {"n": 400}, "metrics.log_loss": {"n": 400},
    "metrics.f1": {"n": 400, "k": 3}, "metrics.confusion_matrix": {"n": 400, "k": 3},
}  # fmt: skip


@pytest.mark.parametrize("name", SIZES)
def test_both_sides_find_the_exact_value(name):
    pytest.importorskip("sklearn", reason="the peer is an extra")
    job = metrics.JOBS[name]
    problem = job.build(np.random.default_rng(0), "float64", **SIZES[name])
    (ours,) = problem.read(problem.fit(*jax.device_put(problem.arrays), tol=None))
    assert problem.gap(ours) <= 1e-13
    assert problem.gap(ours * 1.01) > 1e-3
    assert min(problem.work(0)) > 0
    run, read = job.peer(problem.given, None)
    assert problem.gap(*read(run())) <= 1e-13


def test_f1_of_two_classes_is_that_of_the_second():
    y, p = np.array([0, 1, 1, 0]), np.array([1, 1, 0, 1])
    assert metrics.exact_f1(y, p, 2) == 2 / 5
    assert metrics.exact_auc(np.array([0, 1, 0, 1]), np.array([0.5, 0.5, 0.5, 0.9])) == 0.75
