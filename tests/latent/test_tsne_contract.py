"""The contract of t-SNE: degenerate rows, bad arguments, codes, transformations, lowering."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.latent import tsne
from tests.latent.tsne_problems import KEY, QUICK, blobs, code


@pytest.mark.parametrize("n", [30, 520])
def test_equal_rows_are_degenerate(n):
    fit = tsne.fit(np.full((n, 2), 3.0), key=KEY, **QUICK)
    assert code(fit) is Code.DEGENERATE
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(fit))


@pytest.mark.parametrize("n", [30, 520])
def test_duplicates_among_others(n):
    X, _ = blobs(n)
    X[: n // 2] = X[0]
    fit = tsne.fit(X, key=KEY, **QUICK)
    assert code(fit) is Code.MAX_ITER
    assert np.isfinite(fit.params.embedding).all()


def test_bad_arguments():
    X, _ = blobs(20)
    for f in (tsne.affinities, lambda X, **kw: tsne.fit(X, key=KEY, **kw)):
        with pytest.raises(ValueError, match="perplexity must be less than the number of rows"):
            f(X, perplexity=20.0)
        with pytest.raises(ValueError, match="perplexity must be >= 1"):
            f(X, perplexity=0.5)
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            f(np.where(np.arange(4) == 1, np.nan, X), perplexity=3.0)
        with pytest.raises(ValueError, match="2 axes"):
            f(X[:, 0], perplexity=3.0)
    with pytest.raises(ValueError, match=r"init must have shape \(20, 2\)"):
        tsne.fit(X, key=KEY, perplexity=3.0, init=X)
    with pytest.raises(ValueError, match="init must be one of pca, random"):
        tsne.fit(X, key=KEY, perplexity=3.0, init="spectral")
    with pytest.raises(ValueError, match="learning_rate must be one of auto"):
        tsne.fit(X, key=KEY, perplexity=3.0, learning_rate="fast")
    for name in ("learning_rate", "early_exaggeration", "tol"):
        with pytest.raises(ValueError, match=f"{name} must be > 0"):
            tsne.fit(X, key=KEY, perplexity=3.0, **{name: 0.0})
    with pytest.raises(ValueError, match="max_iter must be >= 1"):
        tsne.fit(X, key=KEY, perplexity=3.0, max_iter=0)
    big = np.zeros((513, 1))
    with pytest.raises(ValueError, match="more than 512 rows"):
        jax.jit(lambda p: tsne.fit(big, key=KEY, perplexity=p))(3.0)


@pytest.mark.parametrize("n", [24, 520])
def test_traced_numbers_that_are_bad(n):
    X, _ = blobs(n)
    fit = jax.jit(lambda X: tsne.fit(X, key=KEY, **QUICK))
    X[3, 1] = np.inf
    bad = fit(X)
    assert code(bad) is Code.NONFINITE_INPUT
    assert np.isnan(bad.params.embedding).all()


def test_divergence_is_told():
    X, _ = blobs(24)
    fit = tsne.fit(X, key=KEY, **{**QUICK, "learning_rate": 1e300})
    assert code(fit) is Code.DIVERGED
    assert np.isnan(fit.params.embedding).all()


def test_traced_perplexity_out_of_range_is_degenerate():
    X, _ = blobs(24)
    how = {**QUICK}
    del how["perplexity"]
    fits = jax.jit(jax.vmap(lambda p: tsne.fit(X, key=KEY, perplexity=p, **how)))(
        jnp.array([5.0, 24.0, 0.5, jnp.nan])
    )
    assert fits.info.code.tolist() == [1, 5, 5, 9]
    solo = tsne.fit(X, key=KEY, **QUICK).params.embedding
    np.testing.assert_allclose(fits.params.embedding[0], solo, atol=1e-9)


def test_jit_vmap_repeats_and_keys():
    X, _ = blobs(24)
    how = {**QUICK, "init": "random"}
    keys = jax.random.split(KEY, 3)
    one = jax.jit(lambda key: tsne.fit(X, key=key, **how))
    lanes = jax.jit(jax.vmap(one))(keys)
    for i in range(3):
        a, b, c = one(keys[i]), one(keys[i]), tsne.fit(X, key=keys[i], **how)
        assert (a.params.embedding == b.params.embedding).all()
        np.testing.assert_allclose(c.params.embedding, a.params.embedding, atol=1e-9)
        np.testing.assert_allclose(lanes.params.embedding[i], a.params.embedding, atol=1e-9)
    assert not np.allclose(lanes.params.embedding[0], lanes.params.embedding[1])


def test_fits_have_no_derivative_and_say_so():
    X, _ = blobs(24)

    def spread(X):
        return (tsne.fit(X, key=KEY, **QUICK).params.embedding ** 2).sum()

    assert (jax.grad(spread)(jnp.asarray(X)) == 0).all()
    assert "All derivatives of a fit are" in tsne.fit.__doc__


@pytest.mark.parametrize("n", [40, 600])
def test_lowers_for_cuda(n):
    traced = jax.jit(lambda X: tsne.fit(X, key=KEY, **QUICK)).trace(np.zeros((n, 4), "float32"))

    def adds_by_scatter(platform):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert "stablehlo.while" in text
        regions = re.findall(r"stablehlo\.scatter.*?stablehlo\.return[^\n]*", text, re.DOTALL)
        return any("stablehlo.add" in region for region in regions)

    # A GPU would add in any order. On a CPU, which adds in order, a graph is summed that way.
    assert not adds_by_scatter("cuda")
    assert adds_by_scatter("cpu") == (n > tsne.DENSE)
