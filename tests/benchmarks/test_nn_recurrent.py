"""Rows of the LSTM and of pooling: both sides compute the same, and wrong answers are seen."""

import jax
import numpy as np
import pytest

from benchmarks import nn_recurrent

LSTM = {"t": 4, "b": 3, "d": 2, "h": 5}
POOL = {"n": 2, "h": 7, "w": 6, "c": 3, "window": 3, "stride": 2, "pad": 1}
ROWS = {
    "lstm": (nn_recurrent.lstm, nn_recurrent.lstm_peer, LSTM, {}),
    "max": (nn_recurrent.pool, nn_recurrent.pool_peer, POOL, {}),
    "mean": (nn_recurrent.pool, nn_recurrent.pool_peer, {**POOL, "mean": True}, {}),
    "last": (nn_recurrent.pool, nn_recurrent.pool_peer, POOL, {"channels_last": True}),
}
# Flax has one layout, so that it is not asked for another.
PEERS = [(name, "torch") for name in ROWS] + [(n, "flax") for n in ROWS if not ROWS[n][3]]


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", ["lstm", "max", "mean"])
def test_the_judge_tells_right_from_wrong(name, gradient):
    build, _, sizes, _ = ROWS[name]
    problem = build(np.random.default_rng(0), "float32", **sizes, gradient=gradient)
    (out,) = problem.read(problem.fit(*jax.device_put(problem.arrays), tol=None))
    assert problem.gap(out) <= 1e-6
    leaves, tree = jax.tree.flatten(out)
    for k, leaf in enumerate(leaves):
        wrong = np.array(leaf)
        wrong.ravel()[0] += 0.1 + abs(wrong.ravel()[0])
        assert problem.gap(jax.tree.unflatten(tree, [*leaves[:k], wrong, *leaves[k + 1 :]])) > 1e-3


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(("name", "library"), PEERS)
def test_peers_compute_the_same(name, library, gradient):
    pytest.importorskip(library, reason=f"{library} is a peer, an extra")
    build, peer, sizes, options = ROWS[name]
    problem = build(np.random.default_rng(1), "float32", **sizes, gradient=gradient)
    run, read = peer(problem.given, None, library=library, **options)
    assert problem.gap(*read(run())) <= 1e-6
