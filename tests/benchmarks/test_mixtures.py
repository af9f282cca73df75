"""Benchmarks of k-means and mixtures: one problem for both sides, judges that see errors."""

import jax
import numpy as np
import pytest

from benchmarks import kmeans, mixtures
from benchmarks.config import JOBS
from benchmarks.peers import PeerMissingError

SIZES = {
    "latent.kmeans": {"n": 400, "d": 3, "k": 3, "spread": 3.0},
    "latent.kmeans_restarts": {"n": 400, "d": 3, "k": 3, "spread": 3.0, "starts": 3},
    "latent.gmm": {"n": 400, "d": 3, "k": 3, "spread": 3.0},
    "latent.gmm_restarts": {"n": 400, "d": 3, "k": 3, "spread": 3.0, "starts": 3},
}
PEERS = {job: [{"algorithm": a} for a in ("lloyd", "elkan")] if "kmeans" in job else [{}]
         for job in SIZES}  # fmt: skip


@pytest.mark.parametrize("job", [*kmeans.JOBS, *mixtures.JOBS])
def test_both_sides_solve_the_same_problem(job):
    pytest.importorskip("sklearn", reason="the peer is an extra")
    dtype = "float64" if jax.config.jax_enable_x64 else "float32"
    problem = JOBS[job].build(np.random.default_rng(2), dtype, **SIZES[job])
    fit = problem.fit(*jax.device_put(problem.arrays), tol=1e-6)
    ours = problem.read(fit)
    assert all(leaf.dtype == dtype for leaf in ours)
    required = 1e-3
    assert problem.gap(*ours) <= required
    assert problem.gap(*ours[:-1], 3.0 * ours[-1]) > required
    assert min(problem.work(int(fit.info.n_iter))) > 0
    for options in PEERS[job]:
        run, read = JOBS[job].peer(problem.given, 1e-6, **options)
        theirs = read(run())
        assert [np.shape(a) for a in theirs] == [a.shape for a in ours]
        assert problem.gap(*theirs) <= required, options


def test_a_missing_peer_says_so(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(mixtures.importlib, "import_module", missing)
    with pytest.raises(PeerMissingError, match="pip install gmmx"):
        mixtures._gmm_peer({}, 1e-3, library="gmmx")


def test_judges_against_scikit_learn():
    cluster = pytest.importorskip("sklearn.cluster", reason="the peer is an extra")
    X = np.random.default_rng(0).normal(size=(200, 2))
    model = cluster.KMeans(3, init=X[:3], n_init=1, tol=0).fit(X)
    C = kmeans.lloyd(X, X[:3])
    np.testing.assert_allclose(C, model.cluster_centers_, rtol=1e-10)
    np.testing.assert_allclose(kmeans.distortion(X, C), model.inertia_, rtol=1e-12)
    mixture = pytest.importorskip("sklearn.mixture")
    model = mixture.GaussianMixture(2, random_state=0, reg_covar=0.0, tol=1e-9, max_iter=999).fit(X)
    params = model.weights_, model.means_, model.covariances_
    L, new = mixtures.em_step(X, *params)
    np.testing.assert_allclose(L, model.score(X), rtol=1e-12)
    for a, b in zip(new, params, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-2)
