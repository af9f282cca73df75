"""What holds for every metric: oracles, weights, order, transformations, dtypes, bad input."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests import processes, tolerances
from tests.metrics.family import CORE, FAMILY, data

DTYPES = ("float32", "float64")
OF_LABELS = ("labels", "classes")


def each(test):
    return pytest.mark.parametrize("member", FAMILY, ids=lambda m: m.label)(test)


def each_program(test):
    return pytest.mark.parametrize("member", CORE, ids=lambda m: m.label)(test)


@functools.cache
def jitted(member):
    return jax.jit(member.ours)


@functools.cache
def vmapped(member):
    return jax.jit(jax.vmap(member.ours))


def close(got, want, dtype, factor=1.0):
    rtol = factor * 20 * tolerances.of(dtype).rounding
    np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=rtol, atol=rtol)


@each
@pytest.mark.parametrize("dtype", DTYPES)
def test_oracles(member, dtype):
    y, p, s = data(member.kind, dtype=dtype)
    exact = p.astype(np.float64) if p.dtype.kind == "f" else p
    if member.kind == "simplex":
        exact = exact / exact.sum(axis=1, keepdims=True)
    close(member.ours(y, p), member.theirs(y, exact), dtype)
    got = member.ours(y, p, s)
    close(got, member.theirs(y, exact, s.astype(np.float64)), dtype)
    assert got.dtype == dtype
    assert member.ours(y, p).dtype == ("float64" if member.kind in OF_LABELS else dtype)


@each_program
@given(seed=st.integers(0, 2**31 - 1))
def test_integer_weights_are_repeated_rows(member, seed):
    dtype = "float64"
    rng = np.random.default_rng(seed)
    y, p, _ = data(member.kind, 20, dtype=dtype, seed=seed)
    s = rng.integers(0, 4, 20)
    s[:6] = np.maximum(s[:6], 1)  # every class stays
    # Repeated rows filled up with rows of weight 0: one shape, one program. These hold what no
    # metric could take.
    rows = np.repeat(np.arange(20), s)
    lack = 60 - len(rows)
    at = np.concatenate([rows, np.zeros(lack, int)])
    ones = np.concatenate([np.ones(len(rows)), np.zeros(lack)]).astype(dtype)
    y_rows, p_rows = y[at].astype(float), p[at].astype(float)
    y_rows[len(rows) :] = p_rows[len(rows) :] = np.nan
    if member.kind not in OF_LABELS:
        p_rows = p_rows.astype(dtype)
        y_rows = y_rows.astype(dtype)
    close(member.ours(y, p, s.astype(dtype)), member.ours(y_rows, p_rows, ones), dtype)


@each
@given(seed=st.integers(0, 2**31 - 1))
def test_order_of_rows_and_scale_of_weights(member, seed):
    y, p, s = data(member.kind, 20, seed=seed)
    order = np.random.default_rng(seed).permutation(20)
    want = member.ours(y, p, s)
    close(member.ours(y[order], p[order], s[order]), want, "float64")
    if member.label not in ("adjusted_r2", "confusion_matrix"):  # weights are counts there
        close(member.ours(y, p, 7.0 * s), want, "float64")
        close(member.ours(y, p, 1e-3 * s), want, "float64")


@each_program
@pytest.mark.parametrize("dtype", DTYPES)
def test_eager_jit_vmap_loop_and_repeats(member, dtype):
    batch = [data(member.kind, dtype=dtype, seed=seed) for seed in range(3)]
    eager = [np.asarray(member.ours(*args)) for args in batch]
    y, p, s = (np.stack(part) for part in zip(*batch, strict=True))
    lanes = np.asarray(vmapped(member)(y, p, s))
    assert np.asarray(member.ours(*batch[0])).tobytes() == eager[0].tobytes()
    for i in range(3):
        close(jitted(member)(y[i], p[i], s[i]), eager[i], dtype)
        close(lanes[i], eager[i], dtype)
    s[1, 4] = np.nan
    mixed = np.asarray(vmapped(member)(y, p, s))
    assert np.isnan(mixed[1]).all()
    assert mixed[[0, 2]].tobytes() == lanes[[0, 2]].tobytes()


@each_program
def test_one_trace(member):
    y, p, s = data(member.kind)
    traces = []

    @jax.jit
    def score(y, p, s):
        traces.append(1)
        return member.ours(y, p, s)

    score(y, p, s)
    score(y[::-1].copy(), p[::-1].copy(), 2 * s)
    assert len(traces) == 1


@each_program
def test_bad_predictions(member):
    y, p, s = data(member.kind)
    wrong = [np.nan, np.inf]
    wrong += [5, 0.5] if member.kind in OF_LABELS else []
    wrong += [-0.1, 1.1] if member.kind in ("probabilities", "simplex") else []
    if member.label == "accuracy":
        wrong.remove(5)
    for bad in wrong:
        q = p.astype(np.float64)
        q.reshape(len(q), -1)[7, 0] = bad
        with pytest.raises(ValueError, match=r"NaN or inf|outside|fractional|lie in \[0, 1\]"):
            member.ours(y, q, s)
        assert np.isnan(jitted(member)(y, q, s)).all()
        s_without = s.copy()
        s_without[7] = 0.0
        assert np.isfinite(jitted(member)(y, q, s_without)).all()
        keep = np.arange(len(y)) != 7
        close(member.ours(y, q, s_without), member.ours(y[keep], p[keep], s[keep]), "float64")


@each_program
def test_bad_targets(member):
    y, p, s = data(member.kind)
    numbers = member.kind == "numbers"
    for bad in (np.nan, np.inf, *(() if numbers or member.label == "accuracy" else (-1, 3, 0.5))):
        t = y.astype(np.float64)
        t[5] = bad
        with pytest.raises(ValueError, match="y_true"):
            member.ours(t, p, s)
        assert np.isnan(jitted(member)(t, p, s)).all()


@each
def test_bad_weights_and_shapes(member):
    y, p, s = data(member.kind)
    with pytest.raises(ValueError, match=r"weight.*zero"):
        member.ours(y, p, 0 * s)
    assert np.isnan(jitted(member)(y, p, 0 * s)).all()
    for bad, text in ((-1.0, ">= 0"), (np.nan, "NaN"), (np.inf, "inf")):
        t = s.copy()
        t[3] = bad
        with pytest.raises(ValueError, match=f"sample_weight.*{text}"):
            member.ours(y, p, t)
        assert np.isnan(jitted(member)(y, p, t)).all()
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        member.ours(y[:0], p[:0])
    with pytest.raises(ValueError, match="per row of y_true: expected 60, got 59"):
        member.ours(y, p[:-1])
    with pytest.raises(ValueError, match="per row of y_true: expected 60, got 59"):
        member.ours(y, p, s[:-1])
    with pytest.raises(ValueError, match="1 axes"):
        member.ours(y[:, None], p)
    with pytest.raises(TypeError, match=r"Complex|integer class labels"):
        member.ours(y, p + 0j)
    with pytest.raises((TypeError, ValueError), match=r"numeric|labels"):
        member.ours(np.array(["a"] * 60), p)


@each
def test_lists_and_untouched_inputs(member):
    y, p, s = data(member.kind)
    kept = y.copy(), p.copy(), s.copy()
    want = member.ours(y, p, s)
    np.testing.assert_array_equal(member.ours(y.tolist(), p.tolist(), s.tolist()), want)
    for array, copy in zip((y, p, s), kept, strict=True):
        assert (array == copy).all()


@each_program
def test_derivatives_are_finite_and_those_of_the_formula(member):
    y, p, s = data(member.kind, seed=3)
    move = np.random.default_rng(1).choice([-0.2, 0.2], s.shape)

    def of_weights(s):
        return jnp.sum(jnp.cos(jnp.arange(9.0)[: np.size(want)] * jnp.ravel(member.ours(y, p, s))))

    want = np.asarray(member.ours(y, p, s))
    h = 1e-4
    ends = [float(of_weights(s + t * h * move)) for t in (-2, -1, 1, 2)]
    slope = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    np.testing.assert_allclose(jax.grad(of_weights)(s) @ move, slope, rtol=1e-6, atol=1e-9)
    if p.dtype.kind == "f":
        g = jax.grad(lambda p: jnp.sum(member.ours(y, p, s)))(p)
        assert np.isfinite(g).all()
        assert ("roc" in member.label) == bool((g == 0).all())


WITHOUT_X64 = """
    import jax.numpy as jnp, numpy as np
    from tests.metrics.family import FAMILY, data
    for member in FAMILY:
        y, p, s = data(member.kind, dtype="float32")
        got = member.ours(y, p, s)
        assert got.dtype == "float32", member.label
        exact = p.astype(np.float64) if p.dtype.kind == "f" else p
        if member.kind == "simplex":
            exact = exact / exact.sum(axis=1, keepdims=True)
        want = member.theirs(y, exact, s.astype(np.float64))
        np.testing.assert_allclose(got, want, rtol=2e-5, err_msg=member.label)
        assert member.ours(y, p).dtype == "float32", member.label
    print("done")
"""


def test_without_x64():
    assert processes.run(WITHOUT_X64, JAX_PLATFORMS="cpu").strip() == "done"
