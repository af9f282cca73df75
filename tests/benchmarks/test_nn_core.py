"""Batch norm and dropout: both sides solve one problem, and the judge tells right from wrong."""

import jax
import numpy as np
import pytest

from benchmarks import nn_core
from benchmarks.peers import PeerMissingError

SIZES = {
    "nn.batch_norm": {"n": 3, "h": 4, "w": 2, "c": 5},
    "nn.dropout": {"n": 64, "d": 33, "rate": 0.1},
}
GAPS = {"nn.batch_norm": 1e-5, "nn.dropout": 1e-6}
PEERS = [
    ("nn.batch_norm", {"library": "torch"}), ("nn.batch_norm", {"library": "flax"}),
    ("nn.batch_norm", {"library": "torch", "channels_last": True}),
    ("nn.dropout", {"library": "torch"}),
    ("nn.dropout", {"library": "flax"}),
]  # fmt: skip


def problem(name, gradient):
    return nn_core.JOBS[name].build(
        np.random.default_rng(0), "float32", **SIZES[name], gradient=gradient
    )


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("name", SIZES)
def test_our_side_and_a_wrong_one(name, gradient):
    job = problem(name, gradient)
    out = job.fit(*job.arrays, tol=None)
    assert job.gap(*job.read(out)) < GAPS[name]
    bent = jax.tree.map(lambda leaf: leaf * 1.01, out)
    assert job.gap(*job.read(bent)) > 1e-3
    if gradient:
        first = jax.tree.leaves(out)[0]
        assert job.gap(*job.read((first, jax.tree.map(lambda v: -v, out[1]), *out[2:]))) > 1e-3
    assert all(v > 0 for v in job.work(0)[:1])


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize(("name", "options"), PEERS)
def test_peers_answer_the_same_question(name, options, gradient):
    job = problem(name, gradient)
    try:
        run, read = nn_core.JOBS[name].peer(job.given, None, **options)
    except PeerMissingError as error:
        pytest.skip(str(error))
    assert job.gap(*read(run())) < GAPS[name]


def test_a_mask_of_another_rate_is_no_answer():
    job = problem("nn.dropout", False)
    x = job.given["x"]
    kept = np.random.default_rng(1).random(x.shape) >= 0.3
    assert job.gap(x * kept / 0.7) == np.inf
    assert job.gap(x * (np.random.default_rng(1).random(x.shape) >= 0.1)) == np.inf  # not scaled
