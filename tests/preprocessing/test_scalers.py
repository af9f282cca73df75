"""The scalers against scikit-learn and NumPy, at offsets, scales and outliers; their contract."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import preprocessing as theirs

from jaxml import Code
from jaxml.preprocessing import min_max, robust, standard
from tests import processes, tolerances

DTYPES = ("float32", "float64")
PEERS = {
    standard: theirs.StandardScaler, min_max: theirs.MinMaxScaler, robust: theirs.RobustScaler,
}  # fmt: skip
N, D = 24, 3


def each(test):
    return pytest.mark.parametrize("model", PEERS, ids=lambda m: m.__name__.split(".")[-1])(test)


def rows(dtype="float64", seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, D)) * [1.0, 20.0, 0.1] + [0.0, 5.0, -1.0]
    return X.astype(dtype), rng.uniform(0.5, 2.0, N).astype(dtype)


@functools.cache
def jitted(model):
    return jax.jit(lambda X, s: model.fit(X, sample_weight=s))


def code(fit):
    return Code(int(fit.info.code))


def close(got, want, dtype, factor=1.0):
    rtol = factor * 20 * tolerances.of(dtype).rounding
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        size = max(np.abs(b).max(initial=0.0), 1e-300)
        np.testing.assert_allclose(a, b, rtol=0, atol=rtol * size)


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_against_scikit_learn(model, dtype):
    X, _ = rows(dtype)
    fit, peer = model.fit(X), PEERS[model]().fit(X.astype(float))
    assert code(fit) is Code.CONVERGED
    Z = model.transform(fit.params, X)
    assert Z.dtype == dtype
    assert all(leaf.dtype == dtype for leaf in fit.params)
    close(Z, peer.transform(X.astype(float)), dtype)
    close(model.inverse_transform(fit.params, Z), X, dtype)


def test_weights_against_scikit_learn():
    X, s = rows()
    peer = theirs.StandardScaler().fit(X, sample_weight=s)
    params = standard.fit(X, sample_weight=s).params
    close(params, (peer.mean_, peer.scale_), "float64")
    # Only ratios count, down to weights that sum to 1, for quantiles too.
    tiny = [robust.fit(X, sample_weight=c * np.ones(N)).params for c in (1.0, 1 / N, 1e-6)]
    for params in tiny:
        close(params, tiny[0], "float64")


@pytest.mark.parametrize("q", [(25.0, 75.0), (0.0, 100.0), (10.0, 62.5)])
def test_quantiles_against_numpy(q):
    X, _ = rows()
    params = robust.fit(X, quantile_range=q).params
    low, middle, high = np.percentile(X, [q[0], 50.0, q[1]], axis=0)
    close(params, (middle, high - low), "float64")


@each
@given(seed=st.integers(0, 2**31 - 1))
def test_integer_weights_are_repeated_rows(model, seed):
    rng = np.random.default_rng(seed)
    X, _ = rows(seed=seed)
    X[:, 1] = np.round(X[:, 1])
    s = rng.integers(0, 4, N)
    s[:2] = 1
    at = np.repeat(np.arange(N), s)
    lack = 3 * N - len(at)
    filled = np.concatenate([X[at], np.full((lack, D), 1e9)])
    ones = np.concatenate([np.ones(len(at)), np.zeros(lack)])
    want = model.fit(filled, sample_weight=ones).params
    close(model.fit(X, sample_weight=s).params, want, "float64", 10)
    order = rng.permutation(N)
    close(model.fit(X[order], sample_weight=s[order]).params, want, "float64", 10)
    peer = PEERS[model]().fit(X[at])
    Z = model.transform(want, X)
    np.testing.assert_allclose(Z, peer.transform(X), rtol=1e-9, atol=1e-9)


@each
@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
def test_scales(model, scale):
    X, _ = rows("float32")
    want = model.transform(model.fit(X).params, X)
    Y = X * np.float32(scale)
    fit = model.fit(Y)
    assert code(fit) is Code.CONVERGED
    np.testing.assert_allclose(model.transform(fit.params, Y), want, rtol=1e-4, atol=1e-5)


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_offsets_and_constant_columns(model, dtype):
    X, _ = rows(dtype)
    X = X + np.array([1e6, 0.0, 0.0], dtype)
    X[:, 1] = 1e6 + 0.1
    X[:, 2] = 0.0
    fit = model.fit(X)
    exact = X.astype(float)
    Z = np.asarray(model.transform(fit.params, X), float)
    scale = np.asarray(
        fit.params[1] - fit.params[0] if model is min_max else fit.params.scale, float
    )
    peer = PEERS[model]().fit(exact)
    np.testing.assert_allclose(
        scale[0], peer.scale_[0] ** (-1 if model is min_max else 1), rtol=1e-6
    )
    assert (Z[:, 1:] == 0).all()
    np.testing.assert_allclose(Z[:, 0], peer.transform(exact)[:, 0], atol=0.05)
    # The spacing of float32 at 1e6 is 1/16: a mean, unlike a row, lies off it.
    bad = model is standard and dtype == "float32"
    assert code(fit) is (Code.ILL_CONDITIONED if bad else Code.CONVERGED)
    moved = np.asarray(model.transform(fit.params, X + np.asarray(1.0, dtype)), float)
    np.testing.assert_allclose(moved[:, 1:], 1.0, rtol=1e-6)
    # One unit in the last place is rounding, and ten of them are not.
    one = np.full((N, 1), 1.0, dtype)
    for units, varies in ((1, False), (20, True)):
        one[0] = 1 + units * np.finfo(dtype).eps
        objective = float(model.fit(np.repeat(one, D, axis=1)).info.objective)
        assert (objective > 0.5) == varies or model is robust


def test_nist_deviations():
    """Three univariate sets of NIST as they are made: a center, and as many above as below."""
    for center, step, digits in ((1e6 + 0.2, 0.1, 9), (1e7 + 0.2, 0.1, 8), (1e7 + 2, 1.0, 15)):
        x = center + step * np.concatenate([[0.0], np.tile([-1.0, 1.0], 500)])
        found = float(standard.fit(x[:, None]).params.scale[0])
        want = float(np.std(x.astype(np.longdouble)))
        assert abs(found - want) <= 10.0**-digits * want
        assert abs(found - step * np.sqrt(1000 / 1001)) <= 1e-7 * step


@each
def test_outliers(model):
    X, _ = rows()
    clean = model.transform(model.fit(X).params, X)
    X[:5] = 1e9  # 5 of 24: less than a quarter
    dirty = np.asarray(model.transform(model.fit(X).params, X))[5:]
    spread = np.ptp(dirty, axis=0) / np.ptp(np.asarray(clean)[5:], axis=0)
    if model is robust:
        assert (spread > 0.2).all()
    else:
        assert (spread < 1e-6).all()
    X[:7] = 1e9  # more than a quarter
    spread = np.ptp(np.asarray(model.transform(model.fit(X).params, X))[7:], axis=0)
    assert (spread < 1e-6).all()


@each
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nonfinite(model, bad):
    X, s = rows()
    params = model.fit(X).params
    X[3, 1] = bad
    with pytest.raises(ValueError, match="X contains NaN or inf"):
        model.fit(X)
    fit = jitted(model)(X, s)
    assert code(fit) is Code.NONFINITE_INPUT
    assert all(np.isnan(leaf).all() for leaf in fit.params)
    for verb in (model.transform, model.inverse_transform):
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            verb(params, X)
        out = np.asarray(jax.jit(verb)(params, X))
        assert np.isfinite(out).sum() == N * D - 1
        with pytest.raises(ValueError, match=r"3 feature\(s\)"):
            verb(params, X[:, :2])


@each
def test_bad_arguments(model):
    X, s = rows()
    with pytest.raises(ValueError, match=r"weight.*zero"):
        model.fit(X, sample_weight=0 * s)
    assert code(jitted(model)(X, 0 * s)) is Code.DEGENERATE
    s[2] = -1
    with pytest.raises(ValueError, match="sample_weight must be >= 0"):
        model.fit(X, sample_weight=s)
    assert code(jitted(model)(X, s)) is Code.DEGENERATE
    for Y, text in ((X[:0], "0 sample"), (X[:, :0], "0 feature"), (X[:, 0], "2 axes")):
        with pytest.raises(ValueError, match=text):
            model.fit(Y)
    with pytest.raises(TypeError, match="Complex"):
        model.fit(X + 0j)
    assert model.fit([[1, 2], [3, 4]]).params[0].dtype == jnp.result_type(float)
    one = model.fit([[7.0]])
    assert code(one) is Code.CONVERGED
    assert model.transform(one.params, [[8.0]]).tolist() == [[1.0]]


def test_bad_quantiles():
    X, _ = rows()
    for q, text in (((75.0, 25.0), "lo < hi"), ((-1.0, 50.0), "0 <= lo"), ((1.0,), "two")):
        with pytest.raises(ValueError, match=text):
            robust.fit(X, quantile_range=q)
    with_range = jax.jit(lambda q: robust.fit(X, quantile_range=q).info.code)
    assert int(with_range(jnp.array([75.0, 25.0]))) != Code.CONVERGED
    assert int(with_range(jnp.array([5.0, 95.0]))) == Code.CONVERGED


def test_overflow_is_told():
    top = np.finfo("float32").max
    X = np.array([[top], [-top], [0.0]], "float32")
    for model in (standard, min_max, robust):
        fit = model.fit(X)
        assert all(np.isfinite(leaf).all() for leaf in fit.params) == (code(fit) < Code.DIVERGED)


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_eager_jit_vmap_loop_and_repeats(model, dtype):
    batch = [rows(dtype, seed) for seed in range(3)]
    eager = [model.fit(X, sample_weight=s) for X, s in batch]
    X, s = (np.stack(part) for part in zip(*batch, strict=True))
    lanes_of = jax.jit(jax.vmap(lambda X, s: model.fit(X, sample_weight=s)))
    lanes = lanes_of(X, s)
    again = model.fit(batch[0][0], sample_weight=batch[0][1])
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(eager[0]), strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()
    for i in range(3):
        close(jitted(model)(X[i], s[i]).params, eager[i].params, dtype)
        close(jax.tree.map(lambda leaf, i=i: leaf[i], lanes.params), eager[i].params, dtype)
    X[1, 0, 0] = np.nan
    mixed = lanes_of(X, s)
    assert mixed.info.code.tolist() == [0, Code.NONFINITE_INPUT, 0]
    for a, b in zip(jax.tree.leaves(mixed), jax.tree.leaves(lanes), strict=True):
        assert np.asarray(a)[[0, 2]].tobytes() == np.asarray(b)[[0, 2]].tobytes()


@each
def test_derivatives(model):
    X, s = rows(seed=4)
    rng = np.random.default_rng(0)
    dX, ds = 0.1 * rng.choice([-1.0, 1.0], X.shape), rng.choice([-0.1, 0.1], s.shape)

    @jax.jit
    def value(X, s):
        Z = model.transform(model.fit(X, sample_weight=s).params, X)
        return jnp.sum(jnp.sin(Z) * jnp.arange(1.0, D + 1)[None, :])

    h = 1e-5
    ends = [float(value(X + t * h * dX, s + t * h * ds)) for t in (-2, -1, 1, 2)]
    slope = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    g_X, g_s = jax.grad(value, argnums=(0, 1))(X, s)
    np.testing.assert_allclose((g_X * dX).sum() + g_s @ ds, slope, rtol=1e-6)
    X[:, 0], X[:, 1] = 1e6 + 0.1, 0.0
    g = jax.grad(value, argnums=(0, 1))(X, s)
    assert all(np.isfinite(leaf).all() for leaf in g)


def test_one_trace_for_all_quantiles():
    X, _ = rows()
    scales = jax.vmap(lambda q: robust.fit(X, quantile_range=q).params.scale)(
        jnp.array([[25.0, 75.0], [10.0, 90.0]])
    )
    close(scales[1], np.percentile(X, 90, axis=0) - np.percentile(X, 10, axis=0), "float64")


SHARDED = """
    from jaxml.preprocessing import min_max, standard
    for n in (96, 2 * 4096 * 8):
        rng = np.random.default_rng(n)
        X, s = rng.normal(size=(n, 5)) + 3.0, rng.uniform(0.5, 2.0, n)
        X[0], s[0] = 50.0, 0.0
        for module in (standard, min_max):
            same(lambda X, s: module.fit(X, sample_weight=s), X, s, atol=1e-11)
"""


def test_sharded_rows():
    processes.run_on_two_devices(SHARDED)


WITHOUT_X64 = """
    import numpy as np
    from jaxml.preprocessing import min_max, robust, standard
    X = np.arange(8.0).reshape(4, 2) ** 2
    for model in (standard, min_max, robust):
        fit = model.fit(X)
        assert int(fit.info.code) == 0, fit.info
        assert {leaf.dtype.name for leaf in fit.params} == {"float32"}
        assert model.transform(fit.params, X).dtype == "float32"
    print("done")
"""


def test_without_x64():
    assert processes.run(WITHOUT_X64, JAX_PLATFORMS="cpu").strip() == "done"
