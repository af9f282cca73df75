"""The benchmarks of layers: both sides compute the same, and the judge tells right from wrong."""

import sys

import jax
import numpy as np
import pytest

from benchmarks import layers, nn_conv
from benchmarks.config import JOBS
from benchmarks.peers import PeerMissingError

SIZES = {
    "nn.conv": {"n": 2, "h": 6, "w": 5, "c_in": 3, "c_out": 4},
    "nn.residual": {"n": 3, "h": 5, "w": 4, "c": 4},
}
OPTIONS = [
    {"library": "torch"},
    {"library": "torch", "channels_last": True},
    {"library": "flax"},
]


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("job", nn_conv.JOBS)
def test_jaxml_is_right_and_the_judge_sees_a_wrong_leaf(job, dtype, gradient):
    sizes = {**SIZES[job], "gradient": gradient}
    problem = JOBS[job].build(np.random.default_rng(2), dtype, **sizes)
    required = {"float32": 1e-5, "float64": 1e-12, "bfloat16": 5e-2}[dtype]
    out = problem.read(problem.fit(*jax.device_put(problem.arrays), tol=None))[0]
    assert {leaf.dtype.name for leaf in jax.tree.leaves(out)} == {dtype}
    assert problem.gap(out) <= required
    leaves, tree = jax.tree.flatten(out)
    for i, leaf in enumerate(leaves):
        bent = [*leaves[:i], np.asarray(leaf, np.float64) * 1.2, *leaves[i + 1 :]]
        assert problem.gap(jax.tree.unflatten(tree, bent)) > 0.15
    assert problem.gap(jax.tree.map(lambda leaf: np.nan * leaf, out)) == np.inf
    with pytest.raises(ValueError, match="outputs must have the shapes"):
        problem.gap(leaves[:-1] if gradient else [leaves[0][:1]])
    n_bytes, flops = problem.work(0)
    assert n_bytes >= 2 * problem.arrays[1].nbytes
    assert (
        flops
        == (3 if gradient else 1)
        * JOBS[job].build(np.random.default_rng(2), dtype, **SIZES[job]).work(0)[1]
    )


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("job", nn_conv.JOBS)
def test_peers_compute_the_same(job, options, gradient):
    pytest.importorskip(options["library"], reason="the peer is in the extra bench")
    dtype = "float64" if jax.config.jax_enable_x64 else "float32"
    sizes = {**SIZES[job], "gradient": gradient}
    problem = JOBS[job].build(np.random.default_rng(2), dtype, **sizes)
    run, read = JOBS[job].peer(problem.given, None, **options)
    assert problem.gap(*read(run())) <= (1e-12 if dtype == "float64" else 1e-5)


def test_a_leaf_that_is_zero_is_judged_beside_the_others():
    want = [np.full(4, 2.0), np.zeros(3)]
    assert layers.error([np.full(4, 2.0), np.full(3, 2e-9)], want) == pytest.approx(1e-6)
    assert layers.error([np.full(4, 2.2), np.zeros(3)], want) == pytest.approx(0.1)


@pytest.mark.parametrize("library", ["torch", "flax"])
def test_a_missing_peer_is_told(library, monkeypatch):
    for name in (library, "flax.linen"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(PeerMissingError, match="is not installed"):
        getattr(layers, library)()
