"""The t-SNE of the benchmark: both sides reach the divergence, and the judge is the library's."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import tsne
from benchmarks.peers import PeerMissingError
from jaxml.latent import tsne as model


def test_both_sides_reach_the_divergence_and_the_judge_agrees_with_the_library():
    pytest.importorskip("sklearn", reason="the peer is an extra")
    how = {"n": 150, "perplexity": 10.0, "steps": 500, "divergence": 0.4}
    problem = tsne.digits(np.random.default_rng(0), "float64", **how)
    (Y,) = problem.read(problem.fit(*jax.device_put(problem.arrays), tol=None))
    P = model.affinities(problem.given["X"], perplexity=10.0)
    np.testing.assert_allclose(tsne._affinities(problem.given["X"], 10.0), P, atol=1e-10)
    assert problem.gap(Y) == pytest.approx((float(model.loss(jnp.asarray(Y), P)) - 0.4) / 0.4)
    run, read = tsne.peer(problem.given, None, library="sklearn", method="exact")
    (theirs,) = read(run())
    assert theirs.shape == Y.shape
    assert problem.gap(Y) < problem.gap(theirs) + 0.1
    assert problem.gap(Y[::-1]) > problem.gap(Y) + 1
    assert min(problem.work(1000)) > 0


def test_a_missing_peer_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "openTSNE", None)  # as if it were not installed
    given = {"X": None, "start": None, "perplexity": 30.0, "steps": 1000}
    with pytest.raises(PeerMissingError, match="openTSNE is not installed"):
        tsne.peer(given, None, library="openTSNE", method="bh")
