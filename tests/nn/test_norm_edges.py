"""Normalization at its edges: one value, errors, dtypes, offsets, many rows, devices."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxml.nn.norm import _moments, batch_norm, layer_norm
from tests import processes

DTYPES = [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64]


def test_one_value_per_channel():
    params, state = batch_norm.init(3)
    for shape in ((1, 3), (0, 3), (1, 1, 1, 3), (3,)):
        with pytest.raises(ValueError, match=r"at least 2 values per channel .* holds [01]"):
            batch_norm.apply(params, state, jnp.ones(shape), training=True)
        y, new = batch_norm.apply(params, state, jnp.ones(shape), training=False)
        assert y.shape == shape
        assert new is state
    # One image of several pixels, and one row on each of several devices, have a variance.
    batch_norm.apply(params, state, jnp.ones((1, 2, 1, 3)), training=True)
    member = partial(batch_norm.apply, params, state, training=True, axis_name="b")
    y, _ = jax.vmap(member, axis_name="b")(jnp.arange(6.0).reshape(2, 1, 3))
    np.testing.assert_allclose(y[:, 0, 0], [-1, 1], rtol=1e-4)


def test_refusals():
    params, state = batch_norm.init(3)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 3\): got \(2, 4\)"):
        batch_norm.apply(params, state, jnp.ones((2, 4)), training=True)
    with pytest.raises(ValueError, match=r"momentum must lie in \[0, 1\]: got 1.1"):
        batch_norm.apply(params, state, jnp.ones((2, 3)), training=True, momentum=1.1)
    with pytest.raises(ValueError, match="momentum must be >= 0"):
        batch_norm.apply(params, state, jnp.ones((2, 3)), training=True, momentum=-0.1)
    for apply in (
        partial(batch_norm.apply, params, state, training=True),
        partial(layer_norm.apply, layer_norm.init(3)),
    ):
        with pytest.raises(ValueError, match="eps must be > 0"):
            apply(jnp.ones((2, 3)), eps=0.0)
    with pytest.raises(ValueError, match=r"x must have shape \(\.\.\., 3\): got \(3, 2\)"):
        layer_norm.apply(layer_norm.init(3), jnp.ones((3, 2)))
    for init in (layer_norm.init, batch_norm.init):
        with pytest.raises(ValueError, match="d must be >= 1"):
            init(0)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype, rng):
    params, state = batch_norm.init(4, dtype=dtype)
    wide = jnp.promote_types(dtype, jnp.float32)
    assert params.scale.dtype == params.bias.dtype == dtype
    assert state.mean.dtype == state.variance.dtype == wide
    x = jnp.asarray(5 + rng.standard_normal((40, 4)), dtype)
    z = np.asarray(x, float)
    tol = max(4 * float(jnp.finfo(dtype).eps), 1e-14)
    y, new = batch_norm.apply(params, state, x, training=True)
    assert y.dtype == dtype
    assert new.mean.dtype == new.variance.dtype == wide
    want = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
    np.testing.assert_allclose(np.asarray(y, float), want, rtol=tol, atol=tol)
    y = layer_norm.apply(layer_norm.init(4, dtype=dtype), x)
    assert y.dtype == dtype
    want = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(np.asarray(y, float), want, rtol=tol, atol=tol)
    # Integers become the default float, parameters follow x.
    assert layer_norm.apply(layer_norm.init(4, dtype=dtype), np.arange(4)).dtype == jnp.float64


def test_digits_far_from_zero(rng):
    """Rows and channels at 1450 +- 1 and at 1e4 in float32, as rounded."""
    for offset in (1450.0, 1e4):
        x = (offset + rng.standard_normal((64, 32))).astype(np.float32)
        z = x.astype(float)
        y = layer_norm.apply(layer_norm.init(32), x)
        want = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-5)
        np.testing.assert_allclose(y, want, rtol=0, atol=2e-6)
        y, _ = batch_norm.apply(*batch_norm.init(32), x, training=True)
        np.testing.assert_allclose(y, (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5), rtol=0, atol=2e-6)
    y = layer_norm.apply(layer_norm.init(3), jnp.float32(1e4) + jnp.arange(3, dtype=jnp.float32))
    np.testing.assert_allclose(y, np.sqrt(1.5) * np.array([-1, 0, 1]), atol=1e-5)


@pytest.mark.parametrize(("n", "bits"), [(9600, 0), (5003, 0), (40_000, 4), (40_009, 4)])
def test_many_rows(n, bits, rng):
    """All rows make the center, or a sample 4 deviations off, where so many bits cancel."""
    eps = np.finfo(np.float32).eps * 2**bits
    for offset in (0.0, 1450.0):
        x = (offset + rng.standard_normal((n, 8))).astype(np.float32)
        of_a_shard = n // np.gcd(n, _moments.SHARDS)
        x[np.arange(n) % of_a_shard < of_a_shard / _moments.SHARE] += 30.0
        z, g = x.astype(float), rng.standard_normal((n, 8))
        params, state = batch_norm.init(8)
        y, back, new = jax.vjp(
            lambda x, p=params, s=state: batch_norm.apply(p, s, x, training=True), x, has_aux=True
        )
        want = (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5)
        np.testing.assert_allclose(y, want, rtol=16 * eps, atol=16 * eps)
        np.testing.assert_allclose(new.mean, 0.1 * z.mean(0), rtol=8 * eps)
        np.testing.assert_allclose(new.variance, 0.9 + 0.1 * z.var(0, ddof=1), rtol=8 * eps)
        dx = (g - g.mean(0) - want * (g * want).mean(0)) / np.sqrt(z.var(0) + 1e-5)
        np.testing.assert_allclose(back(jnp.asarray(g, jnp.float32))[0], dx, atol=16 * eps)


def test_constant_rows_and_channels():
    for value in (0.0, 7.3, -1e6):
        x = jnp.full((4, 3), value, jnp.float32)
        f = partial(layer_norm.apply, layer_norm.init(3))
        for g in (f, lambda x: batch_norm.apply(*batch_norm.init(3), x, training=True)[0]):
            np.testing.assert_array_equal(g(x), np.zeros((4, 3)))
            dx = jax.grad(lambda x, g=g: (jnp.cos(jnp.arange(12.0)).reshape(4, 3) * g(x)).sum())(x)
            assert np.isfinite(dx).all()
    # One feature: every row is constant.
    np.testing.assert_array_equal(layer_norm.apply(layer_norm.init(1), jnp.ones((5, 1))), 0)


SHARDED = """
import jax, jax.numpy as jnp, numpy as np
from functools import partial
from jax.sharding import PartitionSpec as P
from jaxml.nn.norm import batch_norm
mesh = jax.make_mesh((2,), ("rows",), axis_types=(jax.sharding.AxisType.Auto,))
rng = np.random.default_rng(0)
params, state = batch_norm.init(3, dtype=jnp.float64)

@partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("rows")), out_specs=(P("rows"), P()))
def sharded(params, x):
    return batch_norm.apply(params, state, x, training=True, axis_name="rows")

def whole(params, x):
    return batch_norm.apply(params, state, x, training=True)

for n in (8, 19200):  # the second is cut into blocks
    x, g = (jnp.asarray(rng.standard_normal((n, 3))) for _ in range(2))
    f = jax.jit(sharded)
    (y, new), back = jax.vjp(f, params, x)
    (want, kept), expected = jax.vjp(whole, params, x)
    zero = jax.tree.map(jnp.ones_like, new)
    ours, theirs = (y, new, back((g, zero))), (want, kept, expected((g, zero)))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
    # Rows sharded under Auto axes need no name at all, and stay where they are.
    placed = jax.device_put(x, jax.sharding.NamedSharding(mesh, P("rows")))
    call = jax.jit(whole).lower(params, placed).compile()
    assert "all-gather" not in call.as_text() and "all-to-all" not in call.as_text()
    for a, b in zip(jax.tree.leaves(call(params, placed)), jax.tree.leaves((want, kept))):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)
print("equal")
"""


def test_a_batch_over_two_devices_is_one_batch():
    flags = "--xla_force_host_platform_device_count=2"
    assert processes.run(SHARDED, XLA_FLAGS=flags, JAX_ENABLE_X64="1") == "equal\n"
