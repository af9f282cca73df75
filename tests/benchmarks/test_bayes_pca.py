"""The jobs of naive Bayes and of principal components: equal problems, judges that tell."""

import numpy as np
import pytest

from benchmarks import bayes, pca

TINY = {
    "latent.pca": {"n": 200, "d": 6, "k": 2},
    "latent.pca_randomized": {"n": 80, "d": 40, "k": 3, "decay": 0.5},
    "bayes.gaussian": {"n": 200, "d": 4, "k": 3},
    "bayes.multinomial": {"n": 200, "d": 4, "k": 3},
}
OPTIONS = {"latent.pca": "covariance_eigh", "latent.pca_randomized": "randomized"}


@pytest.mark.parametrize("name", TINY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_sides_solve_the_same_problem(name, dtype):
    job = {**bayes.JOBS, **pca.JOBS}[name]
    problem = job.build(np.random.default_rng(0), dtype, **TINY[name])
    ours = problem.read(problem.fit(*problem.arrays, tol=None))
    options = {"solver": OPTIONS[name]} if name in OPTIONS else {}
    run, read = job.peer(problem.given, 10.0 if "randomized" in name else None, **options)
    tol = {"float32": 1e-5, "float64": 1e-9}[dtype]
    assert problem.gap(*ours) <= tol
    assert problem.gap(*read(run())) <= max(tol, 1e-4 if "randomized" in name else 0.0)
    # A wrong answer is told from a right one.
    wrong = [np.array(leaf, float) for leaf in ours]
    wrong[-1] = wrong[-1][::-1] if name.startswith("bayes") else np.roll(wrong[-1], 1, axis=1)
    assert problem.gap(*wrong) > 1e-3
    n_bytes, flops = problem.work(1)
    assert n_bytes > 0
    assert flops > 0
