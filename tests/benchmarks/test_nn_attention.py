"""Attention and the block: both sides solve one problem, and the judge tells right from wrong."""

import jax
import numpy as np
import pytest

from benchmarks import nn_attention
from benchmarks.peers import PeerMissingError

SIZES = {
    "nn.attention": {"b": 2, "t": 9, "h": 2, "d": 4},
    "nn.transformer_block": {"b": 2, "t": 5, "d_model": 8, "n_heads": 2, "d_hidden": 12},
}


def problem(name, gradient, causal):
    return nn_attention.JOBS[name].build(
        np.random.default_rng(0), "float32", **SIZES[name], gradient=gradient, causal=causal
    )


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", SIZES)
def test_our_side_and_a_wrong_one(name, gradient):
    job = problem(name, gradient, causal=True)
    out = job.fit(*job.arrays, tol=None)
    assert job.gap(*job.read(out)) < 1e-5
    bent = jax.tree.map(lambda leaf: leaf * 1.01, out)
    assert job.gap(*job.read(bent)) > 1e-3
    other = problem(name, gradient, causal=False)
    assert other.gap(*job.read(out)) > 1e-2


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("library", ["torch", "flax"])
@pytest.mark.parametrize("name", SIZES)
def test_peers_answer_the_same_question(name, library, gradient, causal):
    job = problem(name, gradient, causal)
    try:
        run, read = nn_attention.JOBS[name].peer(job.given, None, library=library)
    except PeerMissingError as error:
        pytest.skip(str(error))
    assert job.gap(*read(run())) < 1e-5
