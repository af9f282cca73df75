"""The contract of every fit of the linear family: one answer by every route, and certified."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml import Code
from jaxml.linear import elastic_net
from tests import tolerances
from tests.linear.family import FAMILY, ITERATIVE, agree, code, each, host, problem


@each(FAMILY)
def test_the_same_inputs_give_the_same_bits(member):
    X, y, s = problem(member)
    first = host(member.fit(X, y, sample_weight=s))
    for _ in range(3):
        for a, b in zip(host(member.fit(X, y, sample_weight=s)), first, strict=True):
            assert a.tobytes() == b.tobytes()


@each(FAMILY)
def test_inputs_are_not_changed(member):
    X, y, s = problem(member)
    copies = X.copy(), y.copy(), s.copy()
    device = tuple(jnp.asarray(a) for a in copies)
    for array in (X, y, s):
        array.setflags(write=False)
    fit = member.fit(X, y, sample_weight=s)
    member.fit(device[0], device[1], sample_weight=device[2])
    member.scores(fit.params, X)
    for given, moved, kept in zip((X, y, s), device, copies, strict=True):
        np.testing.assert_array_equal(given, kept)
        np.testing.assert_array_equal(moved, kept)  # raises if the buffer was donated


@each(FAMILY)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_eager_jit_vmap_and_loop_agree(member, dtype):
    batch = [problem(member, dtype=dtype, seed=seed) for seed in range(3)]
    tol = tolerances.of(dtype).routes
    if member.label == "softmax_l1":  # first-order steps end somewhere within tol of the minimizer
        tol = 1e3 * tol
    eager = [member.fit(X, y, sample_weight=s) for X, y, s in batch]
    stacked = member.vmapped()(*(np.stack(part) for part in zip(*batch, strict=True)))
    for i, (X, y, s) in enumerate(batch):
        jitted = member.jitted()(X, y, s)
        row = jax.tree.map(lambda leaf, i=i: leaf[i], stacked)
        for other in (jitted, row):
            agree(other.params, eager[i].params, tol)
            agree(other.info.objective, eager[i].info.objective, tol)
            assert code(other) is code(eager[i]) is Code.CONVERGED


@each(FAMILY)
def test_one_bad_member_of_a_batch_stays_alone(member):
    batch = [problem(member, seed=seed) for seed in range(3)]
    X, y, s = (np.stack(part) for part in zip(*batch, strict=True))
    good = member.vmapped()(X, y, s)
    X[1, 4, 0] = np.nan
    mixed = member.vmapped()(X, y, s)
    assert [Code(int(c)) for c in mixed.info.code] == [0, Code.NONFINITE_INPUT, 0]
    for a, b in zip(host(mixed), host(good), strict=True):
        assert a[[0, 2]].tobytes() == b[[0, 2]].tobytes()
    assert all(np.isnan(leaf[1]).all() for leaf in host(mixed.params))


@each(FAMILY)
def test_one_trace_serves_all_values(member):
    X, y, s = problem(member)
    traces = []

    @jax.jit
    def fit(X, y, s, real, tol):
        traces.append(1)
        return member.fit(X, y, sample_weight=s, tol=tol, **real).params

    for scale in (1.0, 2.0):
        real = {name: scale * value for name, value in member.real.items()}
        fit(scale * X, y, s[::-1].copy(), real, 1e-9 * scale)
    assert len(traces) == 1
    # Eager calls compile once per shape, too.
    verbs = elastic_net if member.module == "lasso" else member.verbs  # the lasso is l2 = 0
    inner = verbs._fit
    member.fit(X, y, sample_weight=s)
    before = inner._cache_size()
    real = {name: 2.0 * value for name, value in member.real.items()}
    member.fit(X + 1.0, y, sample_weight=2.0 * s, **real, tol=1e-9)
    assert inner._cache_size() == before


@each([m for m in FAMILY if m.real])
def test_hyperparameters_can_be_batched(member):
    X, y, s = problem(member)
    scales = np.array([0.5, 1.0, 3.0])

    def fit(scale):
        real = {name: scale * value for name, value in member.real.items()}
        return member.fit(X, y, sample_weight=s, **real)

    batch = jax.vmap(fit)(scales)
    for i, scale in enumerate(scales):
        one = fit(scale)
        agree(jax.tree.map(lambda leaf, i=i: leaf[i], batch.params), one.params, 1e-9)
        assert int(batch.info.code[i]) == 0


@each(ITERATIVE)
def test_max_iter_is_reported(member):
    # One round of a working set solves a narrow problem whole: more columns than it admits.
    X, y, s = problem(member) if member.n_classes else problem(member, 60, 300)
    fit = member.fit(X, y, sample_weight=s, max_iter=1, tol=1e-14)
    assert code(fit) is Code.MAX_ITER
    assert int(fit.info.n_iter) == 1
    assert all(np.isfinite(leaf).all() for leaf in host(fit))
    assert float(fit.info.residual) > 1e-14
    J = member.loss(fit.params, X, y, sample_weight=s)
    np.testing.assert_allclose(fit.info.objective, J, rtol=1e-12)
    for bad, error in ((0, ValueError), (2.5, TypeError)):
        with pytest.raises(error, match="max_iter"):
            member.fit(X, y, max_iter=bad)


@each(FAMILY)
def test_the_certificate_holds_the_objective(member):
    X, y, s = problem(member)
    fit = member.fit(X, y, sample_weight=s)
    assert code(fit) is Code.CONVERGED
    assert bool(fit.info.converged)
    assert int(fit.info.n_iter) >= 1
    J = member.loss(fit.params, X, y, sample_weight=s)
    np.testing.assert_allclose(fit.info.objective, J, rtol=1e-12)
