"""The ensembles of the benchmark: both sides learn the rule, and the judge tells wrong labels."""

import jax
import numpy as np
import pytest

from benchmarks import trees_ensembles


@pytest.mark.parametrize(("build", "peer", "sizes"), [
    (trees_ensembles.forest, trees_ensembles.forest_peer, {"trees": 10, "depth": 5}),
    (trees_ensembles.adaboost, trees_ensembles.adaboost_peer, {"stumps": 10}),
])  # fmt: skip
def test_both_sides_learn_and_the_judge_sees_what_is_wrong(build, peer, sizes):
    pytest.importorskip("sklearn", reason="the peer is an extra")
    problem = build(np.random.default_rng(0), "float32", n=2000, d=6, **sizes)
    fit = problem.fit(*jax.device_put(problem.arrays), tol=None)
    (labels,) = problem.read(fit)
    assert labels.shape == (trees_ensembles.HELD_OUT,)
    ours = problem.gap(labels)
    run, read = peer(problem.given, None)
    theirs = problem.gap(*read(run()))
    assert min(ours, theirs) > 0
    assert abs(ours - theirs) < 0.03
    assert problem.gap(1 - labels) > 0.3
    perfect = (trees_ensembles.rule(problem.given["test"]) > 0).astype(int)
    assert abs(problem.gap(perfect)) < 1e-3
    assert min(problem.work(0)) > 0
