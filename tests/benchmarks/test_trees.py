"""The jobs of the trees: both sides learn the same, and the judge tells what is worse."""

import jax
import numpy as np
import pytest

from benchmarks import trees
from benchmarks.peers import PeerMissingError

TINY = {
    "trees.tree": ({"n": 600, "d": 6, "depth": 3}, [{}]),
    "trees.boosting": (
        {"n": 600, "d": 6, "rounds": 8, "depth": 3},
        [{"library": name} for name in ("sklearn", "xgboost", "lightgbm")],
    ),
}


@pytest.mark.parametrize("name", TINY)
def test_both_sides_learn_the_same(name):
    pytest.importorskip("sklearn", reason="the peer is an extra")
    sizes, peers = TINY[name]
    job = trees.JOBS[name]
    problem = job.build(np.random.default_rng(0), "float32", **sizes)
    (p,) = problem.read(problem.fit(*jax.device_put(problem.arrays), tol=None))
    gap = problem.gap(p)
    assert 0 < gap < 2
    assert problem.gap(np.full(trees.TEST, 0.5)) > gap  # nothing learned
    assert problem.gap(problem.given["data"].p_test) == 0
    assert problem.gap(1 - np.asarray(p)) > gap
    assert min(problem.work(1)) > 0
    for options in peers:
        try:
            run, read = job.peer(problem.given, None, **options)
        except PeerMissingError:
            continue
        assert problem.gap(*read(run())) == pytest.approx(gap, abs=0.1)
