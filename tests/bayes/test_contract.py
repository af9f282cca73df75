"""The contract of a model, for the three naive Bayes fits."""

import jax
import numpy as np
import pytest

from jaxml import Code
from tests import processes, tolerances
from tests.bayes.family import FAMILY, agree, code, each, host, problem


@each
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nonfinite_features(member, bad):
    X, y, s = problem(member)
    params = member.fit(X, y, sample_weight=s).params
    X[5, 1] = bad
    with pytest.raises(ValueError, match=r"X contains NaN or inf|negative"):
        member.fit(X, y, sample_weight=s)
    with pytest.raises(ValueError, match=r"X contains NaN or inf|negative"):
        member.statistics(X, y, s)
    fit = member.jitted()(X, y, s)
    assert code(fit) is Code.NONFINITE_INPUT
    assert all(np.isnan(leaf).all() for leaf in host(fit.params))
    found = jax.jit(member.statistics)(X, y, s)
    assert code(jax.jit(member.from_statistics)(found)) is Code.NONFINITE_INPUT
    with pytest.raises(ValueError, match="NaN or inf"):
        member.from_statistics(found)
    X[5, 1] = np.nan
    for verb in (member.verbs.log_joint, member.verbs.predict_proba, member.verbs.predict):
        with pytest.raises(ValueError, match="X contains NaN or inf"):
            verb(params, X)
    proba = np.asarray(jax.jit(member.verbs.predict_proba)(params, X))
    assert np.isnan(proba[5]).all()
    assert np.isfinite(np.delete(proba, 5, axis=0)).all()
    assert int(jax.jit(member.verbs.predict)(params, X)[5]) == 0


@each
def test_labels_and_weights(member):
    X, y, s = problem(member)
    for bad, text in (
        (np.where(y == 2, 3, y), "outside 0..2"),
        (y - 1, "outside"),
        (y + 0.5, "fractional"),
    ):
        with pytest.raises(ValueError, match=text):
            member.fit(X, bad)
        fit = member.jitted()(X, bad, s)
        assert code(fit) is Code.BAD_LABELS
        assert np.isnan(jax.jit(member.statistics)(X, bad, s).mass).all()
    with pytest.raises(ValueError, match=r"weight.*zero"):
        member.fit(X, y, sample_weight=0 * s)
    assert code(member.jitted()(X, y, 0 * s)) is Code.DEGENERATE
    s[2] = -1.0
    with pytest.raises(ValueError, match="sample_weight must be >= 0"):
        member.fit(X, y, sample_weight=s)
    assert code(member.jitted()(X, y, s)) is Code.DEGENERATE
    s[2] = np.nan
    with pytest.raises(ValueError, match="sample_weight contains NaN"):
        member.fit(X, y, sample_weight=s)
    assert code(member.jitted()(X, y, s)) is Code.NONFINITE_INPUT


@each
def test_shapes_dtypes_and_options(member):
    X, y, s = problem(member)
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        member.fit(X[:0], y[:0])
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        member.fit(X[:, :0], y)
    with pytest.raises(ValueError, match="2 axes"):
        member.fit(X[:, 0], y)
    with pytest.raises(ValueError, match="per row of X"):
        member.fit(X, y[:-1])
    with pytest.raises(ValueError, match="per row of X"):
        member.fit(X, y, sample_weight=s[:-1])
    with pytest.raises(TypeError, match="Complex"):
        member.fit(X + 0j, y)
    params = member.fit(X, y).params
    with pytest.raises(ValueError, match=r"3 feature\(s\) of the fit"):
        member.verbs.predict(params, X[:, :2])
    name = member.smoothing[0]
    with pytest.raises(ValueError, match=f"{name} must be >= 0"):
        member.fit(X, y, **{name: -1.0})
    with pytest.raises(TypeError, match=f"{name} must be a real number"):
        member.fit(X, y, **{name: "1"})
    with pytest.raises(ValueError, match="n_classes must be >= 1"):
        member.fit(X, y, n_classes=0)
    for given, text in (
        ([0.5, 0.5], "expected 3, got 2"),
        ([0.5, 0.5, 0.5], "sum to 1"),
        ([1.0, 0.0, 0.0], "positive"),
    ):
        with pytest.raises(ValueError, match=text):
            member.fit(X, y, **{member.prior: given})
    with_prior = jax.jit(lambda p: member.fit(X, y, **{member.prior: p}).info.code)
    assert int(with_prior(np.array([1.0, 0.0, 0.0]))) == Code.DEGENERATE
    for dtype in ("int32", "int64", "float32"):
        fit = member.fit(np.round(X).astype(dtype), y)
        want = "float32" if dtype == "float32" else "float64"
        assert {leaf.dtype.name for leaf in host(fit.params)} == {want}
        assert member.verbs.predict_proba(fit.params, X.astype(dtype)).dtype == want
    fit = member.fit(X.tolist(), y.tolist(), sample_weight=s.tolist())
    agree(fit, member.fit(X, y, sample_weight=s), 0.0)


def test_negative_counts():
    member = FAMILY[1]
    X, y, s = problem(member)
    X[3, 1] = -1.0
    for verb in (lambda: member.fit(X, y), lambda: member.statistics(X, y, s)):
        with pytest.raises(ValueError, match="negative"):
            verb()
    assert code(member.jitted()(X, y, s)) is Code.DEGENERATE
    assert np.isnan(jax.jit(member.statistics)(X, y, s).mass).all()
    s[3] = 0.0  # a removed row
    assert code(member.fit(X, y, sample_weight=s)) is Code.CONVERGED


@each
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_jit_vmap_loop_and_repeats(member, dtype):
    batch = [problem(member, dtype=dtype, seed=seed) for seed in range(3)]
    eager = [member.fit(X, y, sample_weight=s) for X, y, s in batch]
    X, y, s = (np.stack(part) for part in zip(*batch, strict=True))
    stacked = member.vmapped()(X, y, s)
    again = host(member.fit(*batch[0][:2], sample_weight=batch[0][2]))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(again, host(eager[0]), strict=True))
    for i in range(3):
        row = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
        for other in (member.jitted()(X[i], y[i], s[i]), row):
            agree(other.params, eager[i].params, tolerances.of(dtype).routes)
            assert code(other) is Code.CONVERGED
    X[1, 2, 0] = np.nan
    mixed = member.vmapped()(X, y, s)
    np.testing.assert_array_equal(mixed.info.code, [0, Code.NONFINITE_INPUT, 0])
    for a, b in zip(host(mixed), host(stacked), strict=True):
        assert a[[0, 2]].tobytes() == b[[0, 2]].tobytes()


@each
def test_one_trace(member):
    X, y, s = problem(member)
    traces = []

    @jax.jit
    def fit(X, y, s, smoothing):
        traces.append(1)
        return member.fit(X, y, sample_weight=s, **{member.smoothing[0]: smoothing})

    fit(X, y, s, 0.1)
    fit(X, y[::-1].copy(), 2 * s, 0.2)
    assert len(traces) == 1


@each
def test_derivatives_against_refits(member):
    X, y, s = problem(member, seed=5)
    smoothing = member.smoothing[0]
    rng = np.random.default_rng(7)
    theta = {"X": X, "s": s, "smoothing": np.float64(0.3)}
    move = {
        "X": rng.choice([-1.0, 1.0], X.shape),
        "s": rng.choice([-0.3, 0.3], s.shape),
        "smoothing": 0.1,
    }
    if member.label == "bernoulli":
        move["X"] = 0 * X  # thresholds only: a step has no derivative but 0

    @jax.jit
    def flat(theta):
        fit = member.fit(theta["X"], y, sample_weight=theta["s"], **{smoothing: theta["smoothing"]})
        return jax.flatten_util.ravel_pytree((fit.params, fit.info.objective))[0]

    def at(t):
        return np.asarray(flat({k: theta[k] + t * move[k] for k in theta}))

    h = 1e-4
    want = (at(-2 * h) - 8 * at(-h) + 8 * at(h) - at(2 * h)) / (12 * h)
    _, got = jax.jvp(flat, (theta,), ({k: np.asarray(v) for k, v in move.items()},))
    np.testing.assert_allclose(got, want, rtol=1e-7, atol=1e-9)
    assert np.abs(want).max() > 1e-3
    u = rng.normal(size=got.shape)
    pulled = jax.vjp(flat, theta)[1](u)[0]
    adjoint = sum(np.sum(np.asarray(pulled[k]) * move[k]) for k in theta)
    np.testing.assert_allclose(adjoint, u @ np.asarray(got), rtol=1e-9, atol=1e-11)


SHARDED = """
    from jaxml.bayes import bernoulli, gaussian, multinomial
    for n in (96, 2 * 4096 * 8):
        rng = np.random.default_rng(n)
        y = rng.integers(0, 3, n).astype(np.int32)
        X, s = rng.poisson(2.0, size=(n, 5)) + 0.1 * y[:, None], rng.uniform(0.5, 2.0, n)
        for module in (gaussian, multinomial, bernoulli)[: 3 if n == 96 else 1]:
            same(lambda X, y, s: module.fit(X, y, n_classes=3, sample_weight=s), X, y, s,
                 atol=1e-11)
"""


def test_sharded_rows():
    processes.run_on_two_devices(SHARDED)


def test_without_x64():
    text = """
        import numpy as np
        from jaxml.bayes import bernoulli, gaussian, multinomial
        X, y = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 2.0], [3.0, 1.0]]), np.array([0, 0, 1, 1])
        for module in (gaussian, multinomial, bernoulli):
            fit = module.fit(X, y, n_classes=2)
            assert int(fit.info.code) == 0, fit.info
            assert {leaf.dtype.name for leaf in fit.params} == {"float32"}
        print("done")
    """
    assert processes.run(text, JAX_PLATFORMS="cpu").strip() == "done"
